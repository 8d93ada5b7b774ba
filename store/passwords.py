"""Passwords in tracking URIs: kept in the environment, so that no log, tag, file or page shows them."""

import os
import re
from urllib.parse import unquote

PASSWORD = "BENCHMARK_TRACKING_PASSWORD"
"""The environment variable that holds the password of the tracking URI; worker processes inherit it."""

_KEY = r"[?&](?:password|passwd|pwd|token)="
_USER = r"[\w+.-]+://[^:/@\s]"
_TOKEN = r"[\w.~-]{20,}"  # the name of a user is shorter
# groups: the part before a password, the password, the part after it
_SECRETS = (
    re.compile(rf"^(.*{_KEY})([^&\s]+)(.*)$"),
    re.compile(rf"^({_USER}*):(.+)(@[^@]*)$"),
    re.compile(rf"^(https?://)({_TOKEN})(@[^@]*)$"),
)
# groups: the parts before and after a password that was taken out; then the sign between the first and the password
_GAPS = (
    (re.compile(rf"^(.*{_KEY})((?:&.*)?)$"), ""),
    (re.compile(rf"^({_USER}+)(@[^@]*)$"), ":"),
    (re.compile(r"^(https?://)(@[^@]*)$"), ""),
)


def hide_password(argument: str) -> str:
    """Take the password out of the argument `tracking.uri=<URI>` and put it into the environment.

    Passwords are those of `<scheme>://<user>:<password>@...` and of `...?password=<password>`, and long tokens in
    the place of a user.
    """
    name, sign, uri = argument.partition("=")
    if name.lstrip("+") != "tracking.uri" or not (parts := _split(uri.strip("'\""))):
        return argument
    before, os.environ[PASSWORD], after = parts
    return f"{name}{sign}{before}{after}"


def has_password(uri: str) -> bool:
    """Return whether a URI shows a password."""
    return _split(uri) is not None


def with_password(uri: str) -> str:
    """Return a URI with the password from the environment, if there is one and the URI has a place for it."""
    if password := os.environ.get(PASSWORD):
        for pattern, sign in _GAPS:
            if parts := pattern.match(uri):
                return f"{parts[1]}{sign}{password}{parts[2]}"
    return uri


def without_password(text: str) -> str:
    """Return a text without the passwords of URIs in it and without the one in the environment.

    Examples
    --------
    >>> without_password("postgresql://user:secret@host/db: no such database")
    'postgresql://user@host/db: no such database'
    >>> without_password("postgresql://host/db?user=me&password=secret")
    'postgresql://host/db?user=me&password=***'
    """
    password = os.environ.get(PASSWORD, "")
    for secret in filter(None, (password, unquote(password))):
        text = text.replace(secret, "***")
    text = re.sub(rf"({_KEY})[^&\s'\")]+", r"\1***", text)
    text = re.sub(rf"(https?://){_TOKEN}@", r"\1***@", text)
    return re.sub(r"(://[^/:@\s]*):\S*@", r"\1@", text)


def _split(uri: str) -> tuple[str, str, str] | None:
    """Return a URI with a password in three parts: before it, the password, after it."""
    for pattern in _SECRETS:
        if parts := pattern.match(uri):
            return parts[1], parts[2], parts[3]
    return None
