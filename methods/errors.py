"""The error of this package."""


class MethodError(ValueError):
    """An unusable method or backbone option; the message names it, the value found and those expected."""
