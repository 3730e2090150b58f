"""`list`: what there is to choose from."""

from __future__ import annotations

import click

from commands.options import examples, json_option, known_studies, load_study, to_json

KINDS = (
    "datasets", "models", "schedules", "criteria", "selections", "drops", "restores", "exchanges", "gradients",
    "losses", "endings", "records", "methods", "stop-rules", "studies",
)  # fmt: skip


@click.command("list", epilog=examples("list criteria", "list methods --long", "list models --json"))
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--long", is_flag=True, help="Also papers, traps, and options with what they are by default.")
@json_option
def list_(kind: str, long: bool, as_json: bool) -> None:
    """What there is to choose from."""
    from dashboards.cards import card, explained
    from reprtune.spec.cards import cards, short

    if kind == "studies":
        entries = [{"name": name, "line": load_study(name).question} for name in known_studies()]
    else:
        entries = cards(kind) if long else short(kind)
    if as_json:
        click.echo(to_json(entries))
    else:
        click.echo("\n\n".join(map(card, entries)) if long else explained(entries, kind))
