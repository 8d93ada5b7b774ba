"""Statistical tests of the differences between methods over categories."""
