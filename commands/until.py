"""`--until`: when a worker is to leave, as a clock time or as a length of time from now."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from commands.options import F

CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
LENGTH = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
RULE = "is no time like 08:00 (the next one, of this machine's clock) and no length of time like 90m, 2h30m or 1d."


def moment(text: str, now: datetime) -> datetime | None:
    """The moment that is meant, with the time zone of `now`; None where none is."""
    if found := CLOCK.fullmatch(text):
        hour, minute = map(int, found.groups())
        today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)
    if (found := LENGTH.fullmatch(text)) and len(text) < 12:  # whatever is longer is no date any more
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return now + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return None


class Until(click.ParamType):
    """Gives seconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = moment(str(value), datetime.now().astimezone())
        if found is None:
            self.fail(f"{value!r} {RULE}", param, ctx)
        return found.timestamp()


until_option: Callable[[F], F] = click.option(
    "--until",
    type=Until(),
    metavar="TIME",
    help="Leave then, with what is trained saved and its slots given back: 08:00, or from now 90m, 2h30m.",
)
