"""`rnx top`: what running jobs use, as a table; on a terminal it is shown again and again."""

import sys
import time

import click

from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.output import note, show_columns, show_json
from api.meta import Document

_HEAD = ["NAME", "CPU(cores)", "MEMORY", "PEAK", "PROCESSES", "READ", "WRITTEN", "READ/s", "WRITTEN/s"]
_CLEAR = "\x1b[H\x1b[J"
_UNITS = ("", "Ki", "Mi", "Gi", "Ti")
_KIB = 1024.0


@click.command("top")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--once", is_flag=True, help="Print it once, as is done where there is no terminal.")
@click.option("--interval", type=SECONDS, default=2.0, metavar="DURATION", help="Between two looks; by default 2s.")
@click.option("--json", "as_json", is_flag=True, help="Once, as JSON, as the API said it.")
@reaching
@pass_connection
def top(connection: Connection, *, all_namespaces: bool, once: bool, interval: float, as_json: bool) -> None:
    """Show what running jobs use: cores, memory, processes, bytes read and written.

    CPU is the rate since the last look; at first, since somebody looked before, or since the run began.
    """
    namespace = None if all_namespaces else connection.namespace
    if as_json:
        show_json(connection.client.usages(namespace))
        return
    is_live = sys.stdout.isatty() and not once
    before: dict[str, Document] = {}
    looked_at = time.monotonic()
    while True:
        items = connection.client.usages(namespace).get("items", [])
        now = time.monotonic()
        if is_live:
            click.echo(_CLEAR, nl=False)
        _show(items, before, now - looked_at, everywhere=all_namespaces)
        if not is_live:
            return
        before, looked_at = {_key(item): item for item in items}, now
        connection.client.closed.wait(max(0.1, interval))


def _show(items: list[Document], before: dict[str, Document], seconds: float, *, everywhere: bool) -> None:
    if not items:
        note("No running jobs")
        return
    rows = [_row(item, before.get(_key(item)), seconds) for item in items]
    if not everywhere:
        show_columns([_HEAD, *rows])
        return
    named = [[item["metadata"]["namespace"], *row] for item, row in zip(items, rows, strict=True)]
    show_columns([["NAMESPACE", *_HEAD], *named])


def _row(item: Document, before: Document | None, seconds: float) -> list[str]:
    used, then = item["runwright"], (before or {}).get("runwright")
    cores = _rate(used, then, "cpuSeconds", seconds)
    if cores is None:
        cores = float(item["containers"][0]["usage"]["cpu"].removesuffix("n")) / 1e9
    moved = [_bytes(used.get(name)) for name in ("readBytes", "writtenBytes")]
    rates = [_bytes(_rate(used, then, name, seconds)) for name in ("readBytes", "writtenBytes")]
    return [
        item["metadata"]["name"],
        f"{cores:.2f}",
        _bytes(used["memoryBytes"]),
        _bytes(used.get("memoryPeakBytes")),
        str(used["processes"]),
        *moved,
        *rates,
    ]


def _key(item: Document) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _rate(used: Document, then: Document | None, name: str, seconds: float) -> float | None:
    if then is None or name not in used or name not in then or seconds <= 0:
        return None
    return max(0.0, float(used[name]) - float(then[name])) / seconds


def _bytes(count: float | None) -> str:
    """Return a number of bytes for people.

    >>> _bytes(None), _bytes(512), _bytes(3 << 20)
    ('-', '512', '3.0Mi')
    """
    if count is None:
        return "-"
    unit = 0
    while count >= _KIB and unit < len(_UNITS) - 1:
        count, unit = count / _KIB, unit + 1
    return f"{count:.1f}{_UNITS[unit]}" if unit else f"{count:.0f}"
