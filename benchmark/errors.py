"""The error of this package."""


class BenchmarkError(ValueError):
    """An option or a training that cannot be used; the message names it, what was found and what is expected."""
