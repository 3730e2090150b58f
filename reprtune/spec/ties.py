"""What must fit together where filters are tied to others: the parts `tied`, `untied` and `keep-tied`."""

from __future__ import annotations

from reprtune.errors import SpecError
from reprtune.spec.parts.members import Ending, KeepTied
from reprtune.spec.parts.restores import Restore, Untied
from reprtune.spec.parts.schedules import Every, Schedule
from reprtune.spec.parts.selections import Drop, Selection, Share, Tied


def check_ties(
    schedule: Schedule | None,
    selection: Selection | None,
    drop: Drop | None,
    restore: Restore | None,
    ending: Ending | None,
) -> None:
    """What is tied is tied to filters that stay, and is untied or kept so in the end.

    Raises:
        SpecError: it is not so, of a method with these parts.
    """
    if not isinstance(drop, Tied):
        _check_untied(restore, ending)
        return
    if not isinstance(selection, Share):
        raise SpecError(
            "method.drop = tied needs method.selection = share, which leaves filters in every layer, but got "
            f"{'none' if selection is None else selection.name}.",
            "Take method transforms.",
        )
    if restore is not None and not isinstance(restore, Untied):
        raise SpecError(
            f"method.restore = {restore.name} does not go with method.drop = tied, whose filters are made of others "
            "and have no weights of their own to come back to.",
            "Take method.restore = untied.",
        )
    if isinstance(ending, KeepTied) and isinstance(schedule, Every):
        raise SpecError(
            "method.ending = keep-tied needs a schedule that leaves filters tied in the end, but with "
            "method.schedule = every they come back at once.",
            "Take method.schedule = cycles or phase.",
        )
    if drop.placement == "features" and (restore is not None or not isinstance(ending, KeepTied)):
        raise SpecError(
            "method.placement = features cannot be untied: a transformed feature map is not the map of any filter.",
            "Take method.schedule = phase, method.restore = none and method.ending = keep-tied, or "
            "method.placement = weights.",
        )


def _check_untied(restore: Restore | None, ending: Ending | None) -> None:
    for part in (restore, ending):
        if isinstance(part, (Untied, KeepTied)):
            raise SpecError(
                f"method.{part.place} = {part.name} needs method.drop = tied, which ties filters to others.",
                "Take method transforms.",
            )
