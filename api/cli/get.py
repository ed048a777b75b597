"""`rnx get`: lists and single objects as the server's tables, or as JSON, YAML, names or paths."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from api.cli import jsonpath, targets
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.json_flag import also_json
from api.cli.output import items_of, list_of, note, note_none, show_columns, show_json, show_yaml
from api.cli.problems import CommandFailed, describe
from api.cli.targets import Target
from api.client import Selection
from api.errors import ApiError
from api.kinds import Kind
from api.meta import Document

_FORMATS = "wide|yaml|json|name|jsonpath=PATH"


@dataclass(frozen=True, slots=True)
class View:
    """How what was asked for is to be shown."""

    output: str
    headers: bool
    all_namespaces: bool
    sort_by: str
    prefixed: bool = False


@click.command("get")
@click.argument(
    "words", nargs=-1, required=True, metavar="KIND[,KIND] [NAME…] | KIND/NAME…", shell_complete=complete_target
)
@click.option("-o", "--output", default="", metavar=_FORMATS, help="Another form of output.")
@click.option("-w", "--watch", is_flag=True, help="Then go on and print changes as they happen.")
@click.option(
    "-l", "--selector", default="", metavar="SELECTOR", help="Only objects with these labels, such as app=etl."
)
@click.option(
    "--field-selector",
    default="",
    metavar="SELECTOR",
    help="Only objects with these fields, such as status.phase=Failed.",
)
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--no-headers", is_flag=True, help="Leave out the headers of columns.")
@click.option("--sort-by", default="", metavar="PATH", help="Sort by a field, such as .metadata.creationTimestamp.")
@also_json
@reaching
@pass_connection
def get(
    connection: Connection,
    *,
    words: tuple[str, ...],
    output: str,
    watch: bool,
    selector: str,
    field_selector: str,
    all_namespaces: bool,
    no_headers: bool,
    sort_by: str,
) -> None:
    """List objects, or show single ones.

    \b
    rnx get jobs                     rnx get jobs etl report -o yaml
    rnx get job/etl -w               rnx get all -A
    rnx get jobs -l team=data        rnx get manifests
    """
    _check_output(output)
    _check_path(sort_by)
    kinds, named = targets.parse(words)
    view = View(output, not no_headers, all_namespaces, sort_by, prefixed=len(kinds) > 1)
    selection = Selection(selector, field_selector)
    if watch:
        _watch(connection, kinds, named, selection, view)
    elif output in ("", "wide"):
        _show_tables(connection, kinds, named, selection, view)
    else:
        _show_objects(connection, kinds, named, selection, view)


def _check_output(output: str) -> None:
    if output not in ("", "wide", "yaml", "json", "name") and not output.startswith("jsonpath="):
        raise click.UsageError(f'cannot print as "{output}": use -o {_FORMATS}')
    if output.startswith("jsonpath="):
        _expanded(output, {})  # Before anything is asked, and also where nothing is found.


def _check_path(sort_by: str) -> None:
    try:
        jsonpath.find(sort_by, {})
    except jsonpath.BadPath as error:
        raise click.UsageError(f"--sort-by: {error}") from error


def _expanded(output: str, document: Document) -> str:
    try:
        return jsonpath.expand(output.removeprefix("jsonpath=").strip("'"), document)
    except jsonpath.BadPath as error:
        raise click.UsageError(str(error)) from error


def _namespace(connection: Connection, kind: Kind, view: View) -> str | None:
    return None if view.all_namespaces or not kind.namespaced else connection.namespace


def _show_tables(
    connection: Connection, kinds: tuple[Kind, ...], named: tuple[Target, ...], selection: Selection, view: View
) -> None:
    shown, failed = 0, False
    for kind in kinds:
        table, refused = _table(connection, kind, [t for t in named if t.kind is kind], selection, view)
        failed |= refused
        if table and table.get("rows"):
            if shown:
                click.echo()
            show_columns(rows_of(table, kind, view))
            shown += 1
    if failed:
        raise CommandFailed()
    if not shown:
        is_placed = not view.all_namespaces and any(kind.namespaced for kind in kinds)
        note_none(connection.namespace if is_placed else "")


def _table(
    connection: Connection, kind: Kind, named: list[Target], selection: Selection, view: View
) -> tuple[Document | None, bool]:
    """Return the objects' table, those named in one, and whether one of them was refused."""
    client, namespace, whole = connection.client, _namespace(connection, kind, view), bool(view.sort_by)
    if not named:
        return client.table(kind, namespace, selection=selection, whole=whole), False
    table, refused = None, False
    for target in named:
        try:
            one = client.table(kind, connection.namespace, target.name, whole=whole)
        except ApiError as error:
            note(describe(error))
            refused = True
            continue
        table = {**table, "rows": [*table["rows"], *one["rows"]]} if table else one
    return table, refused


