"""Errors of reports."""


class ReportError(ValueError):
    """A report that cannot be written; the message names the option or file, and what is expected."""
