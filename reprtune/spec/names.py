"""What a study, a section or an arm may be called: by such a name files and runs are called too."""

from __future__ import annotations

import re

from reprtune.errors import SpecError

LONGEST = 100  # characters


def check_name(name: str) -> None:
    """Raise SpecError unless `name` can be the name of a file, a run and a study everywhere."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise SpecError(
            f"A name holds letters, digits, '-', '_' and '.', starts with a letter or digit and has "
            f"at most {LONGEST} characters, but got {name!r}."
        )


def role_of(section: str) -> str:
    """What one trial of a section is called: `control` of `controls`, `branch` of `branches`."""
    return section.removesuffix("es" if section.endswith("ches") else "s")
