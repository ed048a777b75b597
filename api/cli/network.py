"""`rnx network`: the documents' words for networks: create, list, remove."""

from typing import Any

import click

from api import kinds
from api.cli.connection import Connection, pass_connection, reaching
from api.cli.delete import Options, delete_and_wait
from api.cli.durations import SECONDS
from api.cli.lazy import Lazy, LazyGroup
from api.cli.made import check_usable, made_ready, ready_of
from api.cli.output import show_columns, show_json
from api.cli.targets import Target
from api.cli.wait_flags import GONE, waits_until
from api.errors import NotFound
from api.meta import API_VERSION, Document
from api.types.job_network import HOST
from api.types.network import BUILT_IN, NONE, NetworkReason
from api.types.network_rules import ANY

COMMANDS = {
    "create": Lazy("api.cli.network:create", "Create a network."),
    "list": Lazy("api.cli.network:list_networks", "List networks."),
    "remove": Lazy("api.cli.network:remove", "Remove networks, once no run is in them."),
}


@click.group("network", cls=LazyGroup, table=COMMANDS)
@reaching
def network() -> None:
    """Make networks for jobs, and look after them."""


@click.command("create")
@click.argument("name", metavar="NAME")
@click.option("--cidr", metavar="CIDR", help="Its addresses, such as 10.10.0.0/24; by default some that are free.")
@click.option(
    "--egress", multiple=True, metavar="RULE",
    help="What its jobs may reach outside of it: any, any:443, example.com:443, 10.0.0.0/8:5432. Nothing by default. "
    "May be repeated.",
)  # fmt: skip
@click.option(
    "--ingress", multiple=True, metavar="PORT[/udp]",
    help="A port of its jobs that its other jobs may reach; all by default. May be repeated.",
)  # fmt: skip
@click.option(
    "--timeout", type=SECONDS, default=60.0, metavar="DURATION", help="Give up after this long; default: 60s."
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@reaching
@pass_connection
def create(
    connection: Connection, *, name: str, cidr: str | None, egress: tuple[str, ...], ingress: tuple[str, ...],
    timeout: float, as_json: bool,
) -> None:  # fmt: skip
    """Create a network and wait until jobs can be in it: they reach each other, and outside of it what --egress says.

    \b
    rnx network create database --cidr=10.10.0.0/24
    rnx job run --network=database --detach postgres
    """
    if name in BUILT_IN and not egress:
        fix = f"choose another name, or say what it may reach with --egress, such as --egress={ANY}"
        raise click.UsageError(f'"{name}" is built in, and its jobs reach the internet: {fix}')
    spec: Document = {**BUILT_IN.get(name, {})} | ({"cidr": cidr} if cidr else {})
    spec |= {"egress": list(egress)} if egress else {}
    spec |= {"ingress": list(ingress)} if ingress else {}
    document = {"apiVersion": API_VERSION, "kind": "Network", "metadata": {"name": name}, "spec": spec}
    connection.client.create(kinds.NETWORK, connection.namespace, document)
    made = made_ready(connection, kinds.NETWORK, name, _is_settled, timeout)
    if as_json:
        show_json(made)
    check_usable(kinds.NETWORK, made)
    if not as_json:
        click.echo(name)


def _is_settled(item: Document | None) -> bool:
    ready = None if item is None else ready_of(item)
    return item is None or (ready is not None and ready.reason != NetworkReason.REPAIR_FAILED)


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@reaching
@pass_connection
def list_networks(connection: Connection, *, as_json: bool) -> None:
    """List the networks of the namespace: those declared, and those that are made when a job names them."""
    found = connection.client.list(kinds.NETWORK, connection.namespace)
    if as_json:
        show_json(found)
        return
    there = {item["metadata"]["name"]: item for item in found["items"]}
    rows = [[name, *_row(item)] for name, item in sorted(there.items())]
    rows += [[name, "when a job names it", "", _egress(spec)] for name, spec in BUILT_IN.items() if name not in there]
    show_columns([["NAME", "READY", "CIDR", "EGRESS"], *rows, [NONE, "", "", "none"]])


def _row(item: Document) -> list[str]:
    conditions = item.get("status", {}).get("conditions", ())
    ready: Document = next((each for each in conditions if each["type"] == "Ready"), {})
    said = "yes" if ready.get("status") == "True" else str(ready.get("message", "not yet"))
    return [said, str(item.get("status", {}).get("cidr", "")), _egress(item.get("spec", {}))]


def _egress(spec: Document) -> str:
    return ",".join(spec.get("egress") or ("none",))


@click.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@waits_until(GONE)
@click.option("--json", "as_json", is_flag=True, help="As JSON: what was deleted.")
@reaching
@pass_connection
def remove(
    connection: Connection, *, names: tuple[str, ...], wait: bool, timeout: float | None, as_json: bool
) -> None:  # fmt: skip
    """Remove networks; one with runs in it goes when they have ended."""
    wanted = [(connection.namespace, Target(kinds.NETWORK, name)) for name in names]
    delete_and_wait(connection, wanted, Options(wait=wait, timeout_seconds=timeout, as_json=as_json))


def check_known(connection: Connection, wanted: Any) -> None:
    """Refuse a job whose network nobody has declared: it would wait for it.

    Raises:
        UsageError: with those that there are.
    """
    if why := why_unknown(connection, (wanted or {}).get("name", NONE)):
        raise click.UsageError(f"--network: {why}")


def why_unknown(connection: Connection, name: str) -> str:
    """Return that nobody has declared a network of that name, with those that there are; nothing if it is there."""
    if name in (NONE, HOST) or name in BUILT_IN:
        return ""
    try:
        connection.client.get(kinds.NETWORK, connection.namespace, name)
    except NotFound:
        listed = connection.client.list(kinds.NETWORK, connection.namespace)["items"]
        known = ", ".join(sorted({*BUILT_IN, NONE, *(item["metadata"]["name"] for item in listed)}))
        return f'there is no network "{name}": rnx network create {name}, or name one of {known}'
    return ""
