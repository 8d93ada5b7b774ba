"""Results and caches on disk and in MLflow: their names, their files, their keys, and who reads and writes them."""
