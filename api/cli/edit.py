"""`rnx edit`: an object in an editor; what was changed there is changed, and nothing else.

Invariant: what somebody typed is never lost: a refusal is shown above it, and what is given up stays in a file.
"""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from api.cli import targets
from api.cli.apply import NOT_DECLARED, applicable
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
_MOST_ROUNDS = 50
"""A person mends what is refused in fewer; a script that is an editor would do so for ever."""
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
    is refused is shown above what you typed, to be mended; what you give up is
    kept in a file.
    """
    connection.only_one_host("edit an object")
    target, *others = targets.parse_objects(words)
    if others:
        raise click.UsageError(f"cannot edit several objects at once: name one, such as {target}")
    if target.kind.name in NOT_DECLARED:
        raise click.UsageError(f"cannot edit a {target.kind.name}: runwright writes it, from what is declared")
    namespace = connection.namespace if target.kind.namespaced else ""
    before = applicable(connection.client.get(target.kind, namespace, target.name))
    del before["metadata"]["resourceVersion"]  # It is not held to that: what is patched may have changed elsewhere.
    after = _Editing(connection, target, before).done()
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


class _Editing:
    """One object while it is being edited, in a file of its own."""

    def __init__(self, connection: Connection, target: Target, before: Document) -> None:
        self._connection = connection
        self._target = target
        self._before = before
        descriptor, name = tempfile.mkstemp(prefix=f"rnx-edit-{target.name}-", suffix=".yaml")  # With mode 0600.
        os.close(descriptor)
        self._file = Path(name)
        self._is_typed = False

    def done(self) -> Document | None:
        """Have it edited until that is taken, and return it as it is then; None if nothing is to be changed.

        Whatever else happens, what was typed stays in the file, and its name is told.

        Raises:
            CommandFailed: what was typed is refused, and given up.
        """
        try:
            after = self._edited()
        except BaseException as error:
            if not self._is_typed:
                self._file.unlink()
                raise
            kept = f"nothing is changed; what was typed is kept, with the whole object, in {self._file}"
            if isinstance(error, _Refused):
                raise CommandFailed(f"{error}\n{kept}") from error
            note(kept)
            raise
        self._file.unlink()
        return after

    def _edited(self) -> Document | None:
        body, why = yaml_of(self._before), ""
        for _ in range(_MOST_ROUNDS):
            reasons = "".join(f"# {line}\n" for line in ("", "Refused:", *why.splitlines(), "") if why)
            shown = (_HEAD + reasons + body).encode()
            self._file.write_bytes(shown)
            self._open()
            typed = self._file.read_bytes()
            if typed == shown and not why:
                return None
            if typed == shown:
                break
            self._is_typed = True
            try:
                body = _without_head(typed)
                if not body.strip():
                    return None
                change = merge_of(self._before, _read(body, self._before))
                return self._stored(change) if change else None
            except _Refused as error:
                why = str(error)
        raise _Refused(why)

    def _open(self) -> None:
        """Wait for the editor; an interrupt is its own, as it has the terminal. Raises ClickException: it failed."""
        was = signal.signal(signal.SIGINT, lambda _signal, _frame: None)  # Ignored, it would be by the editor too.
        try:
            click.edit(filename=str(self._file))
        finally:
            signal.signal(signal.SIGINT, was)

    def _stored(self, change: Document) -> Document:
        """Patch it, unless it is another one of that name by now, or a list that is replaced was changed meanwhile."""
        before = self._before

        def patch_for(live: Document) -> Document:
            if live["metadata"]["uid"] != before["metadata"]["uid"]:
                raise _Refused(f"{self._target} was deleted and made anew meanwhile: edit the new one")
            for path in _lists_in(change):
                if _at(live, path) != _at(before, path):
                    raise _Refused(f"{'.'.join(path)} was changed by others meanwhile: leave it, and edit it again")
            return change

        try:
            return self._connection.client.change(
                self._target.kind, before["metadata"].get("namespace", ""), self._target.name, patch_for
            )
        except ApiError as error:
            raise _Refused(describe(error)) from error


def _lists_in(change: Document, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield where a merge patch replaces or sets a list: it says all of it."""
    for name, value in change.items():
        if isinstance(value, dict):
            yield from _lists_in(value, (*path, name))
        elif isinstance(value, list):
            yield (*path, name)


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


def _without_head(typed: bytes) -> str:
    """Return a text from its first line on that is no comment: ours are made anew. Raises _Refused."""
    try:
        lines = typed.decode().splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise _Refused(f"what was typed is not UTF-8 text (byte {error.start})") from error
    first = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[first:])
