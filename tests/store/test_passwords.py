"""Passwords of tracking URIs: out of the arguments, into the environment, back where the store is opened."""

import logging
import os

import pytest

from store.errors import StoreError
from store.passwords import (
    PASSWORD,
    HidingFormatter,
    has_password,
    hide_password,
    with_password,
    without_password,
)

SECRET = r"s3cr:et\1%40"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql+pymysql", "https"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
@pytest.mark.parametrize("user", ["me", ""])
def test_a_password_is_taken_out_and_put_back(scheme: str, quote: str, user: str) -> None:
    shown = hide_password(f"tracking.uri={quote}{scheme}://{user}:{SECRET}@host:5432/db{quote}")
    assert shown == f"tracking.uri={quote}{scheme}://{user or ':'}@host:5432/db{quote}"
    uri = shown.partition("=")[2].strip(quote)
    assert not has_password(uri)
    assert with_password(uri) == f"{scheme}://{user}:{SECRET}@host:5432/db"
    assert without_password(f"cannot log in with {SECRET}") == "cannot log in with ***"


@pytest.mark.parametrize(
    ("written", "meant"),
    [(r"a\,b\=c", "a,b=c"), (r"'it\'s'", "it's"), (r'"say \"no\""', 'say "no"'), (r"'a\,b'", r"a\,b")],
)
def test_a_password_is_read_as_hydra_reads_values(written: str, meant: str) -> None:
    quote = written[0] if written[0] in "'\"" else ""
    hide_password(
        f"tracking.uri={quote}https://me:{written[len(quote) : len(written) - len(quote)]}@host{quote}"
    )
    assert with_password("https://me@host") == f"https://me:{meant}@host"


@pytest.mark.parametrize(
    "argument",
    [
        "+tracking.uri=https://me:secret@host",
        "++tracking.uri=https://me:secret@host",
        "tracking={uri: https://me:secret@host}",
        "++tracking={uri: 'https://me:secret@host', maps: false}",
        "tracking.uri=https://me:secret@host,sqlite:////tmp/a.db",
        "tracking.uri=sqlite:////tmp/a.db,https://me:secret@host",
        "tracking.uri='postgresql://host/db?user=me&sslpassword=secret'",
        "tracking.uri='postgresql://host/db?PWD=secret&x=1'",
        "tracking={uri: 'postgresql://host/db?access_token=secret'}",
        "tracking.uri='mssql+pyodbc:///?odbc_connect=secret'",
    ],
)
def test_every_argument_that_sets_the_uri_is_read(argument: str) -> None:
    shown = hide_password(argument)
    assert "secret" not in shown
    assert len(shown) >= len(argument) - len(":secret")
    assert os.environ[PASSWORD] == "secret"


def test_a_second_password_is_refused_and_not_shown() -> None:
    with pytest.raises(StoreError, match=r"^tracking\.uri holds two passwords") as caught:
        hide_password("tracking.uri='postgresql://me:first@host/db?sslpassword=second'")
    assert not {"first", "second"} & set(str(caught.value).split())


@pytest.mark.parametrize("key", ["password", "passwd", "pwd", "PWD", "token", "access_token", "sslpassword"])
@pytest.mark.parametrize("rest", ["", "&sslmode=require"])
def test_a_password_in_the_query_is_taken_out_and_put_back(key: str, rest: str) -> None:
    uri = f"postgresql://host:5432/db?user=me&{key}=s3cr%40et{rest}"
    assert has_password(uri)
    shown = hide_password(f"tracking.uri={uri}").partition("=")[2]
    assert shown == f"postgresql://host:5432/db?user=me&{key}={rest}"
    assert not has_password(shown)
    assert with_password(shown) == uri
    assert "s3cr" not in without_password("no access with s3cr@et, s3cr%40et")


def test_a_token_in_place_of_a_user_is_taken_out_and_put_back() -> None:
    uri = f"https://{'0123456789abcdef' * 2}@host/path"
    assert has_password(uri)
    shown = hide_password(f"tracking.uri={uri}").partition("=")[2]
    assert shown == "https://@host/path"
    assert not has_password(shown)
    assert with_password(shown) == uri


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open mysql+pymysql://me:a@b:c@host/db", "cannot open mysql+pymysql://me@host/db"),
        ("(postgresql://host/db?user=me&password=secret)", "(postgresql://host/db?user=me&password=***)"),
        ("at https://0123456789abcdef0123@host/", "at https://***@host/"),
        ("sqlite:////data/a:b@c/mlflow.db", "sqlite:////data/a:b@c/mlflow.db"),
    ],
)
def test_passwords_of_any_uri_in_a_text_are_hidden(text: str, shown: str) -> None:
    assert without_password(text) == shown


@pytest.mark.parametrize(
    "argument",
    [
        "tracking.uri=sqlite:////data/a:b@c/mlflow.db",
        "tracking.uri=http://127.0.0.1:5000",
        "tracking.uri=http://me@host:5000",
        "method=stfpm",
        "dataset.url=https://me:word@host/archive",
    ],
)
def test_other_arguments_stay_as_they_are(argument: str) -> None:
    assert hide_password(argument) == argument
    uri = argument.partition("=")[2]
    assert with_password(uri) == uri


def test_without_a_password_nothing_is_changed() -> None:
    assert without_password("a text") == "a text"
    assert with_password("http://me@host") == "http://me@host"


@pytest.mark.parametrize("password", ["s3cr@et", "s3cr%40et"])
def test_a_password_is_hidden_as_it_is_and_encoded(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv(PASSWORD, password)
    assert without_password("as s3cr@et, 's3cr%40et'") == "as ***, '***'"


@pytest.mark.parametrize("password", ["gran", "p", "postgres"])
def test_words_that_hold_a_password_stay_readable(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv(PASSWORD, password)
    text = "granite: postgresql://host/db holds no run of post"
    assert without_password(text) == text


def test_log_messages_and_their_stack_traces_hide_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "s3cret")
    try:
        raise ValueError("cannot log in with s3cret at https://me:other@host")
    except ValueError as error:
        record = logging.LogRecord(
            "a", logging.ERROR, "", 0, "no: %s", ("s3cret",), (type(error), error, None)
        )
    shown = HidingFormatter("%(message)s").format(record)
    assert shown.startswith("no: ***\n")
    assert "cannot log in with *** at https://me@host" in shown
    assert "s3cret" not in shown
