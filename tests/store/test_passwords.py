"""Passwords of tracking URIs: out of the arguments, into the environment, back where the store is opened."""

import pytest

from store.passwords import PASSWORD, has_password, hide_password, with_password, without_password

SECRET = r"s3cr:et\1%40"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql+pymysql", "https"])
@pytest.mark.parametrize("quote", ["", "'"])
def test_a_password_is_taken_out_and_put_back(scheme: str, quote: str) -> None:
    shown = hide_password(f"tracking.uri={quote}{scheme}://me:{SECRET}@host:5432/db{quote}")
    assert shown == f"tracking.uri={scheme}://me@host:5432/db"
    uri = shown.partition("=")[2]
    assert not has_password(uri)
    assert with_password(uri) == f"{scheme}://me:{SECRET}@host:5432/db"
    assert without_password(f"cannot log in with {SECRET}") == "cannot log in with ***"


@pytest.mark.parametrize("key", ["password", "passwd", "token"])
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
