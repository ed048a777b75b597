"""`rnx diff`: what apply would change, found by having the server apply without storing it. Changes nothing.

Compared is what people write: not the status, nor what every write touches. What is confidential is compared and not
shown. Invariant: 0 means that an apply now would change nothing; whatever could not be compared is never a 0 or a 1.
"""

import difflib
from collections.abc import Iterator

import click

from api.cli import targets
from api.cli.apply import apply_one
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.files import BadManifest, read
from api.cli.output import note, show_json, yaml_of
from api.cli.problems import USAGE, CommandFailed, say
from api.errors import ApiError, NotFound
from api.kinds import Kind
from api.meta import Document

DIFFERENT = 1
_OF_EVERY_WRITE = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
_CONFIDENTIAL = ("data", "stringData")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command("diff")
@click.option("-f", "--filename", "sources", multiple=True, required=True, metavar="FILE|DIR|-",
              type=click.Path(allow_dash=True),
              help="What would be applied: .yaml, .yml or .json; - is stdin. May be repeated.")  # fmt: skip
@click.option("-R", "--recursive", is_flag=True, help="Look for files in all directories below DIR.")
@click.option("--force-conflicts", is_flag=True, help="As if fields that other managers own were taken over.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: of each object the lines that differ.")
@reaching
@pass_connection
def diff(
    connection: Connection, *, sources: tuple[str, ...], recursive: bool, force_conflicts: bool, as_json: bool
) -> None:  # fmt: skip
    """Show what apply would change, and change nothing.

    \b
    Exit status: 0 nothing would change, 1 something would, 2 or more it cannot
    be told of all.
    """
    found = failures = 0
    changes: list[Document] = []
    for manifest in read(sources, recursive=recursive):
        found += 1
        try:
            if isinstance(manifest, BadManifest):
                raise manifest
            after = apply_one(connection, manifest, force=force_conflicts, dry_run=True)
            before = _live(connection, after.document)
        except BadManifest as error:
            failures += 1
            say(str(error))
            continue
        for warning in after.warnings:
            note(f"Warning: {warning}")
        if lines := list(lines_of(before, after.document)):
            changes.append({"object": _name_of(after.document), "lines": lines})
        for line in () if as_json else lines:
            click.echo(click.style(line, fg=_COLOURS.get(line[:1])))
    if not found:
        raise CommandFailed("nothing to compare: the files hold no objects", USAGE)
    if as_json:
        show_json({"items": changes})
    if failures or changes:
        raise CommandFailed(exit_code=USAGE if failures else DIFFERENT)


def _live(connection: Connection, document: Document) -> Document | None:
    """Return the object as it is, None if it is not there. Raises BadManifest."""
    kind, metadata = _kind_of(document), document["metadata"]
    try:
        return connection.client.get(kind, metadata.get("namespace", ""), metadata["name"])
    except NotFound:
        return None
    except ApiError as error:
        raise BadManifest(f"{targets.full_name(kind, metadata['name'])}: {error}") from error


def lines_of(before: Document | None, after: Document) -> Iterator[str]:
    """Yield what differs between an object as it is and as it would be, as a unified diff of YAML."""
    kind = _kind_of(after)
    old, new = _shown(before) if before else {}, _shown(after)
    if kind.confidential:
        old, new = _hidden(old, new, "before"), _hidden(new, old, "after")
    name = _name_of(after)
    was, will_be = ([] if not each else yaml_of(each, sort_keys=True).splitlines() for each in (old, new))
    return difflib.unified_diff(was, will_be, f"live/{name}", f"applied/{name}", lineterm="")


def _name_of(document: Document) -> str:
    metadata = document["metadata"]
    return ".".join(filter(None, (_kind_of(document).name, metadata.get("namespace", ""), metadata["name"])))


def _kind_of(document: Document) -> Kind:
    kind = targets.of_document(document)
    if kind is None:
        raise AssertionError(f"the server applied a {document.get('kind')}, which it does not serve")
    return kind


def _shown(document: Document) -> Document:
    metadata = {name: value for name, value in document["metadata"].items() if name not in _OF_EVERY_WRITE}
    if annotations := metadata.get("annotations"):  # kubectl's memory of what it applied has all values of a Secret.
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
    return {**{name: value for name, value in document.items() if name != "status"}, "metadata": metadata}


def _hidden(document: Document, other: Document, which: str) -> Document:
    """Return a confidential object with its values hidden; of those that differ, which they are."""
    hidden = dict(document)
    for field in _CONFIDENTIAL:
        if isinstance(values := document.get(field), dict):
            others = other.get(field) or {}
            hidden[field] = {
                name: "***" if name not in others or others[name] == value else f"*** ({which})"
                for name, value in values.items()
            }
    return hidden
