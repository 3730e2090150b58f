"""`list`: what there is to choose from."""

from __future__ import annotations

import click

from commands.options import examples, json_option, known_studies, load_study, to_json

KINDS = ("datasets", "models", "criteria", "restores", "methods", "studies")


@click.command("list", epilog=examples("list criteria", "list models --json"))
@click.argument("kind", type=click.Choice(KINDS))
@json_option
def list_(kind: str, as_json: bool) -> None:
    """What there is to choose from."""
    from dashboards.terminal import explained
    from reprtune.spec import catalog

    if kind == "studies":
        entries = [{"name": name, "line": load_study(name).question} for name in known_studies()]
    else:
        fields = ("name", "line", "cost", "needs", "fields")
        entries = [{f: getattr(e, f) for f in fields} for e in catalog.CATALOG[kind]]
    click.echo(to_json(entries) if as_json else explained(entries, kind))
