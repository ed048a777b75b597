"""`rnx patch`: change single fields of objects by a patch that is written down."""

import os
from pathlib import Path
from typing import Any

import click

from api.caps import MOST_TEXT_BYTES
from api.cli import targets
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.dry_run import dry_run_flag
from api.cli.json_flag import also_json
from api.cli.output import note, show_json_of, show_yaml
from api.cli.problems import CommandFailed, describe
from api.cli.targets import Target
from api.errors import ApiError, BadRequest
from api.meta import Document
from api.objects import reading
from api.objects.patch import PatchType

_OF_EVERY_WRITE = ("managedFields", "resourceVersion", "generation")
_HOW = {"none": "", "server": " (server dry run)"}
_TYPES = {"merge": PatchType.MERGE, "json": PatchType.JSON, "strategic": PatchType.STRATEGIC}


@click.command("patch")
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME…", shell_complete=complete_target)
@click.option("-p", "--patch", "text", metavar="PATCH", help="What to change, as JSON or YAML.")
@click.option(
    "--patch-file",
    "file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE|-",
    help="Read it from a file, or stdin.",
)
@click.option(
    "--type",
    "type_",
    type=click.Choice(sorted(_TYPES)),
    default="merge",
    show_default=True,
    help="merge: RFC 7396, null removes a field. json: RFC 6902. strategic: of core kinds alone.",
)
@click.option("--subresource", type=click.Choice(["status"]), default=None, help="Change the status in its place.")
@dry_run_flag("change")
@click.option("-o", "--output", type=click.Choice(["name", "json", "yaml"]), help="Print the objects, or their names.")
@also_json
@reaching
@pass_connection
def patch(
    connection: Connection,
    *,
    words: tuple[str, ...],
    text: str | None,
    file: Path | None,
    type_: str,
    subresource: str | None,
    dry_run: str,
    output: str | None,
) -> None:
    """Change single fields of objects; all else of them stays as it is.

    \b
    rnx patch job/etl -p '{"spec": {"suspend": true}}'
    rnx patch cronjob nightly -p 'spec: {schedule: "0 4 * * *"}'
    rnx patch job/etl --type json -p '[{"op": "remove", "path": "/spec/env/0"}]'
    """
    if str(file) == "-":
        connection.only_one_host("read a patch from standard input")
    found, change = targets.parse_objects(words), _read(text, file, type_)
    shown: list[Document] = []
    for target in found:
        try:
            changed, is_new = _patched(
                connection, target, change, _TYPES[type_], subresource or "", dry_run=dry_run == "server"
            )
        except ApiError as error:
            note(describe(error))
            continue
        shown.append(changed)
        if output != "json":
            _show(target, changed, output, f"{'' if is_new else ' (no change)'}{_HOW[dry_run]}")
    if output == "json" and shown:
        show_json_of(shown, several=len(found) > 1)
    if len(shown) < len(found):
        raise CommandFailed()


def _show(target: Target, changed: Document, output: str | None, how: str) -> None:
    if output == "yaml":
        click.echo("---")
        show_yaml(changed)
    else:
        click.echo(target if output == "name" else f"{target} patched{how}")


def _read(text: str | None, file: Path | None, type_: str) -> Any:
    """Return what the patch says. Raises UsageError."""
    if (text is None) == (file is None):
        raise click.UsageError("say what to change: either -p PATCH or --patch-file FILE")
    if text is None:
        with click.open_file(str(file), "rb") as opened:
            said = opened.read(MOST_TEXT_BYTES + 1)
    else:
        said = os.fsencode(text)
    if len(said) > MOST_TEXT_BYTES:
        raise click.UsageError(f"cannot read the patch: it is over {MOST_TEXT_BYTES >> 20} MiB: change less at once")
    try:
        change = reading.read_yaml(said)
    except BadRequest as error:
        raise click.UsageError(f"cannot read the patch: {error.message.partition(': ')[2]}") from error
    if repeated := reading.repeated_fields(change):
        raise click.UsageError(f'cannot read the patch: "{repeated[0]}" is there twice: remove one')
    wanted, name = (list, "a list of operations") if type_ == "json" else (dict, "an object, such as spec: {…}")
    if not isinstance(change, wanted):
        raise click.UsageError(f"cannot read the patch: with --type {type_} it is {name}")
    return change


def _patched(
    connection: Connection, target: Target, change: Any, type_: PatchType, subresource: str, *, dry_run: bool
) -> tuple[Document, bool]:
    """Return the object as it is now, and whether that is new. Raises ApiError."""
    namespace = connection.namespace if target.kind.namespaced else ""
    before = connection.client.get(target.kind, namespace, target.name)
    answer = connection.client.patch(
        target.kind, namespace, target.name, change, type_, subresource=subresource, dry_run=dry_run
    )
    for warning in answer.warnings:
        note(f"Warning: {warning}")
    return answer.document, _essence(before) != _essence(answer.document)


def _essence(document: Document) -> Document:
    metadata = {name: value for name, value in document["metadata"].items() if name not in _OF_EVERY_WRITE}
    return document | {"metadata": metadata}
