"""The rules of the house: which room may use which, and what every file promises."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from reprtune.record.outcomes import Outcome
from tests.conftest import ROOT

# Room -> the rooms it may import. Everybody may import these, and the version in `reprtune`.
SHARED = {"reprtune", "errors", "settings", "importing", "files", "signals", "passwords", "processes"}
STUDYING = {"training", "tracking", "analysis", "record", "stopping", "states", "spec", "history"}
ARROWS: dict[str, set[str]] = {
    **{room: set() for room in SHARED},
    "reprtune": {
        "notebook"
    },  # the front door: names for type checkers, and at run time none before it is asked for
    "history": set(),
    "spec": {"history"},
    "states": set(),
    "stopping": {"spec"},
    "training": {"states", "spec", "history"},
    "record": {"spec", "history"},
    "analysis": {"stopping", "record", "spec", "history"},  # dashboards -> analysis -> record -> spec
    "dashboards": {"analysis", "stopping", "record", "spec", "history"},
    "tracking": {"record", "states", "spec", "history"},
    "study": STUDYING,
    "work": {"study", *STUDYING},
    "doctor": {"study", "work", *STUDYING},
    "studies": {"spec"},
    "notebook": {"console", "work", "study", *STUDYING, "dashboards"},  # offers what all of them can
    "cli": {"commands"},
    "console": {"cli"},
    "postgres": set(),
    "commands": {"doctor", "postgres", "work", "study", *STUDYING, "dashboards", "studies"},
    "benchmarks": {"work", "study", *STUDYING, "studies", "dashboards"},
}
# Library -> the rooms that may import it.
LIBRARIES: dict[str, set[str]] = {
    "torch": {"training", "benchmarks"},
    "torchvision": {"training", "benchmarks"},
    "mlflow": {"tracking", "doctor"},
    "optuna": {
        "record",
        "stopping",
        "study",
        "work",
        "analysis",
        "benchmarks",
    },  # benchmarks: its pruners beside ours
    "plotly": {"dashboards"},
    "click": {"cli", "commands"},
}
NO_TORCH = (
    "spec",
    "history",
    "states",
    "stopping",
    "record",
    "tracking",
    "analysis",
    "dashboards",
    "studies",
)
PRIVATE_ROOM = "reprtune.record.optuna_private"
OWN = re.compile(r"\bself\.(_[a-z]\w*)|\bdef (_[a-z]\w*)")  # private names in the source of a class
HEAVY = ("torch", "optuna", "mlflow", "plotly", "numpy", "scipy", "sklearn", "pandas", "sqlalchemy")
MAX_LINES = 400
MAX_HELP_SECONDS = 0.3
TEXTS = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".html", ".css", ".js", ".cfg", ".sh"}


def python_files(*folders: str) -> list[Path]:
    """Python files of the given folders of the repository, and cli.py with the empty list."""
    found = [p for folder in folders for p in sorted((ROOT / folder).rglob("*.py"))]
    return found or [p for p in [ROOT / "cli.py"] if p.exists()]


PROJECT = python_files("reprtune", "commands", "studies", "dashboards", "benchmarks") + python_files()
EVERY = PROJECT + python_files("tests")


def module_name(path: Path) -> str:
    """`reprtune/spec/task.py` as `reprtune.spec.task`, a package by its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for p in PROJECT}


def room(module: str) -> str:
    """The room a module of ours belongs to."""
    top, *rest = module.split(".")
    return rest[0] if top == "reprtune" and rest else top


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(module, line) of every import in a file, inside functions too; names that are modules in full."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relative to itself"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner if inner in MODULES else str(node.module)), node.lineno


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_arrows() -> None:
    """A room imports only the rooms below it, as the table of arrows says."""
    wrong = []
    for name, path in MODULES.items():
        allowed = ARROWS[room(name)] | SHARED | {room(name)}
        wrong += [
            f"{where(path, line)}: {room(name)} -> {room(target)}"
            for target, line in imports(path)
            if target.split(".")[0]
            in {"reprtune", "commands", "studies", "dashboards", "benchmarks", "cli", "tests"}
            and room(target) not in allowed
        ]
    assert not wrong, "\n".join(wrong)


