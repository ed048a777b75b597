"""`rnx monitor`: the documents' word for how a host is: its processors, memory, disk, processes, network and jobs."""

import sys

import click

from api import kinds, quantity
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.lazy import Lazy, LazyGroup
from api.cli.output import duration, show_columns, show_json, size
from api.meta import Document

COMMANDS = {
    "status": Lazy("api.cli.monitor:status", "Show how the host is."),
    "top": Lazy("api.cli.top:top", "Show what running jobs use."),
    "watch": Lazy("api.cli.monitor:watch", "Show how the host is, again and again."),
}
PARTS = ("cpu", "memory", "disk", "network", "io", "process", "jobs")
_CLEAR = "\x1b[H\x1b[J"


@click.group("monitor", cls=LazyGroup, table=COMMANDS)
@reaching
def monitor() -> None:
    """Show how the host is."""


def _parts(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    asked = tuple(filter(None, value.split(","))) or PARTS
    unknown = [part for part in asked if part not in PARTS]
    if unknown:
        raise click.UsageError(f"--filter: there is no {unknown[0]}: use {', '.join(PARTS)}, with commas between them")
    return asked


_FILTER = click.option(
    "--filter", "parts", default="", metavar="PART,…", callback=_parts, help=f"Only some of {', '.join(PARTS)}."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.command("status")
@_FILTER
@_JSON
@reaching
@pass_connection
def status(connection: Connection, *, parts: tuple[str, ...], as_json: bool) -> None:
    """Show how the host is: what it has, what is used, and how many jobs there are."""
    _show(connection, parts, as_json=as_json)


@click.command("watch")
@click.option("--interval", type=SECONDS, default=2.0, metavar="DURATION", help="Between two looks; by default 2s.")
@click.option("--compact", is_flag=True, help="A line for each look.")
@_FILTER
@_JSON
@reaching
@pass_connection
def watch(connection: Connection, *, interval: float, compact: bool, parts: tuple[str, ...], as_json: bool) -> None:
    """Show how the host is, again and again, until it is interrupted."""
    connection.only_one_host("watch")
    is_live = sys.stdout.isatty() and not compact and not as_json
    while True:
        if is_live:
            click.echo(_CLEAR, nl=False)
        if compact:
            click.echo("   ".join(f"{part} {text}" for part, text in _rows(_look(connection), parts)))
        else:
            _show(connection, parts, as_json=as_json)
        connection.client.closed.wait(max(0.1, interval))


def _look(connection: Connection) -> Document:
    """Return what is to be known: the node, what it uses, and the counts of jobs by phase."""
    client = connection.client
    node = client.list(kinds.NODE)["items"][0]
    phases: dict[str, int] = {}
    for job in client.list(kinds.JOB)["items"]:
        phase = job.get("status", {}).get("phase", "Pending")
        phases[phase] = phases.get(phase, 0) + 1
    return {"node": node, "usage": client.node_usage(), "jobs": phases}


def _show(connection: Connection, parts: tuple[str, ...], *, as_json: bool) -> None:
    seen = _look(connection)
    if as_json:
        show_json(seen)
        return
    node, used = seen["node"], seen["usage"]["runwright"]
    bad = [each for each in node["status"]["conditions"] if (each["type"] == "Ready") != (each["status"] == "True")]
    state = "; ".join(f"{each['type']} is {each['status']}: {each['message']}" for each in bad) or "ready"
    state += ", cordoned" if node.get("spec", {}).get("unschedulable") else ""
    click.echo(f"{node['metadata']['name']}: {state}, up {duration(used['runningSeconds'])}")
    show_columns([[part.upper(), text] for part, text in _rows(seen, parts)])


def _rows(seen: Document, parts: tuple[str, ...]) -> list[tuple[str, str]]:
    capacity, used, usage = seen["node"]["status"]["capacity"], seen["usage"]["runwright"], seen["usage"]["usage"]
    said = {
        "cpu": f"{quantity.parse(usage['cpu']):.2f} of {capacity['cpu']} cores",
        "memory": f"{size(used['memoryBytes'])} of {size(used['memoryTotalBytes'])}",
        "disk": f"{size(used['diskBytes'])} of {size(used['diskTotalBytes'])}",
        "network": f"{size(used['receivedBytes'])} received, {size(used['sentBytes'])} sent",
        "io": f"{size(used['readBytes'])} read, {size(used['writtenBytes'])} written",
        "process": str(used["processes"]),
        "jobs": ", ".join(f"{count} {phase}" for phase, count in sorted(seen["jobs"].items())) or "none",
    }
    return [(part, said[part]) for part in parts]
