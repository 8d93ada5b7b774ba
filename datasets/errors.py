"""The errors of this package."""


class DatasetError(ValueError):
    """Data on disk, or a dataset option, that cannot be used.

    The message names the file or the option at fault, what was found and what is expected.
    """
