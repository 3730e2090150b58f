"""`hide`: no secret gets through, whatever carries it and however it is escaped, and the rest stays readable."""

from __future__ import annotations

import base64
import html
import json
import os
import random
import subprocess
import sys
import traceback
from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from reprtune import passwords
from reprtune.errors import ReprtuneError
from reprtune.passwords import hide, hide_in, is_well_read, learn
from tests.secret import Secret, draw

SECRETS = st.integers(0, 2**32).map(lambda seed: draw(random.Random(seed)))
DATABASE = "postgresql+psycopg://me:{}@db.example:5432/study"
SERVER = "http://me:{}@db.example:5000"


def encoded(text: str) -> str:
    return quote(text, safe="")


def option(text: str) -> str:
    """As a value of libpq's list of options."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


CARRIERS: dict[str, Callable[[str], str]] = {
    "database": lambda secret: DATABASE.format(encoded(secret)),
    "server": lambda secret: f"HTTPError at '{SERVER.format(encoded(secret))}/api': refused by db.example",
    "query": lambda secret: (
        f"postgresql://db.example/study?user=me&password={encoded(secret)}&connect_timeout=3"
    ),
    "key": lambda secret: f"postgresql://db.example/study?sslpassword={quote_plus(secret)}",
    "token": lambda secret: f"https://db.example/?x=1&access_token={encoded(secret)}",
    "options": lambda secret: f"host=db.example password={option(secret)} dbname=study",
    "spaced": lambda secret: f"host=db.example password = {option(secret)}",
    "odbc": lambda secret: f"mssql+pyodbc:///?odbc_connect={quote_plus(f'SERVER=x;PWD={secret}')} db.example",
    "variable": lambda secret: f"db.example MLFLOW_TRACKING_TOKEN={encoded(secret)}",
    "aws": lambda secret: f"db.example aws_secret_access_key = {encoded(secret)}",
    "dict": lambda secret: f"db.example {json.dumps({'user': 'me', 'password': secret})}",
    "two": lambda secret: f"{DATABASE.format('first')},{DATABASE.format(encoded(secret))}",
}
ESCAPES: dict[str, Callable[[str], str]] = {
    "plain": str, "encoded": encoded, "plus": quote_plus, "half": quote, "twice": lambda s: encoded(encoded(s)),
    "lower": lambda s: encoded(s.replace("%", "")).replace("%2F", "%2f"), "repr": repr, "ascii": ascii,
    "json": json.dumps, "json in json": lambda s: json.dumps(json.dumps(s)), "html": html.escape,
    "glued": lambda s: f"n{s}n", "alembic": lambda s: encoded(s).replace("%", "%%"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_known", set())


@pytest.mark.parametrize("carrier", CARRIERS)
@given(secret=SECRETS)
def test_a_secret_that_nobody_has_seen_is_known_by_its_form(carrier: str, secret: Secret) -> None:
    """In every address, query and list of options; the host stays, and to hide twice changes nothing."""
    passwords._known.clear()
    shown = hide(CARRIERS[carrier](secret.text))
    assert not secret.is_in(shown), shown
    assert "db.example" in shown and hide(shown) == shown


@pytest.mark.parametrize("escape", ESCAPES)
@given(secret=SECRETS)
def test_a_secret_that_came_in_is_known_wherever_it_turns_up(escape: str, secret: Secret) -> None:
    """By its value, in every way that Python, JSON, HTML and addresses escape it; what is around it stays."""
    passwords._known.clear()
    plain = secret.text.replace("%", "") if escape == "lower" else secret.text
    learn(DATABASE.format(encoded(plain)))
    shown = hide(f"before {ESCAPES[escape](plain)} after")
    assert not secret.is_in(shown), shown
    assert shown.startswith("before ") and shown.endswith(" after") and "***" in shown


@pytest.mark.parametrize(
    "name", ["PGPASSWORD", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY"]
)
def test_secrets_of_the_environment_are_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is named like one, and an address with a password in any other."""
    monkeypatch.setenv(name, "http://me:marzipan-7@x:1" if name == "HTTPS_PROXY" else "marzipan-7")
    learn()
    assert hide("it was marzipan-7, said db") == "it was ***, said db"


