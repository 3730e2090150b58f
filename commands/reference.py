"""`reference`: docs/cli.md, out of the commands' own help, docs/methods.md, and the table of
docs/stopping.md. `make docs` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TextIO

import click

from commands.options import examples

WIDTH = 100
PROGRAM = "python cli.py"
INTRODUCTION = """# The command line

What every command says with `-h`, written down by `make docs`. Options that name a place in the machine can
also come from the environment variable in brackets.
"""


def reference(cli: click.Group) -> str:
    """Markdown: a section for each command, in the order of the help."""
    settings: dict[str, Any] = {**cli.context_settings, "terminal_width": WIDTH}
    first, *others = _walk(click.Context(cli, info_name=PROGRAM, **settings))
    contents = [f"- [{_title(c)}](#{_title(c).replace(' ', '-')})" for c in others]
    sections = [f"## {_title(c)}\n\n{_help(c)}" for c in others]
    return "\n\n".join((INTRODUCTION.rstrip(), _help(first), "\n".join(contents), *sections)) + "\n"


def _walk(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                yield from _walk(click.Context(command, parent=context, info_name=name))


def _help(context: click.Context) -> str:
    return f"```text\n{context.get_help()}\n```"


def _title(context: click.Context) -> str:
    return context.command_path.removeprefix(PROGRAM).strip()


@click.command(
    "reference",
    hidden=True,
    epilog=examples("reference", "reference --methods", "reference --stopping docs/stopping.md"),
)
@click.option("--methods", is_flag=True, help="The table of methods, docs/methods.md, instead.")
@click.option(
    "--stopping",
    type=click.File(encoding="utf-8"),
    help="A docs/stopping.md, with the table of stop rules as they are.",
)
@click.pass_context
def reference_(context: click.Context, methods: bool, stopping: TextIO | None) -> None:
    """Print this command line's reference as Markdown."""
    root = context.find_root().command
    assert isinstance(root, click.Group)
    if methods:
        from commands.methods_page import methods_page

        click.echo(methods_page(), nl=False)
    elif stopping is not None:
        from commands.stopping_page import stopping_page

        click.echo(stopping_page(stopping.read()), nl=False)
    else:
        click.echo(reference(root), nl=False)
