"""The methods of the catalog as values: RePr, its relatives and their controls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reprtune.spec.codec import from_plain, to_plain
from reprtune.spec.duration import Duration
from reprtune.spec.edit import put_all
from reprtune.spec.method import MethodSpec
from reprtune.spec.parts import criteria, losses, members, restores, schedules, selections

EPOCH = Duration.parse("1ep")
STANDARD = MethodSpec()
REPR = MethodSpec(
    schedule=schedules.Cycles(),
    criterion=criteria.Ortho(),
    selection=selections.Share(),
    drop=selections.Exact(),
    restore=restores.Orthogonal(),
    restore_rules=restores.RestoreRules(),
)
LR_RESTART = MethodSpec(
    schedule=schedules.Cycles(s2=Duration.parse("0ep")),
    restore_rules=restores.RestoreRules(restore_bn="keep", restore_optimizer="keep", restore_lr="restart"),
)
AVERAGING = MethodSpec(
    schedule=schedules.Every(period=EPOCH), exchange=members.Average(), networks=members.Networks()
)
ENSEMBLE = MethodSpec(networks=members.Networks())
SFP = MethodSpec(
    schedule=schedules.Every(period=EPOCH),
    criterion=criteria.L2(),
    selection=selections.Share(scope="layer", exclude_first=False),
    restore=restores.Zero(),
    restore_rules=restores.RestoreRules(restore_bn="keep", restore_optimizer="keep"),
)
DSD = MethodSpec(
    schedule=schedules.Cycles(cycles=1),
    criterion=criteria.Magnitude(),
    selection=selections.Weights(),
    drop=selections.SingleWeights(),
    restore=restores.Zero(),
    restore_rules=restores.RestoreRules(
        restore_bn="keep", restore_optimizer="keep", restore_lr="scaled", restore_lr_scale=0.1
    ),
)
GRAFTING = replace(AVERAGING, exchange=members.Ring())
GRAFTING_INTERNAL = MethodSpec(schedule=schedules.Every(period=EPOCH), exchange=members.Internal())
C_SGD = MethodSpec(
    schedule=schedules.Phase(),
    selection=selections.Clusters(exclude_first=False),
    gradient=members.Centripetal(),
    ending=members.Trim(),
)
TRANSFORMS = replace(REPR, drop=selections.Tied(), restore=restores.Untied(), restore_rules=None)
WEIGHT_EVOLUTION = MethodSpec(
    schedule=schedules.Every(period=EPOCH),
    criterion=criteria.L1(),
    selection=selections.Dormant(tau=0.1, tau_of="max"),
    restore=restores.Crossover(),
)
REDO = MethodSpec(
    schedule=schedules.Every(period=EPOCH),
    criterion=criteria.Activation(),
    selection=selections.Share(prune_ratio=0.05, scope="layer", exclude_first=False),
    restore=restores.Random(),
    restore_rules=restores.RestoreRules(restore_next="zero"),
)
KNOWLEDGE_EVOLUTION = MethodSpec(
    schedule=schedules.Generations(),
    selection=selections.Fixed(),
    restore=restores.Random(),
    restore_rules=restores.RestoreRules(restore_bn="keep", restore_next="random", restore_lr="restart"),
)
LATER_LAYER_FORGETTING = MethodSpec(
    schedule=schedules.Generations(),
    selection=selections.Later(),
    restore=restores.Random(),
    restore_rules=restores.RestoreRules(restore_bn="keep", restore_lr="restart"),
)
BAN = MethodSpec(
    schedule=schedules.Generations(generations=3),
    selection=selections.Everything(),
    restore=restores.Random(),
    restore_rules=restores.RestoreRules(restore_lr="restart"),
    losses=(losses.Distillation(teachers="generation"),),
)


def compose(base: MethodSpec = REPR, **words: Any) -> MethodSpec:
    """`base` with parts and options changed: `compose(cycles=2, s1="5ep", criterion="l2")`.

    Raises:
        SpecError: there is no such place or option, or a value breaks its rule.
    """
    plain = {"method": to_plain(base)}
    put_all(plain, {f"method.{word}": to_plain(value) for word, value in words.items()})
    return from_plain(MethodSpec, plain["method"], "method")