def test_libraries() -> None:
    """torch, mlflow, optuna, plotly and click are each imported only in their own rooms."""
    wrong = [
        f"{where(path, line)}: {target} in {room(name)}"
        for name, path in MODULES.items()
        for target, line in imports(path)
        if room(name) not in LIBRARIES.get(target.split(".")[0], {room(name)})
    ]
    assert not wrong, "\n".join(wrong)


def test_one_file_joins_training_with_optuna_and_mlflow() -> None:
    """Only work/attempt.py knows the training loop and also Optuna or MLflow."""
    both = []
    for name, path in MODULES.items():
        targets = [target for target, _ in imports(path)]
        if any(t.startswith("reprtune.training") for t in targets) and any(
            t.split(".")[0] in ("optuna", "mlflow") for t in targets
        ):
            both.append(name)
    assert set(both) <= {"reprtune.work.attempt"}


def private_names(source: str) -> set[str]:
    """Names with one leading underscore that the source gives its objects."""
    return {name for match in OWN.finditer(source) for name in match.groups() if name}


def of_optuna() -> set[str]:
    """Private names of all objects of Optuna, by its own source."""
    import optuna

    folder = Path(str(optuna.__file__)).parent
    return private_names("\n".join(path.read_text() for path in folder.rglob("*.py")))


def is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def touches(path: Path, private: set[str]) -> Iterator[tuple[str, int]]:
    """(what, line) where a file imports, names or asks for something private of Optuna."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (name := f"{node.module}.{alias.name}").startswith("optuna.") and "._" in name:
                    yield name, node.lineno
        elif isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names if re.match(r"optuna\..*\b_", a.name))
        elif isinstance(node, ast.Constant) and re.match(r"optuna\.[\w.]*\b_", str(node.value)):
            yield str(node.value), node.lineno
        elif isinstance(node, ast.Attribute) and node.attr in private and not is_own(node):
            yield node.attr, node.lineno


def overridden(name: str) -> set[str]:
    """Private names of Optuna's classes that the classes of one of our modules use or replace."""
    ours = [c for _, c in inspect.getmembers(importlib.import_module(name), inspect.isclass)]
    return {
        private
        for one in ours
        if one.__module__ == name
        for base in one.__mro__
        if base.__module__.startswith("optuna.")
        for private in private_names(inspect.getsource(base)) & private_names(inspect.getsource(one))
    }


