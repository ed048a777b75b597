"""`rnx label` and `rnx annotate`: set and remove single labels and annotations of objects that are there.

Invariant: a value that somebody set is replaced only with --overwrite, by whoever saw what it was.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from api.cli import targets
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.output import note, note_none, show_json
from api.cli.problems import CommandFailed, describe, say
from api.cli.targets import Target
from api.errors import ApiError
from api.meta import Document

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS = (
    click.argument("words", nargs=-1, required=True, metavar="KIND NAME… KEY=VALUE… KEY-…",
                   shell_complete=complete_target),
    click.option("--overwrite", is_flag=True, help="Replace values that are there."),
    click.option("--all", "everything", is_flag=True, help="Of all objects of the kind."),
    click.option("-l", "--selector", default="", metavar="SELECTOR", help="Of objects with these labels."),
    click.option("--json", "as_json", is_flag=True, help="As JSON: which were changed, and which were so already."),
)  # fmt: skip


class _Taken(Exception):
    """A key has another value already."""


@dataclass(frozen=True, slots=True)
class _Marks:
    """Which labels or annotations are to be set, and which, with None, to be removed."""

    field: str
    wanted: Mapping[str, str | None]
    overwrite: bool

    def patch(self, live: Document) -> Document | None:
        """Return what changes `live` into what is wanted; None if it is so. Raises _Taken."""
        have = live["metadata"].get(self.field) or {}
        changed = {key: value for key, value in self.wanted.items() if have.get(key) != value}
        taken = [key for key, value in changed.items() if value is not None and key in have]
        if taken and not self.overwrite:
            raise _Taken(f'"{taken[0]}" has the value "{have[taken[0]]}" already: --overwrite replaces it')
        return {"metadata": {self.field: changed}} if changed else None


def _options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("label")
@_options
@reaching
@pass_connection
def label(
    connection: Connection, *, words: tuple[str, ...], overwrite: bool, everything: bool, selector: str, as_json: bool
) -> None:
    """Set labels of objects, and remove them: KEY- removes KEY.

    \b
    rnx label job/etl team=data      rnx label jobs --all team-
    """
    objects, wanted = _read(words)
    found = targets.chosen(connection, objects, everything=everything, selector=selector)
    _mark(connection, _Marks("labels", wanted, overwrite), found, "labeled", as_json=as_json)


@click.command("annotate")
@_options
@reaching
@pass_connection
def annotate(
    connection: Connection, *, words: tuple[str, ...], overwrite: bool, everything: bool, selector: str, as_json: bool
) -> None:
    """Set annotations of objects, and remove them: KEY- removes KEY.

    \b
    rnx annotate job/etl note='asked for by Ada'
    """
    objects, wanted = _read(words)
    found = targets.chosen(connection, objects, everything=everything, selector=selector)
    _mark(connection, _Marks("annotations", wanted, overwrite), found, "annotated", as_json=as_json)


def _read(words: Sequence[str]) -> tuple[list[str], dict[str, str | None]]:
    """Tell the objects from what is to be set and removed. Raises UsageError."""
    objects, wanted = [], dict[str, str | None]()
    for word in words:
        key, equals, value = word.partition("=")
        if not equals and not word.endswith("-"):
            objects.append(word)
            continue
        key = key if equals else key.removesuffix("-")
        if not key:
            raise click.UsageError(f'cannot read "{word}": write KEY=VALUE, or KEY- to remove it')
        if key in wanted:
            raise click.UsageError(f'"{key}" is said twice: say it once')
        wanted[key] = value if equals else None
    if not wanted:
        raise click.UsageError("say what to set: KEY=VALUE, or KEY- to remove it")
    return objects, wanted


def _mark(connection: Connection, marks: _Marks, found: Sequence[Target], done: str, *, as_json: bool) -> None:
    """Set and remove on each; what one refuses stops no other. Raises CommandFailed."""
    changed: dict[str, list[str]] = {done: [], "unchanged": []}
    for target in found:
        try:
            is_changed = _mark_one(connection, marks, target)
        except _Taken as error:
            say(f"{target}: {error}")
            continue
        except ApiError as error:
            note(describe(error))
            continue
        changed[done if is_changed else "unchanged"].append(str(target))
        if not as_json:
            click.echo(f"{target} {done if is_changed else f'not {done}'}")
    if as_json:
        show_json(changed)
    elif not found:
        note_none(connection.namespace)
    if sum(map(len, changed.values())) < len(found):
        raise CommandFailed()


def _mark_one(connection: Connection, marks: _Marks, target: Target) -> bool:
    """Return whether it was changed. Raises _Taken and ApiError."""
    namespace = connection.namespace if target.kind.namespaced else ""
    asked: Document | None = None

    def patch_for(live: Document) -> Document | None:
        nonlocal asked
        asked = marks.patch(live)
        return asked

    connection.client.change(target.kind, namespace, target.name, patch_for)
    return asked is not None
