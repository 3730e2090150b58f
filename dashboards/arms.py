"""What the arms of a study are called: in a comparison they are the subject, beside a search they are its controls."""

from __future__ import annotations

from dataclasses import dataclass

from reprtune.spec.study import StudySpec


@dataclass(frozen=True, kw_only=True)
class ArmWords:
    """`one`: `arm` or `control`. `name`: of its sections of arms, as the study itself calls them; empty without."""

    one: str
    name: str

    @property
    def many(self) -> str:
        return f"{self.one}s"

    @property
    def title(self) -> str:
        """`Arms`, or `Controls` with the name of their section where that is another."""
        said = self.many.capitalize()
        return said if self.name in ("", self.many) else f"{said}: {self.name}"


def arm_words(spec: StudySpec) -> ArmWords:
    """The words of a study."""
    return ArmWords(
        one="control" if spec.search else "arm", name=", ".join(section.name for section in spec.comparisons)
    )
