"""What a person points at: kinds by any of their names, and objects as KIND NAME or KIND/NAME."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from api import kinds
from api.cli.connection import Connection
from api.client import Selection
from api.client_paths import BadName, check_name
from api.kinds import Kind
from api.meta import Document
from api.nearest import nearest

SERVED: tuple[Kind, ...] = (*kinds.KINDS, *kinds.PROJECTED, kinds.NODE)


@dataclass(frozen=True, slots=True)
class Target:
    """One object that was named."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        """Print as kubectl does: `job.runwright.dev/etl`."""
        return full_name(self.kind, self.name)


def full_name(kind: Kind, name: str) -> str:
    """Return `job.runwright.dev/etl`, or `pod/etl-1` for the core group."""
    return f"{kind.singular}.{kind.group}/{name}" if kind.group else f"{kind.singular}/{name}"


def kind_of(word: str) -> Kind:
    """Return the kind that `word` means. Raises UsageError with what there is."""
    known = {w: kind for kind in SERVED for w in _words(kind)}
    found = known.get(word.lower())
    if found is None:
        near = nearest(word.lower(), list(known))
        hint = f"did you mean {near}?" if near else f"use one of {', '.join(kind.plural for kind in SERVED)}"
        raise click.UsageError(f'unknown kind "{word}": {hint}')
    return found


def _words(kind: Kind) -> tuple[str, ...]:
    """Return all words for a kind; `job.runwright.dev` is how `-o name` prints it."""
    printed = full_name(kind, "").rstrip("/")
    return (kind.plural, kind.singular, *kind.short_names, kind.resource, printed)


def kinds_of(words: str) -> tuple[Kind, ...]:
    """Return the kinds of a list such as `jobs,runtimes`, or of a category such as `all`."""
    found: list[Kind] = []
    for word in filter(None, words.split(",")):
        members = [kind for kind in SERVED if word in kind.categories] or [kind_of(word)]
        found += [kind for kind in members if kind not in found]
    if not found:
        raise click.UsageError("no kind is named")
    return tuple(found)


def of_document(document: Document) -> Kind | None:
    """Return the kind of an object by its apiVersion and kind, if it is served."""
    said = (document.get("apiVersion"), document.get("kind"))
    return next((kind for kind in SERVED if (kind.api_version, kind.name) == said), None)


def parse(words: Sequence[str]) -> tuple[tuple[Kind, ...], tuple[Target, ...]]:
    """Return the kinds named, and the objects: `KIND[,KIND] [NAME…]`, or `KIND/NAME…`.

    Objects are empty when whole kinds are meant. Raises UsageError.
    """
    if not words:
        raise click.UsageError("name what: KIND, KIND NAME or KIND/NAME, such as job/etl")
    if not any("/" in word for word in words):
        found = kinds_of(words[0])
        return found, tuple(_target(kind, name) for kind in found for name in words[1:])
    pairs = [word.partition("/") for word in words]
    for (kind, slash, name), word in zip(pairs, words, strict=True):
        if not slash or not kind or not name or "/" in name:
            hint = f"write {kind or 'KIND'}/NAME" if slash else "do not mix it with KIND NAME"
            why = 'a name may not contain "/": ' if "/" in name else ""
            raise click.UsageError(f'cannot read "{word}" as KIND/NAME: {why}{hint}')
    named = tuple(_target(kind_of(kind), name) for kind, _, name in pairs)
    return tuple(dict.fromkeys(target.kind for target in named)), named


def chosen(
    connection: Connection, words: Sequence[str], *, everything: bool, selector: str
) -> tuple[Target, ...]:  # fmt: skip
    """Return the objects named, or with --all or -l those of the kinds that there are. Raises UsageError."""
    kinds, named = parse(words)
    if named and (everything or selector):
        raise click.UsageError("names cannot be given together with --all or -l")
    if named:
        return named
    if not everything and not selector:
        raise click.UsageError(f"name the {kinds[0].plural}, or say --all or -l SELECTOR")
    return tuple(
        Target(kind, item["metadata"]["name"])
        for kind in kinds
        for item in connection.client.list(kind, connection.namespace, Selection(selector))["items"]
    )


def _target(kind: Kind, name: str) -> Target:
    try:
        check_name(kind.singular, name)
    except BadName as error:
        raise click.UsageError(str(error)) from error
    return Target(kind, name)


def parse_objects(words: Sequence[str]) -> tuple[Target, ...]:
    """Return the objects named, at least one. Raises UsageError."""
    found, named = parse(words)
    if not named:
        raise click.UsageError(f"name the {found[0].singular}: {found[0].singular}/NAME, or {found[0].singular} NAME")
    return named