@given(secret=SECRETS, address=st.sampled_from([DATABASE, SERVER]))
def test_an_address_counts_as_read_where_libraries_read_what_was_meant(secret: Secret, address: str) -> None:
    """With a password that is not percent-encoded: either SQLAlchemy (or urllib) finds it and the host, or it is told
    apart; and in both cases nothing of it is shown, be it learned or not."""
    passwords._known.clear()
    url = address.format(secret.text)
    if is_well_read(url):
        read = make_url(url) if address == DATABASE else urlsplit(url)
        assert (read.host if address == DATABASE else read.hostname) == "db.example"  # type: ignore[union-attr]
        assert unquote(read.password or "") == unquote(secret.text)
    learn(url)
    assert not secret.is_in(hide(f"cannot open {url}: nobody there"))
    assert is_well_read(address.format(encoded(secret.text)))


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000: refused, (http://h:1), http://[::1]:5000/x?a=b",
        "postgresql+psycopg://me@db/reprtune and sqlite:////tmp/a:b@c/x.db",
        "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, for that server.",
        'FATAL: password authentication failed for user "me"', "password: see docs", "{'method': 'token', 'n': 1}",
        passwords.ENCODE,
    ],
)  # fmt: skip
def test_what_holds_no_secret_is_shown_as_it_is(text: str) -> None:
    """Nothing is taken out of a text for being near the word password."""
    assert hide(text) == text


def test_a_password_that_its_address_says_elsewhere_hides_nothing_else() -> None:
    """`postgres` of `postgresql://postgres:postgres@db` is hidden in its place, and does not tear up other words."""
    learn("postgresql+psycopg://postgres:postgres@db/x", "http://me:abc@x")
    assert hide("postgresql+psycopg://postgres:postgres@db/x, abc") == (
        "postgresql+psycopg://postgres:***@db/x, abc"
    )


def test_headers_and_keys_are_hidden() -> None:
    """What HTTP and AWS log of themselves."""
    login = base64.b64encode(b"me:marzipan").decode()
    text = hide(f"Authorization: Basic {login} 'Authorization': 'Bearer abc.def' AKIAIOSFODNN7EXAMPLE.")
    assert text == "Authorization: Basic *** 'Authorization': 'Bearer ***' ***."


def test_our_errors_and_their_causes_hold_none() -> None:
    """Neither in message and hint, nor in the traceback that a notebook shows."""
    url = DATABASE.format("marzipan-7")

    def open_it() -> None:
        try:
            raise OSError(f"no way to {url}") from ValueError(ConnectionError(url), 3)
        except OSError as error:
            hide_in(error)
            raise ReprtuneError(f"cannot open {url}", f"look at {url}") from error

    with pytest.raises(ReprtuneError) as caught:
        open_it()
    text = "".join(traceback.format_exception(caught.value))
    assert "marzipan" not in f"{caught.value} {caught.value.args} {text}"
    assert text.count("me:***@db.example") >= 4


PROGRAM = """
import logging, multiprocessing, os, sys, threading, warnings
from reprtune.passwords import guard_output
guard_output(); guard_output()
url = os.environ["REPRTUNE_STORAGE"]
def fail():
    guard_output()
    raise RuntimeError(url)
if __name__ == "__main__":
    print("printed", url)
    logging.getLogger("x").warning("logged %s", url)
    warnings.warn(f"warned {url!r}")
    for kind in (threading.Thread, multiprocessing.get_context("spawn").Process):
        one = kind(target=fail)
        one.start()
        one.join()
    sys.stderr.writelines([f"lines {url}"])
    fail()
"""


def test_nothing_leaves_by_the_standard_streams(tmp_path: object) -> None:
    """A print, a log, a warning, a thread, a spawned process and an error that nobody caught."""
    script = f"{tmp_path}/program.py"
    with open(script, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(PROGRAM)
    secret = draw(random.Random(3))
    environment = {**os.environ, "REPRTUNE_STORAGE": DATABASE.format(encoded(secret.text))}
    done = subprocess.run(
        [sys.executable, script, secret.text], env=environment, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1 and not secret.is_in(said), said
    assert said.count("me:***@db.example") >= 7
