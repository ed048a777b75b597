"""`rnx runtime verify`, `accept`, `update`, `rollback`, `gc` and `history`: what the daemon is asked of its runtimes.

Each is an annotation on the Runtime, and waits until the daemon has heard it and says what became of it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import click

from api import kinds, runtime_requests, runtime_spec
from api.cli import runtimes as words
from api.cli.completing import complete_runtime
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.durations import SECONDS
from api.cli.output import age, note, printable, show_columns, show_json, size
from api.cli.problems import CommandFailed
from api.client import Client
from api.client_watch import TimedOut, wait_for
from api.errors import ApiError
from api.meta import Document
from api.runtime_requests import Request
from api.runtime_spec import RuntimeSpec

_TIMEOUT = click.option(
    "--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")


def ask(
    client: Client,
    name: str,
    request: Request,
    versions: Iterable[str],
    timeout: float | None,
    *,
    digests: Iterable[str] | None = None,
) -> Document:
    """Ask something of a Runtime and return it when that was heard.

    Args:
        versions: those that it is about; all where there are none.
        digests: the contents that it is about, if it is not about whatever is there.

    Raises:
        TimedOut: it was not heard in time; it still may be.
    """
    wanted = runtime_requests.value(versions, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", digests)
    patch = {"metadata": {"annotations": {runtime_requests.PREFIX + request: wanted}}}
    client.merge_patch(kinds.RUNTIME, "", name, patch)

    def is_heard(runtime: Document | None) -> bool:
        if runtime is None:
            raise CommandFailed(f"runtime {name} was deleted")
        return (runtime.get("status", {}).get("requestsHeard") or {}).get(request) == wanted

    try:
        found = wait_for(client, kinds.RUNTIME, "", name, until=is_heard, timeout_seconds=timeout)
    except TimedOut:
        raise TimedOut(
            f"timed out waiting for runtime {name} ({request}): rnx describe runtime/{name} says what is going on"
        ) from None
    return found or {}


def result_of(runtime: Document, request: Request) -> str:
    """Return what became of a request that was heard, in the daemon's words."""
    return str((runtime.get("status", {}).get("requestResults") or {}).get(request, ""))


@click.command("verify")
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@_TIMEOUT
@_JSON
@reaching
@pass_connection
def verify(connection: Connection, *, spec: str, timeout: float | None, as_json: bool) -> None:
    """Compare every file of a runtime with what was installed.

    \b
    Exit status: 0 all is as it was installed, 1 something differs. What differs
    is installed again; jobs that run in it are not disturbed.
    """
    look(connection, spec, Request.VERIFY, timeout, as_json=as_json)


def look(connection: Connection, spec: str, request: Request, timeout: float | None, *, as_json: bool) -> None:
    """Have what `spec` means looked at, and tell what was found. Raises CommandFailed unless all is well."""
    wanted = words.parse(spec)
    found = words.find(connection.client, wanted)
    runtime = ask(connection.client, found["metadata"]["name"], request, _versions(found, wanted, request), timeout)
    _tell(runtime, request, wanted.version, as_json=as_json)


def _versions(runtime: Document, wanted: RuntimeSpec, request: Request) -> tuple[str, ...]:
    """Return the versions that a request for `wanted` is about, of a range those on this host; none if about all."""
    if wanted.range is None:
        return (wanted.version,) if wanted.version is not None else ()
    there = words.installed(runtime)
    if within := tuple(version for version in there if words.may_mean(wanted.range, version)):
        return within
    what = f"cannot {request} {runtime['metadata']['name']}@{wanted.range}: no version in this range is on this host"
    raise CommandFailed(printable(f"{what}: {_those_there(runtime)}"))


def _those_there(runtime: Document) -> str:
    there = ", ".join(words.installed(runtime))
    return f"there is {there}" if there else "there is none"


