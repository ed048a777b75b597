"""`rnx delete`: ask for deletion, then wait until the objects are gone."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import click

from api.cli import targets
from api.cli.completing import complete_target
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.files import BadManifest, read
from api.cli.output import note
from api.cli.problems import CommandFailed, describe
from api.cli.targets import Target
from api.client import Client, Selection
from api.client_watch import TimedOut, wait_for
from api.errors import ApiError, NotFound
from api.meta import Document


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
@click.option(
    "--wait",
    default=True,
    is_flag=False,
    flag_value="true",
    type=bool,
    metavar="true|false",
    show_default=True,
    help="Wait until they are gone.",
)
@click.option("--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never.")
@click.option(
    "--grace-period", type=click.IntRange(min=0), metavar="SECONDS", help="Seconds between SIGTERM and SIGKILL."
)
@click.option("--ignore-not-found", is_flag=True, help="Objects that do not exist are no error.")
@click.option(
    "--dry-run",
    type=click.Choice(["none", "server"]),
    default="none",
    is_flag=False,
    flag_value="server",
    help="server: check everything, change nothing.",
)
@click.option("-o", "--output", type=click.Choice(["name"]), help="Print names only.")
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
        dry_run == "server", grace_period, ignore_not_found, wait and dry_run == "none", timeout, bool(output)
    )
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
        if not options.quiet:
            click.echo(str(target) if options.names_only else said)
    if options.wait:
        _wait_until_gone(connection.client, going, options.timeout_seconds)
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
    kinds, named = targets.parse(words)
    if named and (everything or selector):
        raise click.UsageError("names cannot be given together with --all or -l")
    if not named and not everything and not selector:
        raise click.UsageError(f"name the {kinds[0].plural} to delete, or say --all or -l SELECTOR")
    if named:
        return [(connection.namespace, target) for target in named]
    return [
        (connection.namespace, Target(kind, item["metadata"]["name"]))
        for kind in kinds
        for item in connection.client.list(kind, connection.namespace, Selection(selector))["items"]
    ]


def _from_files(connection: Connection, sources: tuple[str, ...], *, recursive: bool) -> list[tuple[str, Target]]:
    wanted = []
    for manifest in read(sources, recursive=recursive):
        if isinstance(manifest, BadManifest):
            raise CommandFailed(str(manifest))
        kind = targets.of_document(manifest.document)
        metadata = manifest.document.get("metadata") or {}
        if kind is None or not metadata.get("name"):
            raise CommandFailed(f"{manifest.place}: cannot delete it: it names no object that is served")
        wanted.append((metadata.get("namespace") or connection.namespace, Target(kind, metadata["name"])))
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
        last = _Last(uid)
        try:
            wait_for(client, target.kind, namespace, target.name, until=last.is_gone, timeout_seconds=left)
        except TimedOut:
            raise TimedOut(f"timed out waiting for {target} to be gone: {last.why()}") from None


class _Last:
    """The last state of an object that is going, to say what holds it."""

    def __init__(self, uid: str) -> None:
        self.uid, self.document = uid, None  # type: str, Document | None

    def is_gone(self, document: Document | None) -> bool:
        """Say whether it is gone; a new object of its name is another one."""
        self.document = document
        return document is None or bool(self.uid and document["metadata"].get("uid") != self.uid)

    def why(self) -> str:
        """Return what it still waits for."""
        finalizers = (self.document or {}).get("metadata", {}).get("finalizers") or ()
        return f"its finalizers are {', '.join(finalizers)}" if finalizers else "it is still there"
