"""`rnx cordon`, `rnx uncordon` and `rnx drain`: whether the host takes further runs, and that none is on it, as kubectl
says it.

There is one node per host, so its name may be left out. Safe to repeat: what is so already is said, and is no error.
"""

import time

import click

from api import kinds
from api.cli.completing import complete_node
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.dry_run import dry_run_flag
from api.cli.durations import SECONDS
from api.cli.flag_types import Whole
from api.cli.output import note, show_json
from api.cli.problems import CommandFailed
from api.client import Client
from api.client_watch import TimedOut, wait_for
from api.errors import NotFound
from api.meta import Document

_NODE = click.argument("name", required=False, metavar="[NODE]", shell_complete=complete_node)
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON: the node as it is then.")


@click.command("cordon")
@_NODE
@_AS_JSON
@reaching
@pass_connection
def cordon(connection: Connection, *, name: str | None, as_json: bool) -> None:
    """Let no further run begin on the host; those that run go on, and jobs that want one wait.

    \b
    rnx cordon
    rnx cordon --host 'web*'
    """
    node, is_news = _close(connection.client, name, closed=True)
    show_json(node) if as_json else click.echo(_told(node, is_news=is_news))


@click.command("uncordon")
@_NODE
@_AS_JSON
@reaching
@pass_connection
def uncordon(connection: Connection, *, name: str | None, as_json: bool) -> None:
    """Let runs begin on the host again."""
    node, is_news = _close(connection.client, name, closed=False)
    show_json(node) if as_json else click.echo(_told(node, is_news=is_news))


@click.command("drain")
@_NODE
@click.option("--grace-period", type=Whole(0), metavar="SECONDS", help="Seconds between SIGTERM and SIGKILL.")
@click.option("--timeout", type=SECONDS, metavar="DURATION", help="Give up waiting after this long; default: never.")
@dry_run_flag("change")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the node, and the pods of the runs that were ended.")
@reaching
@pass_connection
def drain(
    connection: Connection,
    *,
    name: str | None,
    grace_period: int | None,
    timeout: float | None,
    dry_run: str,
    as_json: bool,
) -> None:
    """Cordon the host, end all runs on it, and wait until they have ended.

    \b
    Each run has failed with PodDeleted, and its job runs again when the host is
    uncordoned, as far as its backoffLimit allows; what is to go on is left to
    end by itself: rnx cordon.
    """  # fmt: skip
    client, rehearses = connection.client, dry_run == "server"
    node, is_news = _close(client, name, closed=True, dry_run=rehearses)
    name, suffix = node["metadata"]["name"], " (server dry run)" if rehearses else ""
    if not as_json:
        click.echo(_told(node, is_news=is_news) + suffix)
    if rehearses:
        ended = [_pod_name(pod) for pod in _live_pods(client)]
    else:
        ended = _end_all(client, name, grace_period, timeout, quiet=as_json)
    if as_json:
        show_json({"node": name, "deleted": ended})
        return
    for each in ended if rehearses else ():
        click.echo(f"pod/{each} deleted{suffix}")
    click.echo(f"node/{name} drained{suffix}")


def _end_all(client: Client, node: str, grace: int | None, timeout: float | None, *, quiet: bool) -> list[str]:
    """Delete the pods of all live runs until there is none: one may have been about to be recorded at the cordon."""
    deadline = None if timeout is None else time.monotonic() + timeout
    ended: list[str] = []
    while pods := _live_pods(client):
        if not client.get(kinds.NODE, "", node).get("spec", {}).get("unschedulable"):
            raise CommandFailed(f"cannot drain node/{node}: it was uncordoned meanwhile, so runs begin on it again")
        for pod in pods:
            _ask_to_end(client, pod, grace)
        for pod in pods:
            _wait_for_end(client, pod, deadline)
            ended.append(_pod_name(pod))
            if not quiet:
                click.echo(f"pod/{_pod_name(pod)} deleted")
    return ended


def _ask_to_end(client: Client, pod: Document, grace: int | None) -> None:
    metadata = pod["metadata"]
    try:
        client.delete(kinds.POD, metadata["namespace"], metadata["name"], grace_seconds=grace)
    except NotFound:
        return  # It has ended by itself.
    note(f"deleting pod {_pod_name(pod)}")


def _wait_for_end(client: Client, pod: Document, deadline: float | None) -> None:
    metadata = pod["metadata"]
    left = None if deadline is None else max(0.0, deadline - time.monotonic())

    def is_over(now: Document | None) -> bool:
        return now is None or now["metadata"]["uid"] != metadata["uid"] or not _is_live(now)

    try:
        wait_for(client, kinds.POD, metadata["namespace"], metadata["name"], until=is_over, timeout_seconds=left)
    except TimedOut:
        told = f"timed out waiting for pod {_pod_name(pod)} to end"
        raise TimedOut(f"{told}: the host stays cordoned: say rnx drain again, or rnx uncordon") from None


def _live_pods(client: Client) -> list[Document]:
    return [pod for pod in client.list(kinds.POD)["items"] if _is_live(pod)]


def _is_live(pod: Document) -> bool:
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def _pod_name(pod: Document) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _told(node: Document, *, is_news: bool) -> str:
    is_closed = bool(node.get("spec", {}).get("unschedulable"))
    return f"node/{node['metadata']['name']} {'' if is_news else 'already '}{'cordoned' if is_closed else 'uncordoned'}"


def _close(client: Client, name: str | None, *, closed: bool, dry_run: bool = False) -> tuple[Document, bool]:
    """Have the host take no further runs, or take them; return its node as it is then, and whether that was news."""
    asked = False

    def patch_for(node: Document) -> Document | None:
        nonlocal asked
        asked = bool(node.get("spec", {}).get("unschedulable")) != closed
        return {"spec": {"unschedulable": closed or None}} if asked else None

    name = (name or "").removeprefix("node/") or client.list(kinds.NODE)["items"][0]["metadata"]["name"]
    if dry_run:
        patch = patch_for(client.get(kinds.NODE, "", name))
        return client.merge_patch(kinds.NODE, "", name, patch or {}, dry_run=True), asked
    return client.change(kinds.NODE, "", name, patch_for), asked
