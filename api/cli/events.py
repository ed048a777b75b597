"""`rnx events`: what happened, oldest first, and then as it happens."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import click

from api import kinds
from api.cli import targets
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.json_flag import also_json
from api.cli.output import age, columns, note, show_columns, show_json, show_yaml
from api.cli.targets import Target
from api.client import Selection
from api.meta import Document

_TYPES = ("Normal", "Warning")
_HEAD = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which events are shown: of these types, or of all; of one object, or of all."""

    types: tuple[str, ...]
    of_one: bool

    def has(self, event: Document) -> bool:
        """Return whether this one is; of all, what happened to a run once, and not again as its pod's."""
        if self.types and event.get("type") not in self.types:
            return False
        about, related = event.get("involvedObject") or {}, event.get("related") or {}
        return self.of_one or (about.get("kind"), related.get("kind")) != (kinds.POD.name, kinds.JOB.name)


@click.command("events")
@click.option(
    "--for", "about", metavar="KIND/NAME", shell_complete=complete_target, help="Only what happened to this object."
)
@click.option("-w", "--watch", is_flag=True, help="Then go on and print events as they come.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--types", default="", metavar="TYPE,…", help="Only Normal, or only Warning.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Another form of output.")
@click.option("--no-headers", is_flag=True, help="Leave out the headers of columns.")
@also_json
@reaching
@pass_connection
def events(
    connection: Connection,
    *,
    about: str | None,
    watch: bool,
    all_namespaces: bool,
    types: str,
    output: str | None,
    no_headers: bool,
) -> None:
    """List what happened, oldest first; events are kept for an hour."""
    target = _named(about) if about else None
    selection = Selection(fields=selector_for(target) if target else "")
    target_kind = target.kind if target else None
    namespace = None if all_namespaces or (target_kind and not target_kind.namespaced) else connection.namespace
    wanted = _Wanted(_types(types), of_one=bool(about))
    if watch and output:
        _watch_documents(connection, namespace, selection, wanted, show_json if output == "json" else show_yaml)
        return
    if watch:
        _watch(connection, namespace, selection, wanted, headers=not no_headers, all_namespaces=all_namespaces)
        return
    listing = connection.client.list(kinds.EVENT, namespace, selection)
    found = in_order(event for event in listing["items"] if wanted.has(event))
    if output:
        (show_json if output == "json" else show_yaml)({**listing, "items": found})
        return
    if not found:
        note("No events found" + ("" if namespace is None else f" in {namespace} namespace"))
        return
    rows = [row_of(event, all_namespaces=all_namespaces) for event in found]
    show_columns([*([] if no_headers else [_head(all_namespaces=all_namespaces)]), *rows])


def _watch_documents(
    connection: Connection, namespace: str | None, selection: Selection, wanted: _Wanted,
    show: Callable[[Document], None],
) -> None:  # fmt: skip
    """Print each event as a document, those that are there too."""
    from api.client_watch import Watch

    connection.only_one_host("watch")
    watch = Watch(connection.client, kinds.EVENT, namespace, selection)
    for document in in_order(event.document for event in watch.begin()):
        _show_if(document, wanted, show)
    for event in watch.changes():
        if event.type != "DELETED":
            _show_if(event.document, wanted, show)


def _show_if(event: Document, wanted: _Wanted, show: Callable[[Document], None]) -> None:
    if wanted.has(event):
        show(event)


def _named(about: str) -> Target:
    if "/" not in about:
        raise click.UsageError(f'--for: cannot read "{about}" as KIND/NAME: write it as job/etl')
    return targets.parse_objects((about,))[0]


def _types(text: str) -> tuple[str, ...]:
    wanted = tuple(word.strip().capitalize() for word in text.split(",") if word.strip())
    if odd := next((word for word in wanted if word not in _TYPES), ""):
        raise click.UsageError(f'there are no events of type "{odd}": use {" or ".join(_TYPES)}')
    return wanted


def selector_for(target: targets.Target) -> str:
    """Return the field selector of the events about an object."""
    return f"involvedObject.kind={target.kind.name},involvedObject.name={target.name}"


def in_order(found: Iterable[Document]) -> list[Document]:
    """Return events oldest first."""
    return sorted(found, key=lambda event: (last_seen(event), int(event["metadata"].get("resourceVersion") or 0)))


def last_seen(event: Document) -> str:
    """Return when an event last happened."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def row_of(event: Document, *, all_namespaces: bool = False) -> list[str]:
    """Return an event as the row of a table."""
    about = event.get("involvedObject", {})
    count = event.get("count") or 1
    seen = age(last_seen(event) or None) + (f" (x{count} over {age(event.get('firstTimestamp'))})" if count > 1 else "")
    row = [seen, event.get("type", ""), event.get("reason", ""), f"{about.get('kind', '')}/{about.get('name', '')}"]
    return [*([event["metadata"].get("namespace", "")] if all_namespaces else []), *row, event.get("message", "")]


def _head(*, all_namespaces: bool) -> list[str]:
    return ["NAMESPACE", *_HEAD] if all_namespaces else _HEAD


def _watch(
    connection: Connection,
    namespace: str | None,
    selection: Selection,
    wanted: _Wanted,
    *,
    headers: bool,
    all_namespaces: bool,
) -> None:
    from api.client_watch import Watch

    connection.only_one_host("watch")
    watch = Watch(connection.client, kinds.EVENT, namespace, selection)
    present = in_order(event.document for event in watch.begin() if wanted.has(event.document))
    rows = [row_of(event, all_namespaces=all_namespaces) for event in present]
    show_columns([*([_head(all_namespaces=all_namespaces)] if headers else []), *rows])
    for event in watch.changes():
        if event.type != "DELETED" and wanted.has(event.document):
            click.echo(columns([row_of(event.document, all_namespaces=all_namespaces)])[0])
