"""What must fit together in a method that renews parts of a network, has a phase, or adds to the cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence

from reprtune.errors import SpecError
from reprtune.spec.parts.losses import Distillation, LossTerm, Teacher
from reprtune.spec.parts.members import Centripetal, Ending, Gradient, Networks, Trim
from reprtune.spec.parts.restores import Old, Random, Restore, RestoreRules
from reprtune.spec.parts.schedules import Cycles, Generations, Phase, Schedule
from reprtune.spec.parts.selections import WHOLE, Clusters, Drop, Selection, Weights


def check_renewal(
    schedule: Schedule | None,
    selection: Selection | None,
    restore: Restore | None,
    restore_rules: RestoreRules | None,
) -> None:
    """Whole layers are taken where a generation begins, and come back as in a new network or as they were."""
    if isinstance(selection, (Weights, Clusters)) and isinstance(schedule, Generations):
        raise SpecError(
            f"method.selection = {selection.name} does not say what begins anew with "
            "method.schedule = generations.",
            "Take everything, later, fixed or share.",
        )
    _check_rules(schedule, selection, restore_rules)
    if not isinstance(selection, WHOLE):
        return
    name = selection.name
    if schedule is not None and not isinstance(schedule, Generations):
        raise SpecError(
            f"method.selection = {name} takes whole layers, which only a new generation renews, but "
            f"method.schedule = {schedule.name}.",
            "Take method.schedule = generations, or method.selection = share.",
        )
    as_new = isinstance(restore, Random) and restore.restore_scale == "own"
    if restore is not None and not as_new and not isinstance(restore, Old):
        scaled = isinstance(restore, Random)
        raise SpecError(
            f"method.{'restore_scale' if scaled else 'restore'} = "
            f"{restore.restore_scale if isinstance(restore, Random) else restore.name} looks at "
            f"filters that stay, but method.selection = {name} takes whole layers.",
            "Take method.restore_scale = own." if scaled else "Take method.restore = random, or old.",
        )


def _check_rules(
    schedule: Schedule | None, selection: Selection | None, restore_rules: RestoreRules | None
) -> None:
    """What is for filters has some."""
    if restore_rules is None:
        return
    if restore_rules.restore_next != "keep" and (
        isinstance(selection, (Weights, *WHOLE)) or selection is None
    ):
        takes = "single weights" if isinstance(selection, Weights) else "whole layers"
        raise SpecError(
            f"method.restore_next = {restore_rules.restore_next} is for kernels that read restored filters, but "
            + (
                f"method.selection = {selection.name} takes {takes}."
                if selection
                else "no filters are taken."
            ),
            "Take method.restore_next = keep.",
        )
    if restore_rules.restore_bn == "recalibrate" and selection is None and isinstance(schedule, Cycles):
        raise SpecError(
            "method.restore_bn = recalibrate is done at a restore, but with method.schedule = cycles there is none where "
            "no filters are taken.",
            "Take method.restore_bn = keep.",
        )


def check_phase(
    schedule: Schedule | None,
    selection: Selection | None,
    drop: Drop | None,
    gradient: Gradient | None,
    ending: Ending | None,
) -> None:
    """What works on clusters has some, and what ends by their distance measures it."""
    if isinstance(gradient, Centripetal) and not isinstance(selection, Clusters):
        raise SpecError(
            "method.gradient = centripetal needs method.selection = clusters, which says who moves together.",
            "Take method c-sgd.",
        )
    if isinstance(gradient, Centripetal) and (not isinstance(schedule, Phase) or drop is not None):
        raise SpecError(
            "method.gradient = centripetal needs method.schedule = phase, without method.drop: clusters are "
            "chosen where the phase begins.",
            "Take method c-sgd.",
        )
    if isinstance(selection, Clusters) and not isinstance(gradient, Centripetal):
        raise SpecError(
            "method.selection = clusters needs method.gradient = centripetal, which makes one of each cluster.",
            "Take method c-sgd, or method.selection = share.",
        )
    if isinstance(ending, Trim) and not isinstance(gradient, Centripetal):
        raise SpecError(
            "method.ending = trim needs method.gradient = centripetal, which makes filters of a cluster equal.",
            "Take method c-sgd, or leave method.ending out.",
        )
    until = schedule.until_distance if isinstance(schedule, Phase) else None
    if until is not None and not isinstance(gradient, Centripetal):
        raise SpecError(
            "method.until_distance needs method.gradient = centripetal, which measures the distance.",
            "Leave it out, or take method c-sgd.",
        )


def check_losses(losses: Sequence[LossTerm], schedule: Schedule | None, networks: Networks | None) -> None:
    """All different, each with somebody to learn from where it learns, and no more than the whole of the
    cross-entropy given away."""
    kinds = [loss.name for loss in losses]
    if len(set(kinds)) < len(kinds):
        raise SpecError(f"method.losses must hold different losses, but holds {', '.join(kinds)}.")
    for loss in losses:
        _check_teachers(loss, schedule, networks)
    if (given := sum(loss.of_labels for loss in losses)) > 1:
        raise SpecError(
            f"method.losses take the place of {given} of the cross-entropy, which is more than all of it.",
            "Lower method.teacher_weight or method.distill_weight.",
        )


def _check_teachers(loss: LossTerm, schedule: Schedule | None, networks: Networks | None) -> None:
    if isinstance(loss, Teacher) and loss.teacher_folder is None:
        raise SpecError(
            "method.losses = teacher needs method.teacher_folder, the folder of an exported network.",
            "Write one with `trial export` or `train --export`, and give its path.",
        )
    if not isinstance(loss, Distillation):
        return
    if loss.teachers == "members" and networks is None:
        raise SpecError(
            "method.losses = distillation learns from the other networks, but there is one.",
            "Set method.networks, such as method.n_members=2.",
        )
    if loss.teachers == "generation" and not isinstance(schedule, Generations):
        raise SpecError(
            "method.teachers = generation learns from the generation before, but the method has no generations.",
            "Take method.schedule = generations, or method.teachers = members with method.n_members=2.",
        )
