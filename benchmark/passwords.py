"""Passwords in tracking URIs: kept in the environment, so that no log, tag, file or page shows them."""

import os
import re

PASSWORD = "BENCHMARK_TRACKING_PASSWORD"
"""The environment variable that holds the password of the tracking URI; worker processes inherit it."""

_WITH_PASSWORD = re.compile(r"^([\w+.-]+://[^:/@\s]*):(.+)@([^@]*)$")
_WITH_USER = re.compile(r"^([\w+.-]+://[^:/@\s]+)@([^@]*)$")


def hide_password(argument: str) -> str:
    """Take the password out of `tracking.uri=<scheme>://<user>:<password>@...` and put it into the environment."""
    name, sign, uri = argument.partition("=")
    if name.lstrip("+") != "tracking.uri" or not (found := _WITH_PASSWORD.match(uri.strip("'\""))):
        return argument
    os.environ[PASSWORD] = found[2]
    return f"{name}{sign}{found[1]}@{found[3]}"


def has_password(uri: str) -> bool:
    """Tell whether a URI shows a password."""
    return _WITH_PASSWORD.match(uri) is not None


def with_password(uri: str) -> str:
    """Return a URI with the password from the environment, if it has a user and there is one."""
    password = os.environ.get(PASSWORD)
    return _WITH_USER.sub(rf"\1:{_literal(password)}@\2", uri) if password else uri


def without_password(text: str) -> str:
    """Return a text in which the password does not occur."""
    password = os.environ.get(PASSWORD)
    return text.replace(password, "***") if password else text


def _literal(text: str) -> str:
    return text.replace("\\", r"\\")
