"""`ui`: a study's report, its runs in MLflow and its trials in Optuna's dashboard, in a browser."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from commands.options import (
    completing,
    examples,
    make_settings,
    places,
    read_stored,
    stored_names,
    tracking_is_off,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from dashboards.servers import Plan, Server
    from reprtune.settings import Settings

SERVED = ("http:", "https:", "databricks")  # a tracking server that runs somewhere already
NAMES = ("the report", "MLflow", "optuna-dashboard")


@click.command(
    epilog=examples(
        "ui repr-ablation",
        "ui repr-ablation --no-open --port 8100",
        "ui repr-ablation --storage postgresql+psycopg://me@db/x --tracking-uri http://mlflow:5000",
    )
)
@click.argument("name", shell_complete=completing(stored_names))
@click.option(
    "--port",
    type=click.IntRange(1, 65533),
    help="The report's port; MLflow and optuna-dashboard get the two after it (default: free ones).",
)
@click.option("--open/--no-open", "wanted", default=True, help="Open the report in a browser (default: yes).")
@places("runs_dir", "storage", "tracking_uri")
def ui(name: str, port: int | None, wanted: bool, **where: Any) -> None:
    """Look at a study in a browser: its report, MLflow's runs, Optuna's dashboard. Ctrl-C ends all three.

    Everything listens on this machine only (127.0.0.1), and reloading the report makes it anew. On another
    machine's screen: ssh -L 8100:127.0.0.1:8100 ... with --port 8100, and the two ports after it.
    """
    import signal
    import tempfile
    from pathlib import Path

    from dashboards.servers import ports, wait_for_any_end
    from reprtune import signals
    from reprtune.tracking.choose import tracker_for

    settings = make_settings(**where)
    read_stored(name, where)  # says what is wrong before anything is started
    chosen = ports(port, NAMES)
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C also where a shell script has it ignored
    with (
        signals.like_ctrl_c(*ends),
        contextlib.ExitStack() as stack,
        contextlib.suppress(KeyboardInterrupt),
    ):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reprtune-ui-")))
        servers = _started(_plans(settings, chosen[1:]), folder, stack)
        _say("Making the report ...")
        mlflow = tracker_for(settings).web_address
        mlflow = next((s.plan.address for s in servers if s.plan.name == "MLflow"), mlflow)
        report = f"{_report(name, where, chosen[0], mlflow, stack)}/report.html"
        addresses = [("report", report), *_addresses(servers, settings)]
        for title, address in addresses:
            click.echo(f"  {title:<17} {address}")
        click.echo("Ctrl-C ends them all.")
        if wanted:
            _open(report)
        wait_for_any_end([s for s in servers if not s.ended()], _say)
    _say("Stopped: nothing is left running.")


def _say(text: str) -> None:
    click.echo(text, err=True)


def _plans(settings: Settings, free: Sequence[int]) -> list[Plan]:
    """What has to be started here, and words about what has not."""
    from importlib.util import find_spec

    from dashboards.servers import mlflow_plan, optuna_plan
    from reprtune.record.database import is_absent
    from reprtune.tracking.mlflow.places import follow

    plans = []
    uri = settings.mlflow_uri
    if not settings.tracks:
        _say(tracking_is_off())
    elif not uri.startswith(SERVED):
        if is_absent(uri):
            _say("MLflow has nothing yet: it begins with the first trial (or `study sync`).")
        else:
            follow(settings)
            plans.append(mlflow_plan(uri, settings.mlflow_artifacts, free[0]))
    if find_spec("optuna_dashboard") is None:
        _say(
            "optuna-dashboard is not installed, so it is left out.\n"
            "  To have it: pip install -e '.[dashboard]' -c constraints.txt"
        )
    else:
        plans.append(optuna_plan(settings.storage_url, free[1]))
    return plans


def _started(plans: Sequence[Plan], folder: Path, stack: contextlib.ExitStack) -> list[Server]:
    """All are told to end before the first is waited for."""
    from dashboards.servers import Server

    servers: list[Server] = []
    for end in (Server.stop, Server.close):
        stack.callback(_each, end, servers)
    for plan in plans:
        _say(f"Starting {plan.name} ...")
        servers.append(Server(plan, folder / f"{plan.name}.txt"))
    return servers


def _each(act: Callable[[Server], None], servers: Sequence[Server]) -> None:
    for server in servers:
        act(server)


def _report(
    name: str, where: dict[str, Any], port: int, mlflow: str | None, stack: contextlib.ExitStack
) -> str:
    """Write the report, serve its folder; its address."""
    from dashboards.report import write_report
    from dashboards.served import Renewal, serve_report

    folder = make_settings(**where).report_dir(name)

    def make() -> None:
        write_report(read_stored(name, where, histories=True), folder, mlflow=mlflow)

    make()
    server = serve_report(folder, port, Renewal(make, _say))
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return f"http://127.0.0.1:{port}"


def _addresses(servers: Sequence[Server], settings: Settings) -> list[tuple[str, str]]:
    """(title, address) of each, as soon as it answers; words about one that does not."""
    from reprtune.passwords import hide

    found = []
    if settings.mlflow_uri.startswith(SERVED):
        found.append(("MLflow", f"{hide(settings.mlflow_uri)} (runs already)"))
    for server in servers:
        if server.wait_until_ready():
            found.append((server.plan.name, server.plan.address))
        else:
            _say(f"{server.plan.name} did not start: {server.last_words()}")
    return found


def _open(address: str) -> None:
    """In a browser with a window; one for terminals would take ours."""
    import os
    import sys
    import webbrowser

    shows: Callable[[str], str | None] = os.environ.get
    if sys.platform in ("darwin", "win32") or any(map(shows, ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))):
        webbrowser.open(address)
