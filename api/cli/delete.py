"""`rnx delete`: ask for deletion, then wait until the objects are gone."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import click

from api.cli import targets
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.dry_run import dry_run_flag
from api.cli.flag_types import Whole
from api.cli.json_flag import also_json
from api.cli.output import note, printable, show_json
from api.cli.problems import CommandFailed, describe
from api.cli.targets import Target
from api.cli.wait_flags import GONE, waits_until
from api.client import Client
from api.client_paths import BadName, check_name
from api.client_watch import TimedOut, condition, wait_for
from api.errors import ApiError, NotFound
from api.meta import Document

_IN_USE = "InUse"


@click.command("delete")
@click.argument("words", nargs=-1, metavar="KIND NAME… | KIND/NAME…", shell_complete=complete_target)
@click.option(
    "-f",
    "--filename",
    "sources",
    multiple=True,
    metavar="FILE|DIR|-",
    type=click.Path(allow_dash=True),
    help="Delete what these files name.",
)
@click.option("-R", "--recursive", is_flag=True, help="Look for files in all directories below DIR.")
@click.option("--all", "everything", is_flag=True, help="Delete all objects of the kind.")
@click.option("-l", "--selector", default="", metavar="SELECTOR", help="Delete objects with these labels.")
@waits_until(GONE)
@click.option("--grace-period", type=Whole(0), metavar="SECONDS", help="Seconds between SIGTERM and SIGKILL.")
@click.option("--ignore-not-found", is_flag=True, help="Objects that do not exist are no error.")
@dry_run_flag("change")
@click.option("-o", "--output", type=click.Choice(["name", "json"]), help="Print names only.")
@also_json
@reaching
@pass_connection
def delete(
    connection: Connection,
    *,
    words: tuple[str, ...],
    sources: tuple[str, ...],
    recursive: bool,
    everything: bool,
    selector: str,
    wait: bool,
    timeout: float | None,
    grace_period: int | None,
    ignore_not_found: bool,
    dry_run: str,
    output: str | None,
) -> None:
    """Delete objects and wait until they are gone; a job's run is stopped first."""
    wanted = _wanted(connection, words, sources, recursive=recursive, everything=everything, selector=selector)
    options = Options(
        dry_run == "server", grace_period, ignore_not_found, wait and dry_run == "none", timeout, output == "name",
        as_json=output == "json",
    )  # fmt: skip
    delete_and_wait(connection, wanted, options)


@dataclass(frozen=True, slots=True)
class Options:
    """How to delete, and whether to wait."""

    dry_run: bool = False
    grace_seconds: int | None = None
    ignore_not_found: bool = False
    wait: bool = True
    timeout_seconds: float | None = None
    names_only: bool = False
    quiet: bool = False
    as_json: bool = False


def delete_and_wait(
    connection: Connection, wanted: Sequence[tuple[str, Target]], options: Options | None = None
) -> None:
    """Delete objects, say so, and wait until they are gone.

    Raises:
        CommandFailed: one was refused; the others were deleted.
        TimedOut: one is still there.
    """
    options = options or Options()
    failed, going = False, []
    for namespace, target in wanted:
        try:
            uid = _delete_one(connection.client, namespace, target, options)
        except ApiError as error:
            if not (options.ignore_not_found and isinstance(error, NotFound)):
                note(describe(error))
                failed = True
            continue
        going.append((namespace, target, uid))
        said = (
            f'{str(target).partition("/")[0]} "{target.name}" deleted{" (server dry run)" if options.dry_run else ""}'
        )
        if not (options.quiet or options.as_json):
            click.echo(str(target) if options.names_only else said)
    if options.wait:
        _wait_until_gone(connection.client, going, options.timeout_seconds)
    if options.as_json:
        show_json({"deleted": [str(target) for _, target, _ in going]})
    if failed:
        raise CommandFailed()


def _wanted(
    connection: Connection,
    words: tuple[str, ...],
    sources: tuple[str, ...],
    *,
    recursive: bool,
    everything: bool,
    selector: str,
) -> list[tuple[str, Target]]:
    if bool(words) == bool(sources):
        raise click.UsageError("name what to delete: KIND NAME, KIND/NAME, or -f FILE (and not both)")
    if sources:
        return _from_files(connection, sources, recursive=recursive)
    found = targets.chosen(connection, words, everything=everything, selector=selector)
    return [(connection.namespace, target) for target in found]


def _from_files(connection: Connection, sources: tuple[str, ...], *, recursive: bool) -> list[tuple[str, Target]]:
    from api.cli import files

    wanted = []
    for manifest in files.read(sources, recursive=recursive):
        if isinstance(manifest, files.BadManifest):
            raise CommandFailed(str(manifest))
        kind = targets.of_document(manifest.document)
        metadata = manifest.document.get("metadata")
        if kind is None or not isinstance(metadata, dict) or not metadata.get("name"):
            raise CommandFailed(f"{manifest.place}: cannot delete it: it names no object that is served")
        namespace = metadata.get("namespace") or connection.namespace
        try:
            check_name("namespace", namespace)
            check_name(kind.singular, metadata["name"])
        except BadName as error:
            raise CommandFailed(f"{manifest.place_of('metadata.name')}: {error}") from error
        wanted.append((namespace, Target(kind, metadata["name"])))
    return wanted


def _delete_one(client: Client, namespace: str, target: Target, options: Options) -> str:
    """Ask for its deletion and return its uid."""
    grace, dry_run = options.grace_seconds, options.dry_run
    answer = client.delete(target.kind, namespace, target.name, grace_seconds=grace, dry_run=dry_run)
    return str((answer.get("details") or answer.get("metadata") or {}).get("uid", ""))


def _wait_until_gone(client: Client, going: list[tuple[str, Target, str]], timeout: float | None) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    for namespace, target, uid in going:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        last = _Last(target, uid)
        try:
            wait_for(client, target.kind, namespace, target.name, until=last.is_gone, timeout_seconds=left)
        except TimedOut:
            raise TimedOut(f"timed out waiting for {target} to be gone: {last.why()}") from None


class _Last:
    """The last state of an object that is going, to say what holds it."""

    def __init__(self, target: Target, uid: str) -> None:
        self.uid, self.document = uid, None  # type: str, Document | None
        self._target, self._told = target, ""

    def is_gone(self, document: Document | None) -> bool:
        """Say whether it is gone; a new object of its name is another one."""
        self.document = document
        self._tell(document)
        return document is None or bool(self.uid and document["metadata"].get("uid") != self.uid)

    def _tell(self, document: Document | None) -> None:
        """Say once whose runs have it, as it goes only when they have ended."""
        ready = condition(document, "Ready") if document and "deletionTimestamp" in document["metadata"] else None
        why = str(ready.get("message", "")) if ready and ready.get("reason") == _IN_USE else ""
        if why and why != self._told:
            note(f"waiting for {self._target} to be gone: {printable(why)}")
        self._told = why

    def why(self) -> str:
        """Return what it still waits for."""
        finalizers = (self.document or {}).get("metadata", {}).get("finalizers") or ()
        return f"its finalizers are {', '.join(finalizers)}" if finalizers else "it is still there"
