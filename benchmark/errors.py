"""The errors of this package."""


class BenchmarkError(ValueError):
    """An option or a training that cannot be used; the message names it, what was found and what is expected."""


class SweepEnded(BenchmarkError):  # noqa: N818 (what has happened)
    """A failed cell that ends its sweep, as the configuration asks for."""
