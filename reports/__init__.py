"""From the tidy table of the store to tables, figures, statistics and an HTML page."""

import store  # noqa: F401 (sets MLflow's environment before it is imported)
