"""Find a study: one of ours by name, or the `STUDY` of a person's own file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from reprtune.errors import SpecError, did_you_mean
from reprtune.spec.study import StudySpec
from studies import STUDIES


def load(name: str) -> StudySpec:
    """The study called `name`, or in the file `name` when that ends in `.py`.

    Raises:
        SpecError: no such study or file, or the file has no `STUDY`.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name not in STUDIES:
        raise SpecError(
            f"There is no study {name!r} in studies/.",
            f"{did_you_mean(name, STUDIES)} A study of your own is given as the path of its .py file.",
        )
    module, _, attribute = STUDIES[name].partition(":")
    return _checked(getattr(importlib.import_module(module), attribute, None), name)


def _from_file(path: Path) -> StudySpec:
    if not path.is_file():
        raise SpecError(f"There is no file {path}.", "Name a Python file that holds STUDY = StudySpec(...).")
    spec = importlib.util.spec_from_file_location(f"study_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except SpecError:
        raise
    except (Exception, SystemExit) as error:
        raise SpecError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    return _checked(getattr(module, "STUDY", None), str(path))


def _checked(study: object, where: str) -> StudySpec:
    if not isinstance(study, StudySpec):
        raise SpecError(
            f"{where} holds no STUDY of the type StudySpec.",
            "Begin from studies/repr_ablation.py.",
        )
    return study
