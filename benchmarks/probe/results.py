"""What the probe finds, section by section: one line each, and all of it as JSON."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


class Skipped(Exception):  # noqa: N818 - a reason, not a failure
    """A section has nothing to do here; its text says why."""


@dataclass
class Section:
    """What came of one section.

    Attributes:
        outcome: `passed`, `failed`, `skipped`, or `begun` while it runs. why: it failed or was skipped.
        seconds: it took. left_out: parts of it that were skipped, and why.
    """

    outcome: str = "begun"
    why: str = ""
    seconds: float = 0.0
    left_out: list[str] = field(default_factory=list)


class Results:
    """Args:
    path: of the JSON file. budget: seconds in all.
    """

    def __init__(self, path: Path, budget: float) -> None:
        self.path, self.budget, self._begun = path, budget, time.monotonic()
        self.sections: dict[str, Section] = {}
        self.checks: dict[str, dict[str, Any]] = {}
        self.epoch_seconds: dict[str, dict[str, float]] = {}
        self.measured: dict[str, Any] = {}
        self.machine: dict[str, Any] = {}
        self._now = Section()

    def left(self) -> float:
        """Seconds."""
        return self.budget - (time.monotonic() - self._begun)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begun:6.1f}s] {text}", flush=True)

    def begin(self, name: str) -> Section:
        self._now = self.sections[name] = Section()
        return self._now

    def check(self, name: str, ok: bool, detail: str = "") -> None:
        """A fact that holds or not; one that does not fails its section."""
        self.say(f"{'PASS' if ok else 'FAIL'}  {name}  {detail}")
        self.checks[name] = {"ok": bool(ok), "detail": detail}
        if not ok:
            self._now.why = "; ".join(part for part in (self._now.why, name) if part)

    def leave_out(self, what: str, why: str = "no time left") -> None:
        """A part of a section that is not run."""
        self.say(f"SKIP  {what}: {why}")
        self._now.left_out.append(f"{what}: {why}")

    def note(self, name: str, value: Any) -> None:
        """Any further number."""
        self.measured[name] = value

    def epoch(self, model: str, what: str, seconds: float, remark: str = "") -> float:
        """Seconds per epoch of 50,000 images."""
        self.epoch_seconds.setdefault(model, {})[what] = seconds
        self.say(f"TIME  {model:10} {what:34} {seconds:8.3f} s/epoch  {remark}")
        return seconds

    def write(self) -> None:
        content = {
            "machine": self.machine,
            "sections": {name: asdict(section) for name, section in self.sections.items()},
            "checks": self.checks,
            "epoch_seconds": self.epoch_seconds,
            "measured": self.measured,
        }
        self.path.write_text(json.dumps(content, indent=1, default=str) + "\n")

    def end(self) -> int:
        """Write and show everything; the exit code."""
        self.write()
        print(self._table())
        n_ok = sum(check["ok"] for check in self.checks.values())
        bad = [
            name for name, section in self.sections.items() if section.outcome not in ("passed", "skipped")
        ]
        self.say(f"{n_ok} of {len(self.checks)} checks hold; not well: {', '.join(bad) or 'nothing'}")
        return int(bool(bad))

    def _table(self) -> str:
        """Seconds per epoch, in Markdown."""
        lines = ["| network | what | s/epoch |", "|---|---|---|"]
        for model, rows in self.epoch_seconds.items():
            lines += [f"| {model} | {what} | {seconds:.3f} |" for what, seconds in rows.items()]
        return "\n".join(lines)
