"""`rnx volume snapshot`: keep what a volume holds at a moment, to make volumes of: create, list, delete."""

from collections.abc import Sequence

import click

from api import kinds
from api.cli.completing import complete_snapshot, complete_volume
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.delete import Options, delete_and_wait
from api.cli.durations import SECONDS
from api.cli.lazy import Lazy, LazyGroup
from api.cli.listing import show_newest
from api.cli.made import check_usable, made_ready, ready_of, require_there
from api.cli.output import age, show_json
from api.cli.targets import Target
from api.meta import API_VERSION, Document
from api.types import volume_snapshot as types
from api.types.volume_snapshot import SnapshotReason

COMMANDS = {
    "create": Lazy("api.cli.volume_snapshot:create", "Take a snapshot of a volume."),
    "list": Lazy("api.cli.volume_snapshot:list_snapshots", "List snapshots."),
    "delete": Lazy("api.cli.volume_snapshot:delete", "Delete snapshots and what they hold."),
}
_PASSING = (SnapshotReason.TAKING, SnapshotReason.SOURCE_NOT_READY)
_DEFAULT_WAIT_SECONDS = 600.0  # Where blocks are not shared, all that is used is copied.


@click.group("snapshot", cls=LazyGroup, table=COMMANDS)
@reaching
def snapshot() -> None:
    """Keep what a volume holds at a moment; `rnx volume create NAME --from-snapshot=…` makes a volume of it."""


@click.command("create")
@click.argument("name")
@click.option("--volume", required=True, metavar="VOLUME", shell_complete=complete_volume, help="What it is taken of.")
@click.option("--retain", is_flag=True, help="Leave what it holds on the host's disk when it is deleted.")
@click.option("--no-wait", is_flag=True, help="Do not wait until it is taken.")
@click.option(
    "--timeout", type=SECONDS, default=None, metavar="DURATION", help="Give up waiting after this long; default: 10m."
)
@click.option("--json", "as_json", is_flag=True, help="Print the snapshot as JSON.")
@reaching
@pass_connection
def create(
    connection: Connection, *, name: str, volume: str, retain: bool, no_wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Take a snapshot of a volume, as it is now, and wait until volumes can be made of it.

    Jobs that write to the volume wait for a moment, and go on: what they wrote until then is in the snapshot, whole.

    \b
    rnx volume snapshot create before-migration --volume=database
    """
    if not no_wait:
        require_there(connection, kinds.VOLUME, volume, "rnx volume list shows all")
    spec: Document = {"source": {"volumeName": volume}} | ({"deletionPolicy": "Retain"} if retain else {})
    document = {"apiVersion": API_VERSION, "kind": "VolumeSnapshot", "metadata": {"name": name}, "spec": spec}
    taken = connection.client.create(kinds.VOLUME_SNAPSHOT, connection.namespace, document).document
    if not no_wait:
        seconds = _DEFAULT_WAIT_SECONDS if timeout is None else timeout
        taken = made_ready(connection, kinds.VOLUME_SNAPSHOT, name, _is_settled, seconds)
    if as_json:
        show_json(taken)
    if not no_wait:
        check_usable(kinds.VOLUME_SNAPSHOT, taken)
    if not as_json:
        told = "is being taken" if no_wait else f"taken: {taken['status'].get('restoreSize')} of volume {volume}"
        click.echo(f"Snapshot {name} {told}")


@click.command("list")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def list_snapshots(connection: Connection, *, all_namespaces: bool, as_json: bool) -> None:
    """List snapshots: of which volume they are, and what they take."""
    head = ["NAME", "VOLUME", "READY", "RESTORE SIZE", "DISK", "TAKEN", "AGE"]
    show_newest(connection, kinds.VOLUME_SNAPSHOT, head, _row, all_namespaces=all_namespaces, as_json=as_json)


def _row(item: Document) -> list[str]:
    metadata, status = item["metadata"], item.get("status", {})
    return [
        metadata["name"],
        item["spec"]["source"]["volumeName"],
        types.ready_to_use(item),
        status.get("restoreSize", ""),
        types.disk(item),
        status.get("creationTime", ""),
        age(metadata.get("creationTimestamp")),
    ]


@click.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="SNAPSHOT…", shell_complete=complete_snapshot)
@click.option("--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: what was deleted.")
@reaching
@pass_connection
def delete(connection: Connection, *, names: Sequence[str], timeout: float | None, as_json: bool) -> None:
    """Delete snapshots and what they hold; volumes that were made of them stay."""
    wanted = [(connection.namespace, Target(kinds.VOLUME_SNAPSHOT, name)) for name in names]
    delete_and_wait(connection, wanted, Options(timeout_seconds=timeout, as_json=as_json))


def _is_settled(item: Document | None) -> bool:
    if item is None or item.get("status", {}).get("readyToUse"):
        return True
    ready = ready_of(item)
    return ready is not None and ready.reason not in _PASSING