@click.command("accept")
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@_TIMEOUT
@_JSON
@reaching
@pass_connection
def accept(connection: Connection, *, spec: str, timeout: float | None, as_json: bool) -> None:
    """Take a runtime whose content is another than before as it is now: it is what is expected from then on.

    \b
    Ends the condition DigestMismatch of a version, of those in a range, or
    without @VERSION of all.
    What is installed again meanwhile, and comes out as another still, is not
    taken: it is what no one has seen.
    """
    wanted = words.parse(spec)
    found = words.find(connection.client, wanted)
    name, there = str(found["metadata"]["name"]), found.get("status", {}).get("versions") or ()
    versions = _versions(found, wanted, Request.ACCEPT)
    seen = [str(e["digest"]) for e in there if e.get("digest") and (not versions or e["version"] in versions)]
    runtime = ask(connection.client, name, Request.ACCEPT, versions, timeout, digests=seen)
    _say(runtime, Request.ACCEPT, as_json=as_json)


def _say(runtime: Document, request: Request, *, as_json: bool) -> None:
    if as_json:
        show_json(runtime)
    else:
        click.echo(printable(f"Runtime {runtime['metadata']['name']}: {result_of(runtime, request)}"))


def _tell(runtime: Document, request: Request, version: str | None, *, as_json: bool) -> None:
    """Print what was found of a runtime, or of one version. Raises CommandFailed unless all of it is well."""
    result = result_of(runtime, request)
    if version is not None and not words.version_of(runtime, version).get("path") and not as_json:
        what = f"cannot {request} {runtime['metadata']['name']}@{version}: this version is not on this host"
        raise CommandFailed(printable(f"{what}: {_those_there(runtime)}"))
    if as_json:
        show_json(runtime)
    else:
        click.echo(f"Runtime {runtime['metadata']['name']}: {printable(result)}")
    if not runtime_requests.is_good(result):
        raise CommandFailed


@click.command("update")
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@_TIMEOUT
@_JSON
@reaching
@pass_connection
def update(connection: Connection, *, spec: str, timeout: float | None, as_json: bool) -> None:
    """Have latest and ranges mean the newest version that works, installing it; also under updatePolicy Manual."""
    wanted = words.parse(spec)
    found = words.find(connection.client, wanted)
    name = str(found["metadata"]["name"])
    _refuse_what_update_does_not_change(found, wanted)
    _refresh(connection.client, found)
    runtime = ask(connection.client, name, Request.UPDATE, (), timeout)
    result = result_of(runtime, Request.UPDATE)
    if not runtime_requests.is_newest(result):
        raise CommandFailed(printable(f"cannot update runtime {name}: {result}"))
    _say(runtime, Request.UPDATE, as_json=as_json)


@click.command("rollback")
@click.argument("spec", metavar="NAME[@VERSION]", shell_complete=complete_runtime)
@_TIMEOUT
@_JSON
@reaching
@pass_connection
def rollback(connection: Connection, *, spec: str, timeout: float | None, as_json: bool) -> None:
    """Have latest and ranges mean the version before, or VERSION, until the next update."""
    wanted = words.parse(spec)
    if wanted.range is not None:
        raise click.UsageError(f"cannot roll back to {wanted}: name one version, or none for the one before")
    found = words.find(connection.client, wanted)
    name, before = str(found["metadata"]["name"]), found.get("status", {}).get("history") or []
    version = () if wanted.version is None else (wanted.version,)
    runtime = ask(connection.client, name, Request.ROLLBACK, version, timeout)
    result = result_of(runtime, Request.ROLLBACK).removeprefix("cannot roll back: ")
    text = printable(f"Runtime {name}: {result}")
    if (runtime["status"].get("history") or []) == before:
        raise CommandFailed(f"cannot roll back: {text}")
    show_json(runtime) if as_json else click.echo(text)


