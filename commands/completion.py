"""`completion`: Tab completes commands, options, studies, slots and `--set` paths in the user's shell.

Click's own scripts complete a program on the PATH. Ours complete `python cli.py`, `python3 cli.py`, `./cli.py`
and `reprtune`, however their paths are written, and only this checkout's cli.py and this environment's reprtune:
no other program of that name is ever started by a Tab.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

from commands.options import examples

SCRIPT = Path(__file__).resolve().parents[1] / "cli.py"
CONSOLE = (
    Path(sys.executable).parent / "reprtune"
).resolve()  # there is one if pip installed it beside Python
BEGIN, END = "# >>> reprtune completion >>>", "# <<< reprtune completion <<<"
START_FILES = {
    "bash": "~/.bashrc",
    "zsh": "~/.zshrc",
    "fish": "~/.config/fish/completions/python.reprtune.fish",
}

BASH = r"""
_reprtune_complete() {
    local IFS=$'\n' program=${COMP_WORDS[0]/#\~/$HOME} script=${COMP_WORDS[1]/#\~/$HOME} answer
    local -a start=("$program" "$script")
    [[ ${program##*/} == cli.py ]] && script=$program start=("$program")
    [[ ${program##*/} == reprtune ]] && script=$(type -P "$program") start=("$script")
    COMPREPLY=()
    if ! [[ "$script" -ef %(script)s || "$script" -ef %(console)s ]]; then
        [[ -n $_reprtune_before ]] && "$_reprtune_before" "$@"
        return
    fi
    answer=$(_CLI_PY_COMPLETE=bash_complete REPRTUNE_LINE="${COMP_LINE:0:COMP_POINT}" \
        REPRTUNE_BREAKS="$COMP_WORDBREAKS" "${start[@]}" 2>/dev/null) || return
    COMPREPLY=($answer)
    [[ "$answer" == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
_reprtune_before=$(complete -p python 2>/dev/null | sed -n 's/.*-F \([^ ]*\) .*/\1/p')
[[ $_reprtune_before == _reprtune_complete ]] && _reprtune_before=
complete -o default -o bashdefault -F _reprtune_complete python python3 cli.py reprtune
"""
ZSH = r"""
_reprtune_complete() {
    local program=${~words[1]} script=${~words[2]}
    local -a start answer
    start=("$program" "$script")
    [[ ${program:t} == cli.py ]] && script=$program start=("$program")
    [[ ${program:t} == reprtune ]] && script=$(whence -p -- "$program") start=("$script")
    if ! [[ "$script" -ef %(script)s || "$script" -ef %(console)s ]]; then
        if (( $+functions[_python] )); then _python "$@"; else _default "$@"; fi
        return
    fi
    answer=("${(@f)$(_CLI_PY_COMPLETE=zsh_complete REPRTUNE_LINE="${(j: :)words[1,CURRENT]}" "${start[@]}" 2>/dev/null)}")
    answer=(${answer:#})
    (( $#answer )) || { _files; return }
    compadd -S '' -- ${(M)answer:#*=}
    compadd -- ${answer:#*=}
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _reprtune_complete python python3 cli.py reprtune
"""
FISH = r"""
function __reprtune_here
    set -l typed (commandline -opc)
    set -l script $typed[1]
    if string match -qr '(^|/)reprtune$' -- $script
        set script (command -s (string replace -r '^~' $HOME -- $script))
    else
        string match -q '*cli.py' -- $script; or set script $typed[2]
    end
    test -n "$script"; and contains (path resolve -- (string replace -r '^~' $HOME -- $script)) %(script)s %(console)s
end
function __reprtune_complete
    set -l typed (commandline -opc)
    set -l start (string replace -r '^~' $HOME -- $typed[1])
    string match -qr 'cli.py$|(^|/)reprtune$' -- $start; or set -a start (string replace -r '^~' $HOME -- $typed[2])
    _CLI_PY_COMPLETE=fish_complete REPRTUNE_LINE=(commandline -cp | string collect) $start 2>/dev/null
end
for program in python python3 cli.py reprtune
    complete --command $program --condition __reprtune_here --arguments '(__reprtune_complete)'
end
"""


class _Complete(ShellComplete):
    """The line as it was typed comes in `REPRTUNE_LINE`; a line for each way to go on is printed."""

    def get_completion_args(self) -> tuple[list[str], str]:
        return arguments(os.environ.get("REPRTUNE_LINE", ""))

    def format_completion(self, item: CompletionItem) -> str:
        return str(item.value)

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """None where anything goes wrong: a Tab never ends in a traceback."""
        with contextlib.suppress(Exception):
            found = super().get_completions(args, incomplete)
            return [item for item in found if item.type == "plain" and str(item.value).isprintable()]
        return []


def arguments(line: str) -> tuple[list[str], str]:
    """The words after cli.py or reprtune that are whole, and the one that is being typed."""
    words = split_arg_string(line)
    if not words or line[-1:].isspace():
        words.append("")
    is_script = Path(words[0]).name != CONSOLE.name
    at = next((i for i, word in enumerate(words) if is_script and word.endswith("cli.py")), 0)
    return words[at + 1 : -1], words[-1]


class Bash(_Complete):
    name = "bash"
    source_template = BASH

    def format_completion(self, item: CompletionItem) -> str:
        """Without what stands before the last `=` or `:`, at which bash begins a new word."""
        _, incomplete = self.get_completion_args()
        breaks = set(os.environ.get("REPRTUNE_BREAKS", "=:")) & set("=:")
        cut = max((incomplete.rfind(character) for character in breaks), default=-1) + 1
        return str(item.value)[cut:]


class Zsh(_Complete):
    name = "zsh"
    source_template = ZSH


class Fish(_Complete):
    name = "fish"
    source_template = FISH


SHELLS: dict[str, type[_Complete]] = {kind.name: kind for kind in (Bash, Zsh, Fish)}
for kind in SHELLS.values():
    add_completion_class(kind)


def script(shell: str) -> str:
    """What the shell reads to complete this checkout's cli.py and this environment's reprtune."""
    names = {"script": SCRIPT, "console": CONSOLE}
    quoted = {name: shlex.quote(str(path)) for name, path in names.items()}
    return SHELLS[shell].source_template.strip() % quoted + "\n"


@click.group()
def completion() -> None:
    """Complete names with Tab in your shell."""


shell_argument = click.argument("shell", type=click.Choice(tuple(SHELLS)))


@completion.command(epilog=examples("completion show bash"))
@shell_argument
def show(shell: str) -> None:
    """Print what the shell has to read, to put it where you like: `eval "$(... show bash)"`."""
    click.echo(script(shell), nl=False)


@completion.command(epilog=examples("completion install bash", "completion install zsh --to .zshrc.local"))
@shell_argument
@click.option("--to", "target", metavar="FILE", help="Start file of the shell (default: its usual one).")
def install(shell: str, target: str | None) -> None:
    """Write it into the shell's start file, between two marks; a second time replaces the first."""
    from reprtune.errors import ReprtuneError
    from reprtune.files import write_atomically

    path = Path(target or START_FILES[shell]).expanduser()
    try:
        before = path.read_text() if path.exists() else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path.resolve(), ("\n".join(_with_block(before.splitlines(), shell)) + "\n").encode())
    except (OSError, ValueError) as error:
        raise ReprtuneError(
            f"{path} cannot be changed: {error}.", "Name another file with --to, or use `completion show`."
        ) from error
    click.echo(
        f"Written to {path}. It counts in every new {shell}, or now with: source {shlex.quote(str(path))}"
    )


def _with_block(lines: Iterable[str], shell: str) -> list[str]:
    """The lines without an older block, and with the new one at the end."""
    lines = list(lines)
    if lines.count(BEGIN) != lines.count(END):
        raise ValueError(f"the marks {BEGIN!r} and {END!r} do not match in it")
    kept, inside = [], False
    for line in lines:
        inside = inside or line == BEGIN
        if not inside:
            kept.append(line)
        inside = inside and line != END
    return [*kept, BEGIN, *script(shell).splitlines(), END]
