"""From the tidy table of the store to tables, figures, statistics and an HTML page."""