@click.command("gc")
@click.argument("names", metavar="[NAME…]", nargs=-1, shell_complete=complete_runtime)
@click.option("--dry-run", is_flag=True, help="Remove nothing: say of every version whether it would go, and why.")
@_TIMEOUT
@_JSON
@reaching
@pass_connection
def gc(connection: Connection, *, names: tuple[str, ...], dry_run: bool, timeout: float | None, as_json: bool) -> None:
    """Remove versions that nothing wants or uses; never one that a run is in."""
    client = connection.client
    runtimes = [client.get(kinds.RUNTIME, "", name) for name in names] or client.list(kinds.RUNTIME)["items"]
    if dry_run:
        show_json(runtimes) if as_json else _show_kept(runtimes)
        return
    after = [ask(client, runtime["metadata"]["name"], Request.GC, (), timeout) for runtime in runtimes]
    if as_json:
        show_json(after)
        return
    if not after:
        note("No runtimes found: nothing to remove")
    for runtime in after:
        click.echo(printable(f"Runtime {runtime['metadata']['name']}: {result_of(runtime, Request.GC)}"))


@click.command("history")
@click.argument("spec", metavar="SPEC", shell_complete=complete_runtime)
@_JSON
@reaching
@pass_connection
def history(connection: Connection, *, spec: str, as_json: bool) -> None:
    """Show what latest and ranges of a runtime meant, and since when; the newest last."""
    runtime = words.find(connection.client, words.parse(spec))
    open_ones = [each for each in runtime["spec"].get("versions") or () if not runtime_spec.is_version(each)]
    entries = runtime.get("status", {}).get("history") or []
    if as_json:
        show_json(entries)
    elif not entries and open_ones:
        note(f"Runtime {runtime['metadata']['name']}: {', '.join(open_ones)} meant no version yet")
    elif not entries:
        note(f"Runtime {runtime['metadata']['name']} asks for exact versions only: they never changed")
    else:
        rows = [[e["asked"], e["version"], f"{age(e['at'])} ago", e.get("reason", "")] for e in entries]
        show_columns([["ASKED", "VERSION", "SINCE", "REASON"], *rows])


def _refresh(client: Client, runtime: Document) -> None:
    """Have the registries that a Runtime may come from asked anew: what is newer may not be known yet."""
    only = runtime["spec"].get("registry")
    for item in client.list(kinds.REGISTRY)["items"]:
        name = str(item["metadata"]["name"])
        if item["spec"].get("enabled", True) and only in (None, name):
            try:
                client.catalogue(name, refresh=True)
            except ApiError as error:
                note(f"registry/{name}: {error.message}")


def _refuse_what_update_does_not_change(runtime: Document, wanted: RuntimeSpec) -> None:
    name, asked = runtime["metadata"]["name"], runtime["spec"].get("versions") or ()
    if wanted.version is not None:
        what = f"cannot update {wanted}: it is one version, and stays it: leave out @{wanted.version}"
        raise click.UsageError(f"{what}, or: rnx runtime rollback {wanted}")
    if wanted.range is not None and wanted.range not in {runtime_spec.check_wanted(each) for each in asked}:
        raise click.UsageError(f"cannot update {wanted}: {name} has no such range: it has {', '.join(asked)}")


def _show_kept(runtimes: list[Document]) -> None:
    rows = []
    for runtime in runtimes:
        for each in runtime.get("status", {}).get("versions") or ():
            why = each.get("keptBecause", "")
            if not why:
                continue  # There is nothing of it on the disk.
            goes = "goes" if runtime_requests.is_collectable(why) else "stays"
            used = f"{age(each['lastUsedAt'])} ago" if each.get("lastUsedAt") else "never"
            rows.append([runtime["metadata"]["name"], each["version"], goes, used, size(each.get("diskBytes")), why])
    if not rows:
        note("No runtimes found: nothing would go")
        return
    show_columns([["NAME", "VERSION", "GC", "LAST USED", "SIZE", "WHY"], *rows])
