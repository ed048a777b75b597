"""`rnx apply`: every document of the files is applied server-side; one that fails stops no other."""

import json

import click

from api.cli import targets
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.dry_run import dry_run_flag
from api.cli.files import BadManifest, Manifest, read
from api.cli.joblet_workflow import is_one
from api.cli.json_flag import also_json
from api.cli.output import note, show_json_of, show_yaml
from api.cli.problems import CommandFailed, describe, say
from api.client import Applied
from api.client_paths import BadName
from api.errors import ApiError, BadRequest, Conflict, Invalid
from api.meta import API_VERSION, Document
from api.nearest import nearest
from api.objects import admission

NOT_DECLARED = ("Pod", "Manifest", "Event", "Node")
_SERVER_OWNED = ("managedFields", "creationTimestamp", "generation", "selfLink")


@click.command("apply")
@click.option(
    "-f",
    "--filename",
    "sources",
    multiple=True,
    required=True,
    metavar="FILE|DIR|-",
    type=click.Path(allow_dash=True),
    help="What to apply: .yaml, .yml or .json; - is stdin. May be repeated.",
)
@click.option("-R", "--recursive", is_flag=True, help="Look for files in all directories below DIR.")
@dry_run_flag("change")
@click.option("--force-conflicts", is_flag=True, help="Take over fields that other managers own.")
@click.option("-o", "--output", type=click.Choice(["name", "json", "yaml"]), help="Print the objects, or their names.")
@also_json
@reaching
@pass_connection
def apply(
    connection: Connection,
    *,
    sources: tuple[str, ...],
    recursive: bool,
    dry_run: str,
    force_conflicts: bool,
    output: str | None,
) -> None:
    """Make objects as files say: create what is missing, change what differs.

    The fields that a file names become rnx's; what others set stays as it is.
    """
    failures = found = 0
    shown: list[Document] = []
    for manifest in read(sources, recursive=recursive):
        found += 1
        try:
            if isinstance(manifest, BadManifest):
                raise manifest
            done = apply_one(connection, manifest, force=force_conflicts, dry_run=dry_run == "server")
        except BadManifest as error:
            failures += 1
            say(str(error))
            continue
        if output == "json":
            _warn(done)
            shown.append(done.document)
        else:
            _show(done, output, dry_run=dry_run == "server")
    if shown:
        show_json_of(shown, several=False)
    if not found:
        raise CommandFailed("nothing to apply: the files hold no objects")
    if failures:
        raise CommandFailed()


def apply_one(connection: Connection, manifest: Manifest, *, force: bool, dry_run: bool) -> Applied:
    """Apply one document. Raises BadManifest: it cannot be, or was refused; the message says where and why."""
    document = manifest.document
    kind = targets.of_document(document)
    if kind is None:
        raise BadManifest(_unknown_kind(manifest))
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise BadManifest(f"{manifest.place}: cannot apply a {kind.name} without metadata.name: give it one")
    namespace = _namespace(connection, manifest) if kind.namespaced else ""
    try:
        return connection.client.apply(kind, namespace, applicable(document), force=force, dry_run=dry_run)
    except ApiError as error:
        raise BadManifest(_refusal(manifest, error)) from error
    except BadName as error:
        raise BadManifest(f"{manifest.place_of('metadata.name')}: {error}") from error


def applicable(document: Document) -> Document:
    """Return a document as it may be applied: less its status and what only the server writes."""
    metadata = {name: value for name, value in document["metadata"].items() if name not in _SERVER_OWNED}
    return {**{name: value for name, value in document.items() if name != "status"}, "metadata": metadata}


def _namespace(connection: Connection, manifest: Manifest) -> str:
    said = manifest.document["metadata"].get("namespace") or ""
    asked = connection.namespace_flag
    if said and asked and said != asked:
        raise BadManifest(
            f'{manifest.place_of("metadata.namespace")}: it is for namespace "{said}", not "{asked}": drop -n'
        )
    return said or connection.namespace


def _unknown_kind(manifest: Manifest) -> str:
    said = (manifest.document.get("apiVersion") or "", manifest.document.get("kind") or "")
    if is_one(manifest.document):
        return f"{manifest.place}: cannot apply it: {admission.RUN_WORKFLOW}"
    if not all(said):
        return f"{manifest.place}: cannot apply it: {_untyped(*said)}"
    declared = [kind for kind in targets.SERVED if kind.name not in NOT_DECLARED]
    what = f'{manifest.place}: cannot apply apiVersion "{said[0]}" kind "{said[1]}": it is not served'
    near = nearest(str(said[1]), [kind.name for kind in declared])
    if near:
        version = next(kind.api_version for kind in declared if kind.name == near)
        return f"{what}: did you mean apiVersion: {version} and kind: {near}?"
    return f"{what}: use one of {', '.join(f'{kind.api_version} {kind.name}' for kind in declared)}"


def _untyped(api_version: str, kind: str) -> str:
    """Say what a document lacks, and how to write it as far as the rest of it tells."""
    declared = [each for each in targets.SERVED if each.name not in NOT_DECLARED]
    versions = dict.fromkeys(each.api_version for each in declared if each.name == kind)
    names = dict.fromkeys(each.name for each in declared if each.api_version == api_version)
    version = next(iter(versions), API_VERSION)
    one_of = " or ".join(names or [each.name for each in declared if each.api_version == version])
    if kind:
        return f"it has no apiVersion: write apiVersion: {version}"
    if api_version:
        return f"it has no kind: write kind: {one_of}"
    return f"it has no apiVersion and no kind: write apiVersion: {version} and kind: {one_of}"


def _refusal(manifest: Manifest, error: ApiError) -> str:
    if not error.causes:
        return f"{manifest.place}: {describe(error)}"
    if len(error.causes) == 1 and error.causes[0].field and isinstance(error, Invalid | BadRequest):
        (cause,) = error.causes
        return f"{manifest.place_of(cause.field.lstrip('.'))}: {cause}"
    lines = [f"{manifest.place}: {describe(error).splitlines()[0]}"]
    lines += [f"  {manifest.place_of(cause.field.lstrip('.'))}: {cause}" for cause in error.causes]
    if isinstance(error, Conflict):
        lines.append("  to take these fields over, use --force-conflicts; else leave them out of the file")
    return "\n".join(lines)


def _warn(done: Applied) -> None:
    for warning in done.warnings:
        note(f"Warning: {warning}")


def _show(done: Applied, output: str | None, *, dry_run: bool) -> None:
    _warn(done)
    kind = targets.of_document(done.document)
    name = targets.full_name(kind, done.document["metadata"]["name"]) if kind else json.dumps(done.document["metadata"])
    if output == "yaml":
        click.echo("---")
        show_yaml(done.document)
        return
    what = "created" if done.created else "configured" if done.changed else "unchanged"
    click.echo(name if output == "name" else f"{name} {what}{' (server dry run)' if dry_run else ''}")
