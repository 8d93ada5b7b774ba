"""From the store's cells to tables."""
