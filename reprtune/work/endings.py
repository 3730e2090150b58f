"""How workers ended that were not to end, in words: nothing is said that is not known."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence

from reprtune.errors import ReprtuneError
from reprtune.settings import program
from reprtune.work.process import Left

GO_ON = "The same command goes on with what is left."


def how_it_ended(code: int | None, crash: str) -> str:
    """Of one worker, after 'it ended'.

    Args:
        code: of its process. crash: the error whose traceback it printed, if it did.
    """
    if crash:
        return f"with {crash.splitlines()[0]}"
    if code is not None and code < 0:
        return f"by {_signal(-code)}"
    return f"with code {code}"


def unfinished(name: str, pending: int, left: Sequence[Left | None], crashes: Sequence[str]) -> ReprtuneError:
    """The error of a run that no worker is left for.

    Args:
        name: of the study. pending: slots that are not finished.
        left: what each worker said that was not replaced; None where it had no time to. crashes: how they ended.
    """
    failing = [one for one in left if one is not None and one.why == "failing"]
    lost = {one.device: one.reason for one in left if one is not None and one.why == "device"}
    if failing:
        return ReprtuneError(
            f"{_counted(len(failing), 'worker')} left, for {failing[-1].reason}; {pending} slots are left.",
            f"Mend the cause; then {program()} study repair {name} queues again what failed. {GO_ON}",
        )
    if lost:
        said = ", ".join(f"{device} ({reason})" for device, reason in lost.items())
        return ReprtuneError(
            f"Nothing can be computed any more on {said}; {pending} slots are left.",
            "Look for its errors with nvidia-smi and dmesg, then reset it or restart the machine, or name another "
            "with --device; the same command goes on with what is left.",
        )
    how = ", ".join(f"{n} {ended}" for ended, n in Counter(crashes).items())
    return ReprtuneError(
        f"{_counted(len(crashes), 'worker')} ended that should not have ({how}); {pending} slots are left.",
        f"{_where_to_look(crashes)} {GO_ON}",
    )


def _where_to_look(crashes: Sequence[str]) -> str:
    if any(f"by {_signal(signal.SIGKILL)}" == ended for ended in crashes):
        return "SIGKILL is what the system sends where memory runs out (dmesg says so), or a person or a scheduler."
    if all(ended.startswith(("by ", "with code ")) for ended in crashes):
        return "They said nothing of why."
    return "The tracebacks that they printed above say where."


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of real time
        return f"signal {number}"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
