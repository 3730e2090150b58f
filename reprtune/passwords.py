"""Passwords stay in the program: whatever is printed, logged, raised or written down goes through `hide`.

A secret is known in two ways. By its value, wherever it turns up and however it is escaped: what came in with the
settings, the command line and the environment is remembered by `learn`. And by its form, also where nobody has seen
it before: `user:password@` in an address, `password=` in a query or a list of options, a header of HTTP, a key of AWS.
"""

from __future__ import annotations

import contextlib
import functools
import html
import json
import os
import re
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote, unquote_plus

HIDDEN = "***"
SHORTEST = 6  # characters of a secret known by its value: a shorter one is part of too many words
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
ENCODE = (
    "A password in an address must be percent-encoded; this asks for it and prints it so: "
    'python -c "import getpass, urllib.parse as u; print(u.quote(getpass.getpass(), safe=str()))". '
    "Or leave it out of the address: PostgreSQL reads it from ~/.pgpass or PGPASSWORD, MLflow from "
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
)
_NAME = r"(?:password|passwd|passphrase|pwd|secret|token|api_?key|access_?key|amz-signature|credentials?|odbc_connect)"
_QUOTED = r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\""
_OPTION = re.compile(  # name, how a value is joined to it, the value; an & that begins no other option is part of it
    rf"({_NAME})(\s*=\s*|['\"]\s*:\s*)({_QUOTED}|[^\s&;'\"]+(?:&(?![\w.-]+=)[^\s&;'\"]*)*)", re.IGNORECASE
)
_QUERY = re.compile(rf"[?&]{_NAME}=([^&]*)", re.IGNORECASE)
_HEADER = re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?(?:basic|bearer)\s+)[^\s'\"]+", re.IGNORECASE)
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")
_ADDRESS = re.compile(r"[\w+.-]{1,32}://[^\s'\"<>]+")
_VARIABLE = re.compile(r"(?:PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|SECRET_KEY|ACCESS_KEY|API_KEY)$")
_known: set[str] = set()
_asked_for: ContextVar[bool] = ContextVar("asked_for", default=False)


def hide(text: str) -> str:
    """The text as it may be shown, logged and stored."""
    if _known:
        text = _any_of(frozenset(_known)).sub(HIDDEN, text)
    if "://" in text:
        text = _ADDRESS.sub(lambda found: _without_password(found[0]), text)
    text = _OPTION.sub(_without_value, text)
    return _AWS_KEY.sub(HIDDEN, _HEADER.sub(rf"\1{HIDDEN}", text))


def learn(*texts: str | None) -> None:
    """The secrets in these addresses, and those in the environment, are hidden from now on."""
    for text in texts:
        _known.update(_secrets(text or ""))
    for name, value in os.environ.items():
        _known.update(_secrets(value))
        if _VARIABLE.search(name.upper()) and len(value) >= SHORTEST:
            _known.add(value)


def guard_output() -> None:
    """From now on nothing secret leaves this process by its standard streams: neither a line of a log nor the
    traceback of whatever library."""
    learn(*sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not isinstance(stream.write, functools.partial):
            stream.write = functools.partial(_write_hidden, stream.write)  # type: ignore[method-assign]


@contextlib.contextmanager
def asked_for() -> Iterator[None]:
    """What is printed inside goes out as it is: it answers a person who asked for a password."""
    before = _asked_for.set(True)
    try:
        yield
    finally:
        _asked_for.reset(before)


def hide_in(error: BaseException) -> None:
    """Take the secrets out of the texts of an error and its causes: a notebook shows them in its traceback."""
    seen: set[int] = set()
    open_ends: list[BaseException | None] = [error]
    while open_ends:
        one = open_ends.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        open_ends += [one.__cause__, one.__context__, *(a for a in one.args if isinstance(a, BaseException))]
        one.args = tuple(hide(a) if isinstance(a, str) else a for a in one.args)


def is_well_read(address: str) -> bool:
    """Do libraries take for its password what a person meant by it?"""
    return _password(address)[1]


def _write_hidden(write: Any, text: str) -> int:
    write(hide(text) if isinstance(text, str) and not _asked_for.get() else text)
    return len(text)


def _password(address: str) -> tuple[str, bool]:
    """(password of an address, is it read as it was meant?). One with an unescaped @ / # ? goes on to the last @."""
    scheme, _, rest = address.partition("://")
    user, _, rest = rest.partition(":")
    if not rest or re.search(r"[/?#\[]", user):
        return "", True
    web = scheme in ("http", "https")
    if not web and scheme.partition("+")[0] not in DATABASES:
        return rest.rpartition("@")[0], True
    authority = re.split(r"[/?#\\\s[\]]" if web else r"[/?]", rest, maxsplit=1)[0]
    if "@" not in rest:
        return ("", True) if not authority or re.match(r"\d+(?!\w)", authority) else (authority, False)
    ended = "@" not in rest[len(authority) :] if web else rest.count("@") == 1
    return rest.rpartition("@")[0], ended


def _without_value(option: re.Match[str]) -> str:
    quotes = option[3][0] if option[3][0] in "'\"" else ""
    return f"{option[1]}{option[2]}{quotes}{HIDDEN}{quotes}"


def _without_password(address: str) -> str:
    password = _password(address)[0]
    return address.replace(f":{password}", f":{HIDDEN}", 1) if password else address


def _secrets(text: str) -> Iterator[str]:
    """All that is secret in an address or a list of options, as it stands and as it is meant."""
    if "=" not in text and "://" not in text:
        return
    addresses = [text] if _ADDRESS.match(text) else []  # with spaces and quotes in its password too
    found = [_password(address)[0] for address in (*addresses, *_ADDRESS.findall(text))]
    found += [value for address in addresses for value in _QUERY.findall(address)]
    found += [value.strip("'\"") for form in (text, unquote(text)) for _, _, value in _OPTION.findall(form)]
    for secret in filter(None, found):
        said = re.sub(rf"(?<=[:='\"]){re.escape(secret)}(?=[@&;'\"\s]|$)", "", text).casefold()
        for meant in {secret, unquote(secret), unquote_plus(secret)}:
            if len(meant) >= SHORTEST and meant.casefold() not in said:  # else its user or host hides nothing
                yield meant


@functools.lru_cache(maxsize=8)
def _any_of(secrets: frozenset[str]) -> re.Pattern[str]:
    """Finds each of them as it is, percent-encoded (once or twice), and as Python, JSON and HTML escape it."""
    longest_first = sorted(secrets, key=lambda secret: (-len(secret), secret))
    return re.compile("|".join("".join(map(_escaped, secret)) for secret in longest_first))


@functools.cache
def _escaped(letter: str) -> str:
    coded = "".join(f"%(?:25)?{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))
    texts = {repr(letter)[1:-1], ascii(letter)[1:-1], json.dumps(letter)[1:-1], html.escape(letter)}
    texts |= {"'": {"\\'", "&#39;"}, '"': {'\\"', "&#34;"}, " ": {"+"}, "%": {"%%"}}.get(letter, set())
    ways = {coded, *(re.escape(text).replace(r"\\", r"\\+") for text in texts - {letter})}
    longest_first = sorted(ways, key=lambda way: (-len(way), way))
    return f"(?:{re.escape(letter)}|(?i:{'|'.join(longest_first)}))"
