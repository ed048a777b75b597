"""What may leave a network and come into its jobs, as people write it: `any`, `10.0.0.0/8`, `example.com:443`. Pure."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeVar

from pydantic_core import PydanticCustomError

ANY, PEERS = "any", "peers"
PROTOCOLS = ("tcp", "udp")
IpNetwork = IPv4Network | IPv6Network
_RULE = re.compile(
    r"(?P<target>\[[0-9A-Fa-f:.]+(/\d+)?\]|[0-9.]+(/\d+)?|(?P<name>[A-Za-z0-9_.-]+))"
    r"(:(?P<ports>\d+(-\d+)?)(/(?P<protocol>tcp|udp))?)?",
    re.ASCII,
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LONGEST_NAME = 253
_PORTS = re.compile(r"(?P<ports>\d+(-\d+)?)(/(?P<protocol>tcp|udp))?", re.ASCII)
_MOST = 65535
MOST_RULES = 64
"""In one list."""
_Rule = TypeVar("_Rule")


@dataclass(frozen=True, slots=True)
class Ports:
    """A range of ports of one protocol, both ends included."""

    protocol: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Egress:
    """Where connections may go: to addresses, to what a name leads to, to the peers of the network, or, if none is
    said, to all; all ports and protocols if `ports` is None."""

    to: IpNetwork | None = None
    ports: Ports | None = None
    name: str = ""
    peers: bool = False

    @property
    def is_any(self) -> bool:
        """Whether it is for all addresses."""
        return self.to is None and not self.name and not self.peers


def parse_egress(text: str) -> Egress:
    """Read one rule of `egress`.

    >>> parse_egress("10.0.0.0/8:5432")
    Egress(to=IPv4Network('10.0.0.0/8'), ports=Ports(protocol='tcp', first=5432, last=5432), name='', peers=False)
    >>> parse_egress("any").is_any, parse_egress("Example.com:443").name
    (True, 'example.com')

    Raises:
        ValueError: it is none; the message says how one is written.
    """
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(
            f'"{text}" is no rule: write any, 10.0.0.0/8, any:443, example.com:443, 10.1.2.3:5432 '
            "or [2001:db8::/32]:53/udp"
        )
    ports = _ports(found["ports"], found["protocol"]) if found["ports"] else None
    name = (found["name"] or "").lower()
    if name in (ANY, PEERS):
        return Egress(None, ports, peers=name == PEERS)
    if name:
        return Egress(None, ports, _checked(name))
    return Egress(ip_network(found["target"].strip("[]")), ports)


def _checked(name: str) -> str:
    labels = name.split(".")
    if len(name) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValueError(f'"{name}" is no name: write one such as example.com, without a last dot')
    return name


def parse_ports(text: str) -> Ports:
    """Read one rule of `ingress`.

    >>> parse_ports("8000-8010/udp")
    Ports(protocol='udp', first=8000, last=8010)

    Raises:
        ValueError: it is none; the message says how one is written.
    """
    found = _PORTS.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" is no port: write 5432, 8000-8010 or 53/udp')
    return _ports(found["ports"], found["protocol"])


def _ports(text: str, protocol: str | None) -> Ports:
    first, _, last = text.partition("-")
    ports = Ports(protocol or PROTOCOLS[0], int(first), int(last or first))
    if not 0 < ports.first <= ports.last <= _MOST:
        raise ValueError(f'"{text}" are no ports: they are 1 to {_MOST}, the lower first')
    return ports


def checked(rules: Iterable[str], parse: Callable[[str], _Rule]) -> list[_Rule]:
    """Return the rules of a field of an object, read.

    Raises:
        PydanticCustomError: one is none.
    """
    try:
        return [parse(rule) for rule in rules]
    except ValueError as error:
        raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
