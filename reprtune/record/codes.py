"""Which code a study was created with, and which its attempts ran under, by short digests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reprtune.record.schema import StudyRecord, TrialRecord
from reprtune.spec.codec import digest

VALUES = "reprtune.spec"  # among the modules of a code: stands for the digest of the trials' values
LENGTH = 12  # of a short digest, in hex digits


def short_digest(code: Mapping[str, Any], user_code: Mapping[str, str]) -> str:
    """Of all code that a study's trials can run.

    Args:
        code: `modules` and `versions`, as the fact `code` has them; what else is in it does not count.
        user_code: name of a person's own network, data set or part -> digest.
    """
    return digest([code["modules"], code["versions"], user_code])[:LENGTH]


def of_study(study: StudyRecord) -> str | None:
    """Of the code that the study was created with; None where its version did not write that down."""
    code = study.facts.get("code")
    return None if code is None else short_digest(code, study.facts.get("user_code", {}))


def by_code(study: StudyRecord) -> dict[str, list[TrialRecord]]:
    """Short digest -> the attempts that ran under that code, confirmations too; that of the study comes first.
    An attempt with several seeds may have run under more than one; of which none is known, it is left out."""
    found: dict[str, list[TrialRecord]] = {}
    for trial in study.everything:
        for code in trial.codes:
            found.setdefault(code, []).append(trial)
    return dict(sorted(found.items(), key=lambda item: item[0] != of_study(study)))


def other_code(study: StudyRecord) -> dict[str, list[TrialRecord]]:
    """Of these, what is not of the study's own code; where that is unknown, all as soon as they are several."""
    found, own = by_code(study), of_study(study)
    if own is None:
        return found if len(found) > 1 else {}
    return {code: trials for code, trials in found.items() if code != own}


def differing_code(a: StudyRecord, b: StudyRecord) -> tuple[str, ...] | None:
    """Modules, packages and a person's own code that two studies both run and that are not the same; None where one of them
    has not written down what it runs. What only one of them runs, and their trials' values, tell no code apart."""
    codes = a.facts.get("code"), b.facts.get("code")
    if codes[0] is None or codes[1] is None:
        return None
    pairs = [(codes[0][kind], codes[1][kind]) for kind in ("modules", "versions")]
    pairs.append((a.facts.get("user_code", {}), b.facts.get("user_code", {})))
    return tuple(
        name
        for ours, theirs in pairs
        for name in sorted({*ours} & {*theirs} - {VALUES})
        if ours[name] != theirs[name]
    )
