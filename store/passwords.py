"""Passwords in tracking URIs: kept in the environment, so that no log, tag, file or page shows them."""

import contextlib
import logging
import os
import re
import sys
from urllib.parse import quote, unquote

from store.errors import StoreError

PASSWORD = "BENCHMARK_TRACKING_PASSWORD"
"""The environment variable that holds the password of the tracking URI; worker processes inherit it."""

SHORTEST = 4
"""Characters of a password from which on it is hidden wherever it stands; a shorter one would be found in any word."""

_KEY = r"[?&;]\w*(?:passw(?:or)?d|pwd|token|secret|api_?key|odbc_connect)="
_SCHEME = r"[\w+.-]+://"
_USER = r"[^:/@\s'\"]+"
_TOKEN = r"[^:/@\s'\"]{20,}"  # the name of a user is shorter
# groups: the part before a password, the password, the part after it
_SECRETS = (
    re.compile(rf"^(.*{_KEY})([^&;\s'\"}}]+)(.*)$", re.IGNORECASE),
    re.compile(rf"^(.*?{_SCHEME}{_USER}):(.+)(@[^@]*)$"),
    re.compile(rf"^(.*?{_SCHEME}:)(.+)(@[^@]*)$"),
    re.compile(rf"^(.*?https?://)({_TOKEN})(@[^@]*)$"),
)
# groups: the parts before and after a password that was taken out; then the sign between the first and the password
_GAPS = (
    (re.compile(rf"^(.*{_KEY})((?:[&;].*)?)$", re.IGNORECASE), ""),
    (re.compile(rf"^({_SCHEME}{_USER})(@[^@]*)$"), ":"),
    (re.compile(rf"^({_SCHEME}:)(@[^@]*)$"), ""),
    (re.compile(r"^(https?://)(@[^@]*)$"), ""),
)
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")  # as Hydra reads values without quotes


def hide_password(argument: str) -> str:
    """Take the password out of an argument that sets the tracking URI and put it into the environment.

    Passwords are those of `<scheme>://<user>:<password>@...` and of `...?password=<password>` (or another key that
    says so), and long tokens in the place of a user. Other arguments are returned as they are.

    Raises
    ------
    StoreError
        If the URI has two passwords.
    """
    name, sign, value = argument.partition("=")
    if name.lstrip("+") not in ("tracking.uri", "tracking") or not (parts := _split(value)):
        return argument
    before, secret, after = parts
    mark = value[:1]
    secret = secret.replace(f"\\{mark}", mark) if mark in ("'", '"') else _ESCAPED.sub(r"\1", secret)
    if has_password(before + after):
        raise StoreError(f"tracking.uri holds two passwords; expected at most one, and none in {PASSWORD}")
    os.environ[PASSWORD] = secret
    return f"{name}{sign}{before}{after}"


def hide_from_process_list() -> None:
    """Start this program anew without passwords in its arguments, which other users of the machine can read."""
    with contextlib.suppress(StoreError):  # the program reports it
        arguments = [hide_password(argument) for argument in sys.orig_argv[1:]]
        if arguments != sys.orig_argv[1:]:
            os.execv(sys.executable, [sys.executable, *arguments])


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
    for secret in sorted({password, unquote(password), quote(password, safe="")}, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = re.sub(rf"(?<![^\W_]){re.escape(secret)}(?![^\W_])", "***", text)
    if "://" not in text:
        return text
    text = re.sub(rf"({_KEY})[^&;\s'\")]+", r"\1***", text, flags=re.IGNORECASE)
    text = re.sub(rf"(https?://){_TOKEN}@", r"\1***@", text)
    return re.sub(r"(://[^/:@\s]*):\S*@", r"\1@", text)


class HidingFormatter(logging.Formatter):
    """A formatter of log messages, with their stack traces, that hides passwords."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message without passwords."""
        return without_password(super().format(record))


def _split(uri: str) -> tuple[str, str, str] | None:
    """Return a URI with a password in three parts: before it, the password, after it."""
    for pattern in _SECRETS:
        if parts := pattern.match(uri):
            return parts[1], parts[2], parts[3]
    return None
