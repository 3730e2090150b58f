"""What a study would train, counted by the names of its states: nothing is trained, and nothing written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from reprtune.analysis.plan import Cost, Plan, SectionPlan, planned_rules
from reprtune.analysis.plan_factors import planned_effects
from reprtune.errors import SpecError
from reprtune.settings import Settings
from reprtune.spec.designs.add_one_in import AddOneIn
from reprtune.spec.designs.arm import BASELINE, Arm
from reprtune.spec.designs.design import Design
from reprtune.spec.designs.factorial import FullFactorial
from reprtune.spec.designs.fractional import FractionalFactorial
from reprtune.spec.designs.leave_one_out import LeaveOneOut
from reprtune.spec.designs.nulls import nulls
from reprtune.spec.edit import changed
from reprtune.spec.sections.arms import Arms
from reprtune.spec.sections.search import Search
from reprtune.spec.study import AnySection, StudySpec
from reprtune.spec.trial import TrialSpec
from reprtune.training.chain.chain import Chain, LoadedData
from reprtune.training.platform.device import choose_device


@dataclass(frozen=True)
class Course:
    """What a run trains, as its chain of states has it.

    Attributes:
        names, stops: of each state, its name and the step it stands at. left: names of those that stay for others.
        networks: that are trained. before: steps of all networks that it begins from.
        epoch: steps per epoch.
    """

    names: tuple[str, ...]
    stops: tuple[int, ...]
    left: frozenset[str]
    networks: int
    before: int
    epoch: int

    @property
    def steps(self) -> int:
        """Of all its networks."""
        return self.stops[-1] * self.networks

    def left_to_train(self, there: Iterable[str]) -> int:
        """Steps from the deepest state that is there, of all its networks."""
        stored = {*there}
        deepest = max((i for i, name in enumerate(self.names) if name in stored), default=0)
        return self.steps - self.stops[deepest] * self.networks


def plan_study(
    spec: StudySpec, settings: Settings, sd: float | None = None, *, measured: bool = False
) -> Plan:
    """What it would be; its data are read, and every network is built once, on the CPU.

    Args:
        sd: of paired differences, in error, where it is known. measured: by the runs of a stored study.

    Raises:
        SpecError, DataError, ModelError: an arm is no trial, or does not fit its total; as `Chain` does.
    """
    data = LoadedData(settings.data_dir, choose_device("cpu"))
    courses = courses_of(spec, data)
    epoch = data.batches(spec.base).steps_per_epoch
    first, most = (_cost_of_arms(spec, courses, epoch, most=most) for most in (False, True))
    standard = courses.get(BASELINE)
    per_budget = _budget(standard) if standard else spec.base.training.total.steps(epoch)
    sections = tuple(_section(spec, one, courses, per_budget, epoch) for one in spec.sections)
    return Plan(
        name=spec.name,
        question=spec.question,
        sections=sections,
        arms=first,
        most=most,
        rules=planned_rules(spec),
        sd=sd,
        measured=measured,
    )


def courses_of(spec: StudySpec, data: LoadedData) -> dict[str, Course]:
    """Arm, or try -> what a run of it trains; seeds differ in the names alone, and not in what is shared."""
    steps = data.batches(spec.base).steps_per_epoch
    tries = [one for section in spec.comparisons for one, _ in section.tries(spec.base, steps)]
    found = dict[str, Course]()
    for arm in (*spec.arms, *{one.name: one for one in tries}.values()):
        try:
            found[arm.name] = _course(changed(spec.base, arm.changes), data, spec)
        except SpecError as error:
            raise SpecError(f"The arm {arm.name}: {error.message}", error.hint) from error
    return found


def _course(trial: TrialSpec, data: LoadedData, spec: StudySpec) -> Course:
    chain = Chain(trial, data, keep="beginnings", shared_steps=spec.first_drops)
    return Course(
        names=tuple(chain.names),
        stops=(0, *(item.stop for item in chain.items)),
        left=frozenset([*chain.beginnings(), chain.names[-1]]),
        networks=len(chain.networks.members),
        before=chain.networks.steps_before,
        epoch=data.batches(trial).steps_per_epoch,
    )


def _budget(course: Course) -> int:
    return course.steps + course.before


# -- cost -------------------------------------------------------------------------------------------


def _cost_of_arms(spec: StudySpec, courses: dict[str, Course], epoch: int, *, most: bool) -> Cost:
    """Of all sections of arms together, with their tries, for a run of one may go on from a state of another."""
    by_seed: dict[int, list[str]] = {}
    for section in spec.comparisons:
        for one, seed in section.tries(spec.base, epoch):
            by_seed.setdefault(seed, []).append(one.name)
        for arm in section.arms(spec.base):
            for seed in section.all_seeds if most else section.seeds:
                by_seed.setdefault(seed, []).append(arm.name)
    times = Counter(tuple(arms) for arms in by_seed.values())
    return _sum(cost([courses[arm] for arm in arms]) for arms in times.elements())


def cost(courses: Sequence[Course]) -> Cost:
    """Of runs with one seed, in this order."""
    there: set[str] = set()
    shared = []
    for one in courses:
        shared.append(one.left_to_train(there))
        there |= one.left
    return Cost(
        runs=len(courses),
        trainings=sum(one.networks for one in courses),
        steps=sum(one.steps for one in courses),
        epochs=sum(one.steps / one.epoch for one in courses),
        shared_steps=sum(shared),
        shared_epochs=sum(n / one.epoch for n, one in zip(shared, courses, strict=True)),
    )


def _sum(costs: Iterable[Cost]) -> Cost:
    costs = list(costs)
    return Cost(
        runs=sum(one.runs for one in costs),
        trainings=sum(one.trainings for one in costs),
        steps=sum(one.steps for one in costs),
        epochs=sum(one.epochs for one in costs),
        shared_steps=sum(one.shared_steps or 0 for one in costs),
        shared_epochs=sum(one.shared_epochs or 0 for one in costs),
    )


# -- sections ---------------------------------------------------------------------------------------


def _section(
    spec: StudySpec, section: AnySection, courses: dict[str, Course], per_budget: int, epoch: int
) -> SectionPlan:
    most = spec.planned(section)
    if not isinstance(section, Arms):
        seeds = section.trial_seeds(spec.base.seed) if isinstance(section, Search) else section.seeds
        return SectionPlan(
            name=section.name, kind=section.kind, design="", line=section.line, arms=(), most_arms=0,
            seeds=tuple(seeds), fewest=most, most=most, aliases={}, budgets={},
            cost=_of_search(spec, section, epoch) if isinstance(section, Search) else None,
        )  # fmt: skip
    arms, design = section.arms(spec.base), section.design
    of = [courses[arm.name] for arm in arms]
    return SectionPlan(
        name=section.name,
        kind=section.kind,
        design=design.kind,
        line=design.line,
        arms=tuple(arm.name for arm in arms),
        most_arms=design.planned(spec.base),
        seeds=section.seeds,
        fewest=len(arms) * (len(section.seeds) + (section.tune.runs if section.tune else 0)),
        most=most,
        budgets={arm.name: _budget(one) / per_budget for arm, one in zip(arms, of, strict=True)},
        cost=_sum([cost(of)] * len(section.seeds)),
        effects=planned_effects([arm.levels for arm in arms], len(section.seeds))
        if design.is_factorial
        else (),
        **_of_tune(spec, section, courses, epoch),
        **_of_design(spec, design, arms),
    )


def _of_tune(spec: StudySpec, section: Arms, courses: dict[str, Course], epoch: int) -> dict[str, Any]:
    """How its arms are tuned, and what that costs."""
    tune = section.tune
    if tune is None:
        return {}
    tries = [courses[one.name] for one, seed in section.tries(spec.base, epoch) if seed == tune.all_seeds[0]]
    return {
        "tries": tune.tries,
        "try_seeds": tune.seeds,
        "tuned": tuple(tune.space),
        "tuning": _sum([cost(tries)] * tune.seeds),
    }


def _of_design(spec: StudySpec, design: Design, arms: Sequence[Arm]) -> dict[str, Any]:
    """Its factors, what is left out, and what cannot be told apart."""
    if isinstance(design, (FullFactorial, FractionalFactorial)):
        return {
            "factors": {factor.name: tuple(factor.levels) for factor in design.factors},
            "aliases": design.aliases,
            "resolution": design.achieved if isinstance(design, FractionalFactorial) else None,
            "asked": design.asked if isinstance(design, FullFactorial) else None,
        }
    if not isinstance(design, (LeaveOneOut, AddOneIn)):
        return {"aliases": {}}
    found = nulls(design.arm, spec.base)
    left_out = (
        [pair for arm in arms for pair in arm.levels.items()] if isinstance(design, LeaveOneOut) else []
    )
    return {
        "left_out": tuple(left_out),
        "kept": design.without,
        "refused": tuple((n.factor, n.level, n.refused) for n in found if n.refused),
        "aliases": {},
    }


def _of_search(spec: StudySpec, search: Search, epoch: int) -> Cost:
    """At most: each trial as long as the base, none stopped early, and nothing shared."""
    runs = search.slots * search.seeds
    steps = runs * spec.base.training.total.steps(epoch) * spec.base.method.n_members
    return Cost(runs=runs, trainings=runs * spec.base.method.n_members, steps=steps, epochs=steps / epoch)
