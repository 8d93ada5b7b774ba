"""Figures, one module per kind, and their common style."""
