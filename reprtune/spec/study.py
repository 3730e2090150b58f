"""One question as one value: where it begins from, and the sections of work that answer it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.branch import is_added
from reprtune.spec.codec import from_plain, later
from reprtune.spec.decisions import LEADER, PLAIN, Rule
from reprtune.spec.designs.add_one_in import AddOneIn
from reprtune.spec.designs.arm import Arm
from reprtune.spec.designs.design import Factor
from reprtune.spec.designs.factorial import FullFactorial, OneAtATime
from reprtune.spec.designs.fractional import FractionalFactorial
from reprtune.spec.designs.leave_one_out import LeaveOneOut
from reprtune.spec.designs.named import NamedArms, named
from reprtune.spec.designs.path import Path
from reprtune.spec.draws import Draws, first_of
from reprtune.spec.duration import Duration
from reprtune.spec.edit import changed
from reprtune.spec.names import check_name
from reprtune.spec.objectives import OF_ARMS, compared
from reprtune.spec.rules import proper_share
from reprtune.spec.sections.arms import Arms, Until, check_same_seeds
from reprtune.spec.sections.confirmation import Confirmation
from reprtune.spec.sections.lengths import lengths_of, plain_lengths
from reprtune.spec.sections.search import Search
from reprtune.spec.sections.section import Section
from reprtune.spec.sections.tune import Tune, next_seed
from reprtune.spec.space import Choice, DurationRange, FloatRange, IntRange, Range
from reprtune.spec.standing_rules import standing_rules
from reprtune.spec.stop_rules import StopRule
from reprtune.spec.trial import TrialSpec

MIN_FITTING_SHARE = 0.2
AnySection = Arms | Search | Confirmation


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """A question, and the sections that answer it.

    Attributes:
        name: letters, digits, `-`, `_` and `.`.
        question: what it asks. decision: which result would change our mind, beyond what the rules say. cost: what
            it takes.
        base: the trial that all others are changes of.
        sections: worked on in this order, the next begun while the last trials of the one before still run: arms,
            at most one search, at most one confirmation, which comes last. One alone needs no tuple.
        rules: what is decided, and by which comparison; see `reprtune.spec.decisions`.
        margin: a difference of error that is none to whoever asks, such as 0.005; see `reprtune.analysis.equivalence`.
    """

    name: str
    question: str
    decision: str = ""
    cost: str
    base: TrialSpec = field(default_factory=TrialSpec)
    sections: tuple[AnySection, ...]
    rules: tuple[Rule, ...] = ()
    margin: float | None = later(None)

    def __post_init__(self) -> None:
        check_name(self.name)
        given: Any = self.sections
        object.__setattr__(self, "sections", (given,) if isinstance(given, Section) else tuple(given))
        self._check_sections()
        for section in self.sections:
            section.check_in(self.base)
        self._check_arms()
        self._check_against()
        object.__setattr__(self, "rules", tuple(self.rules))
        if self.margin is not None:
            proper_share(
                "margin", self.margin, "It is a difference of error: 0.005 is half a percentage point."
            )
        self._check_rules()

    def _check_sections(self) -> None:
        names = [section.name for section in self.sections]
        if len(set(names)) != len(names):
            raise SpecError(
                f"Sections need different names, but got {names}.", "Give each a name of its own."
            )
        if any(one.name == Confirmation.name and not isinstance(one, Confirmation) for one in self.sections):
            raise SpecError(
                f"Only a confirmation may be named {Confirmation.name!r}: one that is added later has that name.",
                "Choose another name for the section.",
            )
        for kind in (Search, Confirmation):
            if sum(isinstance(section, kind) for section in self.sections) > 1:
                raise SpecError(f"A study has at most one {kind.kind}, but got {names}.")
        if not any(not isinstance(section, Confirmation) for section in self.sections):
            raise SpecError("sections must hold arms or a search, but has neither.", "Give Arms or a Search.")
        if self.confirmation is not None:
            self._check_confirmation(self.confirmation)

    def _check_arms(self) -> None:
        arms = [arm.name for arm in self.arms]
        if len(set(arms)) != len(arms):
            raise SpecError(f"Arms need different names, but got {arms}.")
        searched = None if self.search is None else tuple(self.space)
        for section in self.comparisons:
            section.design.check_study(f"{section.name}.design", self.base, arms, searched)

    def _check_confirmation(self, confirmation: Confirmation) -> None:
        if self.sections[-1] is not confirmation:
            raise SpecError("The confirmation must be the last section: it confirms those before it.")
        if used := sorted({*confirmation.seeds} & {*self.used_seeds}):
            raise SpecError(
                f"{confirmation.name}.seeds must be fresh, but {used} are seeds of the search or of arms, or of their tries.",
                f"Begin at {next_seed(self.used_seeds)}.",
            )

    def _check_against(self) -> None:
        """An arm is compared with others of the study, none of which was trained for less than it was."""
        names = [arm.name for arm in self.arms]
        for arm in self.arms:
            for name in arm.against:
                if name not in names or name == arm.name:
                    others = [other for other in names if other != arm.name]
                    raise SpecError(
                        f"{arm.name}.against must name other arms of the study, but got {name!r}.",
                        did_you_mean(name, others),
                    )
                self._check_budgets(f"{arm.name}.against = {name}", arm.name, name)

    def _check_rules(self) -> None:
        """A rule compares what there is, and nothing with an arm that was trained for less than it was."""
        names = [arm.name for arm in self.arms]
        pairs = [(rule.arm, rule.control) for rule in self.rules]
        for i, rule in enumerate(self.rules):
            where = f"rules[{i}]"
            if pairs[i] in pairs[:i]:
                raise SpecError(
                    f"{where} compares {rule.pair}, as another rule does.", "Leave one of them out."
                )
            if rule.control == PLAIN:
                self._check_plain(where, rule)
                continue
            if rule.control not in names:
                raise SpecError(
                    f"{where}.control must name an arm of the study, but got {rule.control!r}.",
                    did_you_mean(rule.control, names),
                )
            if rule.arm == LEADER and self.search is None:
                raise SpecError(
                    f"{where}.arm is {LEADER}, the best of the search, but the study has no search.",
                    "Name an arm, or add a Search.",
                )
            if rule.arm == LEADER:
                continue
            if rule.arm not in names:
                raise SpecError(
                    f"{where}.arm must name an arm of the study, or be {LEADER}, but got {rule.arm!r}.",
                    did_you_mean(rule.arm, [*names, LEADER]),
                )
            self._check_budgets(f"{where}: {rule.arm} against {rule.control}", rule.arm, rule.control)
        for rule in self.applied_rules:
            check_same_seeds(rule.arm, rule.control, self.comparisons, self.base)

    def _check_plain(self, where: str, rule: Rule) -> None:
        if rule.arm != LEADER or self.search is None:
            raise SpecError(
                f"{where}.control is {PLAIN}, which is there for the best of a search ({LEADER}), but its arm is "
                f"{rule.arm!r}.",
                "Name the arm that it has to beat.",
            )
        if len(self.lengths) < 2:
            raise SpecError(
                f"{where}.control is {PLAIN}, but the study has no other lengths of plain training.",
                "Add plain_lengths(total) to its arms.",
            )

    def _check_budgets(self, where: str, arm: str, control: str) -> None:
        if not self._may_meet(arm, control):
            ours, theirs = self._budget(arm), self._budget(control)
            raise SpecError(
                f"{where}: its networks are trained for {ours} in all, those of {control} for {theirs}, so a lower "
                "error would say nothing.",
                f"Name an arm of the same budget, such as plain training with training.total = {ours}.",
            )

    def _may_meet(self, arm: str, control: str) -> bool:
        """Is an arm not trained for more than its control, as far as their lengths can be compared?"""
        ours, theirs = self._budget(arm), self._budget(control)
        return ours.unit != theirs.unit or ours.value <= theirs.value

    def _budget(self, arm: str) -> Duration:
        return next(one.budget(self.base) for one in self.arms if one.name == arm)

    @property
    def applied_rules(self) -> tuple[Rule, ...]:
        """Its rules; where it names none, those that stand for them (`spec.standing_rules`)."""
        if self.rules or not self.arms:
            return self.rules
        arms = tuple(arm for arm in self.arms if arm.name not in self.explored)
        return standing_rules(arms, self.lengths, self._may_meet, searched=self.search is not None)

    @functools.cached_property
    def explored(self) -> frozenset[str]:
        """Arms added when there were results to see, branches and what they leave of a search: told, but no rule is made."""
        added = (arm for one in self.comparisons if is_added(one.name) for arm in one.arms(self.base))
        return frozenset(arm.name for arm in added)

    # -- sections -----------------------------------------------------------------------------------

    @property
    def search(self) -> Search | None:
        """Its search; None in a comparison of arms."""
        return next((section for section in self.sections if isinstance(section, Search)), None)

    @property
    def comparisons(self) -> tuple[Arms, ...]:
        """Its sections of arms."""
        return tuple(section for section in self.sections if isinstance(section, Arms))

    @property
    def confirmation(self) -> Confirmation | None:
        return next((section for section in self.sections if isinstance(section, Confirmation)), None)

    @functools.cached_property
    def arms(self) -> tuple[Arm, ...]:
        """The arms of all its sections."""
        return tuple(arm for section in self.comparisons for arm in section.arms(self.base))

    def planned(self, section: AnySection) -> int:
        """How many trials a section will have at most."""
        return section.planned(self.base, len(self.arms))

    @functools.cached_property
    def lengths(self) -> Mapping[str, Duration]:
        """Arm -> its total, of those that are plain training, `standard` and other lengths of it: they are what all else
        is held against, and claim nothing themselves."""
        return lengths_of({arm.name: changed(self.base, arm.changes) for arm in self.arms})

    @property
    def used_seeds(self) -> tuple[int, ...]:
        """Every seed that the search or an arm is trained with; to a confirmation none of them is fresh."""
        of = [section for section in self.sections if not isinstance(section, Confirmation)]
        return tuple(sorted({seed for section in of for seed in section.declared_seeds(self.base)}))

    def section(self, name: str) -> AnySection:
        """The section of that name.

        Raises:
            SpecError: there is none.
        """
        for section in self.sections:
            if section.name == name:
                return section
        raise SpecError(
            f"The study {self.name!r} has no section {name!r}.",
            did_you_mean(name, [section.name for section in self.sections]),
        )

    def with_section(self, section: AnySection) -> StudySpec:
        """The study with another value of the section of that name, or with one more at its end, but for the confirmation."""
        if section.name in {one.name for one in self.sections}:
            sections = tuple(section if one.name == section.name else one for one in self.sections)
        else:  # a confirmation stays the last one
            last = [one for one in self.sections if one is self.confirmation]
            sections = (*(one for one in self.sections if one not in last), section, *last)
        return replace(self, sections=sections)

    def arm_cells(self, steps: int | None = None) -> list[tuple[str, int, TrialSpec]]:
        """(arm, seed, trial) of every arm with each of its seeds; given the `steps` per epoch, of every try too."""
        return [
            (arm.name, seed, changed(self.base, {**arm.changes, "seed": seed}))
            for section in self.comparisons
            for arm, seed in (*section.cells(self.base), *(section.tries(self.base, steps) if steps else ()))
        ]

    # -- the search, where there is one -------------------------------------------------------------

    @property
    def space(self) -> Mapping[str, Range]:
        """What the search varies; empty without one."""
        return self.search.space if self.search else {}

    @property
    def slots(self) -> int:
        """How many trials the search has; 0 without one."""
        return self.search.slots if self.search else 0

    @property
    def objectives(self) -> tuple[str, ...]:
        """What is minimised: by the search, or in a comparison of arms what arms are compared by."""
        return self.search.objectives if self.search else OF_ARMS

    @property
    def compared(self) -> tuple[str, ...]:
        """What its trials are held against each other by."""
        return compared(self.objectives)

    @functools.cached_property
    def draws(self) -> Draws:
        """What may be drawn from the space."""
        return Draws(self.base, self.space)

    @property
    def names(self) -> dict[str, str]:
        """Path of the space -> name in Optuna: its last words, one where that is enough."""
        return self.draws.names

    @property
    def params(self) -> dict[str, Range]:
        """Name in Optuna -> range."""
        return {self.names[path]: range_ for path, range_ in self.space.items()}

    @property
    def is_conditional(self) -> bool:
        """Are there draws in which some parameter does not exist?"""
        return bool(self.draws.dependent)

    def draw(self, suggest: Callable[[str, Range], Any]) -> dict[str, Any]:
        """Name in Optuna -> value, of the parameters that exist in one draw.

        Args:
            suggest: called with a parameter's name and range; its value.
        """
        return self.draws.draw(suggest)

    def settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What a sampler's draw changes in the base: path of the trial specification -> plain value."""
        return self.draws.settings(params)

    def trial(self, params: Mapping[str, Any]) -> TrialSpec:
        """The trial that a sampler's draw describes."""
        return changed(self.base, self.settings(params))

    @property
    def n_seeds(self) -> int:
        """With how many seeds a trial of the search is trained; 1 without one."""
        return self.search.seeds if self.search else 1

    def trial_seeds(self) -> tuple[int, ...]:
        """The seeds of every trial of the search, in their order."""
        return self.search.trial_seeds(self.base.seed) if self.search else ()

    def first_drops(self, steps_per_epoch: int) -> frozenset[int]:
        """The steps at which something may first happen in a trial of the study; up to there trials are alike."""
        tries = (one for section in self.comparisons for one, _ in section.tries(self.base, steps_per_epoch))
        of_tries = (one for arm in tries for one in first_of(changed(self.base, arm.changes)))
        return frozenset(length.steps(steps_per_epoch) for length in (*self._first_lengths, *of_tries))

    @functools.cached_property
    def _first_lengths(self) -> frozenset[Duration]:
        arms = (changed(self.base, arm.changes) for arm in self.arms)
        return frozenset([*self.draws.first_lengths(), *(one for arm in arms for one in first_of(arm))])

    def fitting_share(self, steps_per_epoch: int) -> float:
        """Share of uniform draws whose choices go together and whose schedule fits the total; 1 without a search."""
        return self.draws.fitting_share(steps_per_epoch)


def read_section(plain: Any) -> AnySection:
    """A section from its plain form.

    Raises:
        SpecError: it is none.
    """
    return from_plain(AnySection, plain, "section")  # type: ignore[arg-type]  # a union is a type here


__all__ = [
    "LEADER",
    "PLAIN",
    "AddOneIn",
    "Arm",
    "Arms",
    "Choice",
    "Confirmation",
    "DurationRange",
    "Factor",
    "FloatRange",
    "FractionalFactorial",
    "FullFactorial",
    "IntRange",
    "LeaveOneOut",
    "NamedArms",
    "OneAtATime",
    "Path",
    "Rule",
    "Search",
    "StopRule",
    "StudySpec",
    "TrialSpec",
    "Tune",
    "Until",
    "check_name",
    "named",
    "plain_lengths",
    "read_section",
]
