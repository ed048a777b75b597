"""`rnx edit`: an object in an editor; what was changed there is changed, and nothing else.

Invariant: what somebody typed is never lost: a refusal is shown above it, and what is given up stays in a file.
"""

import os
import tempfile
from pathlib import Path

import click

from api.cli import targets
from api.cli.apply import applicable
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.files import BadManifest, parse
from api.cli.json_flag import also_json
from api.cli.output import note, show_json, show_yaml, yaml_of
from api.cli.problems import CommandFailed, describe
from api.cli.targets import Target
from api.errors import ApiError
from api.meta import Document
from api.objects.patch import merge_of

_HEAD = """\
# Change what should change, save, and leave the editor. To change nothing, leave without saving.
# Lines that begin with a # are ignored.
"""
_FIXED = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"), ("metadata", "uid"))


class _Refused(Exception):
    """What was typed cannot be taken; the message says why."""


@click.command("edit")
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME", shell_complete=complete_target)
@click.option("-o", "--output", type=click.Choice(["name", "json", "yaml"]), help="Print the object, or its name.")
@also_json
@reaching
@pass_connection
def edit(connection: Connection, *, words: tuple[str, ...], output: str | None) -> None:
    """Change an object in an editor: $VISUAL, $EDITOR, or what there is.

    Only what you change is written, so what others write meanwhile stays. What
    is refused is shown above what you typed, to be mended.
    """
    connection.only_one_host("edit an object")
    target, *others = targets.parse_objects(words)
    if others:
        raise click.UsageError(f"cannot edit several objects at once: name one, such as {target}")
    namespace = connection.namespace if target.kind.namespaced else ""
    before = applicable(connection.client.get(target.kind, namespace, target.name))
    del before["metadata"]["resourceVersion"]  # It is not held to that: what is patched may have changed elsewhere.
    after = _edited(connection, target, before)
    if after is None:
        note("Edit cancelled, nothing is changed.")
        after = before
    elif output is None:
        click.echo(f"{target} edited")
    if output == "json":
        show_json(after)
    elif output == "yaml":
        show_yaml(after)
    elif output == "name":
        click.echo(target)


def _edited(connection: Connection, target: Target, before: Document) -> Document | None:
    """Have it edited until that is taken, and return it as it is then; None if nothing is to be changed.

    Raises:
        CommandFailed: what was typed is refused and left as it is; the message says where it is kept.
    """
    body, why = yaml_of(before), ""
    while True:
        shown = _HEAD + "".join(f"# {line}\n" for line in ("", "Refused:", *why.splitlines(), "") if why) + body
        typed = click.edit(shown, extension=".yaml")
        if typed is None or typed == shown:
            if not why:
                return None
            raise CommandFailed(f"{why}\nnothing is changed; what was typed is kept in {_kept(body)}")
        body = _without_head(typed)
        if not body.strip():
            return None
        try:
            change = merge_of(before, _read(body, before))
            return _stored(connection, target, before, change) if change else None
        except _Refused as error:
            why = str(error)


def _stored(connection: Connection, target: Target, before: Document, change: Document) -> Document:
    metadata = before["metadata"]
    change["metadata"] = {**change.get("metadata", {}), "uid": metadata["uid"]}  # Not another one of that name.
    try:
        return connection.client.merge_patch(target.kind, metadata.get("namespace", ""), target.name, change)
    except ApiError as error:
        raise _Refused(describe(error)) from error


def _read(body: str, before: Document) -> Document:
    documents = []
    for each in parse("line", body.encode()):
        if isinstance(each, BadManifest):
            raise _Refused(str(each).replace("line:", "line ", 1))  # Of what follows, which is the body again.
        documents.append(each.document)
    if len(documents) != 1:
        raise _Refused(f"there are {len(documents)} objects in it: leave the one that is edited")
    (document,) = documents
    for path in _FIXED:
        if _at(document, path) != _at(before, path):
            said = f"{'.'.join(path)} cannot be changed from {_at(before, path)}"
            raise _Refused(f"{said}: put it back; rnx apply makes another object")
    return document


def _at(document: Document, path: tuple[str, ...]) -> object:
    value: object = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _without_head(typed: str) -> str:
    """Return a text from its first line on that is no comment: ours are made anew."""
    lines = typed.splitlines(keepends=True)
    first = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[first:])


def _kept(body: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="rnx-edit-", suffix=".yaml")
    with os.fdopen(descriptor, "w") as file:
        file.write(body)
    return Path(name)