def test_private_names_of_optuna_are_used_in_one_room() -> None:
    """Optuna may change them with every minor version: one folder then shows all that has to follow."""
    private = of_optuna()
    outside = {name: path for name, path in MODULES.items() if not name.startswith(PRIVATE_ROOM)}
    wrong = [
        f"{where(path, line)}: {what}" for path in outside.values() for what, line in touches(path, private)
    ]
    wrong += [
        f"{where(path, 1)}: {sorted(found)}"
        for name, path in outside.items()
        if any(target.split(".")[0] == "optuna" for target, _ in imports(path))
        and (found := overridden(name))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_import_cycles() -> None:
    """No module imports itself through others, imports inside functions included; the front door imports nothing
    but what it is asked for."""
    graph = {
        name: {t for t, _ in imports(path) if t in MODULES and t != name}
        for name, path in MODULES.items()
        if name != "reprtune"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_rooms_without_torch() -> None:
    """Reading, analysing and drawing a study never loads torch, not even through a library."""
    names = [name for name in MODULES if room(name) in NO_TORCH]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name + ' loads torch'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not (ROOT / "cli.py").exists(), reason="there is no cli.py yet")
def test_cli_loads_nothing_heavy() -> None:
    """Importing cli.py loads click and our light modules; the rest waits for the command that needs it."""
    code = f"import sys, cli; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not done.stdout.split()


def test_the_front_door_loads_nothing_heavy() -> None:
    """`import reprtune` loads no module of ours beside it, and the values of a study none of the heavy libraries; what
    is heavy waits for the call that needs it."""
    code = f"""if True:
        import sys, reprtune
        assert not [name for name in sys.modules if name.startswith("reprtune.")]
        reprtune.StudySpec, reprtune.run_trial, reprtune.read_study
        print(*[name for name in {HEAVY!r} if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not done.stdout.split()


def test_the_front_door_is_for_people() -> None:
    """Our own modules name what they need where it is: through the front door any room could reach any other."""
    import reprtune

    wrong = [
        where(path, node.lineno)
        for path in PROJECT
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "reprtune"
        if {alias.name for alias in node.names} & {*reprtune.__all__}
    ]
    assert not wrong, wrong


def test_the_front_door_offers_what_a_notebook_needs() -> None:
    """Every name resolves, is listed, is what `reprtune.notebook` has, and type checkers see the same ones; another
    name is refused as Python does."""
    import reprtune
    from reprtune import notebook

    path = MODULES["reprtune"]
    seen = [
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "reprtune.notebook"
        for alias in node.names
    ]
    assert sorted(seen) == sorted(reprtune.__all__) == sorted(notebook.__all__)
    assert {*reprtune.__all__, "__version__"} <= {*dir(reprtune)}
    for name in reprtune.__all__:
        assert getattr(reprtune, name) is getattr(notebook, name)
    with pytest.raises(AttributeError, match="module 'reprtune' has no attribute 'Study'"):
        _ = reprtune.Study


@pytest.mark.skipif(not (ROOT / "cli.py").exists(), reason="there is no cli.py yet")
def test_help_is_fast() -> None:
    """`python cli.py --help` takes under 0.3 s of CPU, user and system, best of three."""

    def cpu_seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    spent = []
    for _ in range(3):
        before = cpu_seconds()
        done = subprocess.run(
            [sys.executable, "cli.py", "--help"], cwd=ROOT, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        spent.append(cpu_seconds() - before)
    assert min(spent) < MAX_HELP_SECONDS, spent


def test_files_are_short() -> None:
    """No Python file reaches 400 lines."""
    lengths = {where(p, 1): len(p.read_text().splitlines()) for p in EVERY}
    assert not {path: n for path, n in lengths.items() if n >= MAX_LINES}


def test_outcomes_are_listed_in_one_file() -> None:
    """Whoever asks for several outcomes asks a property of theirs: no other literal names three of them."""
    words = {outcome.value for outcome in Outcome}

    def named(node: ast.AST) -> int:
        parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
        return sum(isinstance(part, ast.Constant) and part.value in words for part in parts)

    wrong = [
        where(path, node.lineno)
        for path in PROJECT
        if path != ROOT / "reprtune" / "record" / "outcomes.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Dict, ast.Tuple, ast.List, ast.Set)) and named(node) >= 3
    ]
    assert not wrong, wrong


def test_lint_ignores_are_specific() -> None:
    """Every `noqa` and `type: ignore` names the rule it sets aside."""
    vague = re.compile(r"#\s*(noqa(?!:\s?[A-Z]+\d)|type:\s?ignore(?!\[)|mypy:\s?ignore-errors|ruff:\s?noqa)")
    wrong = [
        where(path, number)
        for path in EVERY
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if vague.search(line) and "re.compile" not in line
    ]
    assert not wrong, wrong


def test_no_home_paths() -> None:
    """No file holds a path of somebody's machine."""
    home = re.compile(r"/(?:home|Users)/\w|/root/\w|[A-Z]:\\Users")
    files = [*EVERY, *(ROOT / "docs").rglob("*"), *(ROOT / "dashboards").rglob("*"), *ROOT.iterdir()]
    texts = [p for p in files if p.is_file() and (p.suffix in TEXTS or p.name == "Makefile")]
    wrong = [
        where(path, number)
        for path in texts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if home.search(line)
    ]
    assert not wrong, wrong