def rows_of(table: Document, kind: Kind, view: View, *, headers: bool | None = None) -> list[list[Any]]:
    """Return a server's Table as the rows to print: the header first, wide columns only if wanted."""
    definitions = table.get("columnDefinitions", [])
    shown = [i for i, column in enumerate(definitions) if view.output == "wide" or not column.get("priority")]
    names = [i for i in shown if definitions[i].get("format") == "name"]
    rows = []
    for row in _sorted(table.get("rows", []), view.sort_by, lambda row: row.get("object", {})):
        cells = [
            targets.full_name(kind, row["cells"][i]) if view.prefixed and i in names else row["cells"][i] for i in shown
        ]
        namespace = row.get("object", {}).get("metadata", {}).get("namespace", "")
        rows.append([namespace, *cells] if view.all_namespaces and kind.namespaced else cells)
    if not (view.headers if headers is None else headers):
        return rows
    head = [definitions[i]["name"].upper() for i in shown]
    return [["NAMESPACE", *head] if view.all_namespaces and kind.namespaced else head, *rows]


def _sorted(rows: list[Document], path: str, object_of: Callable[[Document], Document]) -> list[Document]:
    if not path:
        return rows
    found = [jsonpath.find(path, object_of(row)) for row in rows]
    if rows and not any(found):
        note(f"--sort-by: nothing listed has {path}, so it is not sorted")

    def key(values: list[Any]) -> tuple[bool, Any]:
        value = values[0] if values else None
        return (isinstance(value, str), value) if isinstance(value, str | int | float) else (False, -1)

    return [row for _, row in sorted(zip(found, rows, strict=True), key=lambda pair: key(pair[0]))]


def _show_objects(
    connection: Connection, kinds: tuple[Kind, ...], named: tuple[Target, ...], selection: Selection, view: View
) -> None:
    client, refused = connection.client, False
    if named:
        documents, refused = _those_there(connection, named)
        documents = _sorted(documents, view.sort_by, dict)
    else:
        documents = [client.list(kind, _namespace(connection, kind, view), selection) for kind in kinds]
        documents = [{**each, "items": _sorted(each["items"], view.sort_by, dict)} for each in documents]
    if len(named or documents) == 1:
        for document in documents:
            show_document(document, view)
    elif documents:
        show_document(list_of([item for document in documents for item in items_of(document)]), view)
    if refused:
        raise CommandFailed()


def _those_there(connection: Connection, named: tuple[Target, ...]) -> tuple[list[Document], bool]:
    """Return those objects that are there, and whether one of them was refused, which is told."""
    found, refused = list[Document](), False
    for target in named:
        try:
            found.append(connection.client.get(target.kind, connection.namespace, target.name))
        except ApiError as error:
            note(describe(error))
            refused = True
    return found, refused


def show_document(document: Document, view: View) -> None:
    """Print an object or a list in the machine's form that was asked for."""
    if view.output == "json":
        show_json(document)
    elif view.output == "yaml":
        show_yaml(document)
    elif view.output == "name":
        for item in items_of(document):
            kind = targets.of_document(item)
            click.echo(targets.full_name(kind, item["metadata"]["name"]) if kind else item["metadata"]["name"])
    else:
        click.echo(_expanded(view.output, document))


def _watch(
    connection: Connection, kinds: tuple[Kind, ...], named: tuple[Target, ...], selection: Selection, view: View
) -> None:
    from api.client_paths import field_selector
    from api.client_watch import Watch

    connection.only_one_host("watch")
    if len(kinds) != 1 or len(named) > 1:
        raise click.UsageError("cannot watch several kinds or several names at once: watch one kind, or one object")
    kind = kinds[0]
    if named:
        connection.client.get(kind, connection.namespace, named[0].name)  # An unknown name is an error, not a wait.
        selection = Selection(selection.labels, field_selector(kind, named[0].name))
    namespace = connection.namespace if named and kind.namespaced else _namespace(connection, kind, view)
    tables = view.output in ("", "wide")
    show = _table_printer(kind, view) if tables else lambda document: show_document(document, view)
    for event in Watch(connection.client, kind, namespace, selection, tables=tables):
        show(event.document)


def _table_printer(kind: Kind, view: View) -> Callable[[Document], None]:
    """Return what prints a watch's tables: columns are named once and as wide as those seen so far."""
    definitions: list[Document] = []
    widths: list[int] = []
    headed = False

    def show(table: Document) -> None:
        nonlocal definitions, widths, headed
        definitions = table.get("columnDefinitions") or definitions
        rows = rows_of({**table, "columnDefinitions": definitions}, kind, view, headers=view.headers and not headed)
        if not table.get("rows"):
            return
        headed = True
        found = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
        widths = [max(pair) for pair in zip(widths or found, found, strict=True)]
        show_columns([[str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows])

    return show
