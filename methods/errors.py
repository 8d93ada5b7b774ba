"""The error of this package."""


class MethodError(ValueError):
    """A method or backbone option that cannot be used; the message names it and what is accepted."""
