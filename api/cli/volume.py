"""`rnx volume`: the documents' words for volumes: create, list, remove; and snapshots of them."""

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
from api.cli.problems import CommandFailed
from api.cli.sizes import SIZE
from api.cli.targets import Target
from api.conditions import ConditionStatus
from api.meta import API_VERSION, Document
from api.types import volume as types
from api.types.volume import AccessMode, VolumeReason, VolumeType

COMMANDS = {
    "create": Lazy("api.cli.volume:create", "Make a volume."),
    "list": Lazy("api.cli.volume:list_volumes", "List volumes."),
    "remove": Lazy("api.cli.volume:remove", "Remove volumes and what they hold."),
    "snapshot": Lazy("api.cli.volume_snapshot:snapshot", "Keep what a volume holds now."),
}
_PASSING = (VolumeReason.MAKING, VolumeReason.SOURCE_NOT_READY)
_DEFAULT_WAIT_SECONDS = 60.0


@click.group("volume", cls=LazyGroup, table=COMMANDS)
@reaching
def volume() -> None:
    """Make volumes, which keep what jobs write to them, and look after them."""


@click.command("create")
@click.argument("name")
@click.option("--size", type=SIZE, metavar="SIZE", help="How much it holds: 1.5GB, 100MB, 2Gi.")
@click.option(
    "--type",
    "type_",
    type=click.Choice([each.value for each in VolumeType]),
    default=VolumeType.FILESYSTEM.value,
    show_default=True,
    help="What it is made of.",
)
@click.option(
    "--access-mode",
    "modes",
    multiple=True,
    type=click.Choice([each.value for each in AccessMode]),
    help="Who may have it at the same time; by default many jobs, all of which write. May be repeated.",
)
@click.option("--path", metavar="DIR", help="Of the type hostPath: the directory of the host.")
@click.option("--retain", is_flag=True, help="Leave what it holds on the host's disk when it is removed.")
@click.option("--copy-of", metavar="VOLUME", help="Begin as a copy of this volume.")
@click.option("--from-snapshot", metavar="SNAPSHOT", shell_complete=complete_snapshot, help="Begin as this snapshot.")
@click.option(
    "--timeout", type=SECONDS, default=None, metavar="DURATION", help="Give up after this long; default: 60s."
)
@click.option("--json", "as_json", is_flag=True, help="Print the volume as JSON.")
@reaching
@pass_connection
def create(
    connection: Connection, *, name: str, size: str | None, type_: str, modes: tuple[str, ...], path: str | None,
    retain: bool, copy_of: str | None, from_snapshot: str | None, timeout: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Make a volume and wait until jobs can have it.

    \b
    rnx volume create datasets --size=1.5GB
    rnx volume create scratch --size=512MB --type=memory
    rnx volume create restored --from-snapshot=before-migration
    """
    if copy_of is not None and from_snapshot is not None:
        raise click.UsageError("--copy-of and --from-snapshot: a volume begins as one of them")
    if copy_of is not None:
        require_there(connection, kinds.VOLUME, copy_of, "rnx volume list shows all")
    if from_snapshot is not None:
        require_there(connection, kinds.VOLUME_SNAPSHOT, from_snapshot, "rnx volume snapshot list shows all")
    spec: Document = {"type": type_}
    spec |= {"size": size} if size is not None else {}
    spec |= {"accessModes": list(modes)} if modes else {}
    spec |= {"path": path} if path is not None else {}
    spec |= {"reclaimPolicy": "Retain"} if retain else {}
    spec |= {"dataSource": {"kind": "Volume", "name": copy_of}} if copy_of is not None else {}
    spec |= {"dataSource": {"kind": "VolumeSnapshot", "name": from_snapshot}} if from_snapshot is not None else {}
    document = {"apiVersion": API_VERSION, "kind": "Volume", "metadata": {"name": name}, "spec": spec}
    connection.client.create(kinds.VOLUME, connection.namespace, document)
    seconds = _DEFAULT_WAIT_SECONDS if timeout is None else timeout
    made = made_ready(connection, kinds.VOLUME, name, _is_settled, seconds)
    if as_json:
        show_json(made)
    check_usable(kinds.VOLUME, made)
    if not as_json:
        click.echo(f"Volume created successfully: {name} ({', '.join(filter(None, (types.capacity(made), type_)))})")


@click.command("list")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, as the API said it.")
@reaching
@pass_connection
def list_volumes(connection: Connection, *, all_namespaces: bool, as_json: bool) -> None:
    """List volumes: how large they are, how full, and whose runs have them."""
    head = ["NAME", "SIZE", "USED", "TYPE", "STATUS", "USED BY", "AGE"]
    show_newest(connection, kinds.VOLUME, head, _row, all_namespaces=all_namespaces, as_json=as_json)


def _row(item: Document) -> list[str]:
    metadata, status = item["metadata"], item.get("status", {})
    return [
        metadata["name"],
        types.capacity(item),
        types.used(item),
        item.get("spec", {}).get("type", ""),
        status.get("phase", "Pending"),
        types.used_by(item),
        age(metadata.get("creationTimestamp")),
    ]


@click.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="VOLUME…", shell_complete=complete_volume)
@click.option("--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: what was deleted.")
@reaching
@pass_connection
def remove(connection: Connection, *, names: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    """Remove volumes and what they hold; one that a run has is not removed."""
    for name in names:
        found = connection.client.get(kinds.VOLUME, connection.namespace, name)
        if users := found.get("status", {}).get("usedBy", ()):
            who = ", ".join(f"run {user['attempt']} of job {user['job']}" for user in users[:3])
            fix = f"rnx job stop {users[0]['job']}, or rnx delete volume {name}, which waits for it"
            raise CommandFailed(f"cannot remove volume {name}: {who} has it: {fix}")
    wanted = [(connection.namespace, Target(kinds.VOLUME, name)) for name in names]
    delete_and_wait(connection, wanted, Options(timeout_seconds=timeout, as_json=as_json))


def _is_settled(item: Document | None) -> bool:
    ready = None if item is None else ready_of(item)
    return item is None or (
        ready is not None and (ready.status is ConditionStatus.TRUE or ready.reason not in _PASSING)
    )
