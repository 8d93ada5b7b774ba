"""Figures: what each shows, and how all are drawn."""
