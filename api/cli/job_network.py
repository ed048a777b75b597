"""The flags of `rnx job run` that are about the job's network, and what they make of it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from api.cli import limits
from api.cli.flag_types import Read
from api.meta import Document

_Command = TypeVar("_Command", bound=Callable[..., Any])
_NOTHING = "none"


_OPTIONS = (
    click.option(
        "--network", default="", metavar="NAME", help="Be in this network: bridge, isolated, web, or one of yours."
    ),
    click.option("--alias", multiple=True, metavar="NAME", help="Another name for it in its network. May be repeated."),
    click.option(
        "--publish", multiple=True, type=Read(limits.port, "port"), metavar="[HOST:]PORT[/udp]",
        help="Have a port of the host lead to its PORT; without HOST: it is given one. May be repeated.",
    ),
    click.option(
        "--egress", multiple=True, metavar="RULE",
        help="Of what its network lets it, reach this alone: db:5432, peers, example.com:443, 10.0.0.0/8, or none. "
        "May be repeated.",
    ),
    click.option(
        "--ingress", multiple=True, metavar="PORT[/udp]",
        help="Of what its network lets them, have peers reach this port alone, or none. May be repeated.",
    ),
    click.option("--max-receive", default="", metavar="BITS", help="Receive no more bits a second, such as 10M."),
    click.option("--max-send", default="", metavar="BITS", help="Send no more bits a second, such as 1M."),
)  # fmt: skip


def options(command: _Command) -> _Command:
    """Give a command the flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wanted(
    name: str, aliases: tuple[str, ...], ports: tuple[Document, ...], egress: tuple[str, ...],
    ingress: tuple[str, ...], max_receive: str, max_send: str,
) -> Document:  # fmt: skip
    """Return the part of a job's spec that the flags make.

    Raises:
        UsageError: they are for a job in a network, and none is named.
    """
    if not name:
        if aliases or ports or egress or ingress or max_receive or max_send:
            raise click.UsageError(
                "--publish, --alias, --egress, --ingress, --max-receive and --max-send are for a job in a network: "
                "add --network=bridge"
            )
        return {}
    made: Document = {"name": name}
    made |= {"aliases": list(aliases)} if aliases else {}
    made |= {"ports": list(ports)} if ports else {}
    made |= {"egress": _listed(egress)} if egress else {}
    made |= {"ingress": _listed(ingress)} if ingress else {}
    rates = {"ingress": max_receive, "egress": max_send}
    bandwidth = {name: rate for name, rate in rates.items() if rate}
    made |= {"bandwidth": bandwidth} if bandwidth else {}
    return {"network": made}


def _listed(rules: tuple[str, ...]) -> list[str]:
    return [] if rules == (_NOTHING,) else list(rules)
