"""What the kernel's packet rules can say, as data: matches, deeds, rules, chains. `nft.py` puts them to the kernel."""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias


class State(IntFlag):
    """What connection tracking knows of a packet. Source: include/uapi/linux/netfilter/nf_conntrack_common.h."""

    INVALID = 1
    ESTABLISHED = 2
    RELATED = 4


class Hook(IntEnum):
    """Where packets pass. Source: include/uapi/linux/netfilter.h."""

    PREROUTING = 0
    INPUT = 1
    FORWARD = 2
    OUTPUT = 3
    POSTROUTING = 4


@dataclass(frozen=True, slots=True)
class From:
    """It came in by the link of this name, or by one that begins so; or, `inverted`, by another."""

    link: str
    prefix: bool = False
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Into:
    """As `From`, of the link that it goes out by."""

    link: str
    prefix: bool = False
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Its source is of these addresses; or, `inverted`, of others of the same version."""

    network: IPv4Network | IPv6Network
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """As `Source`, of its destination."""

    network: IPv4Network | IPv6Network
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class PairIn:
    """Its source and its destination, together, are in this set, which is of addresses of this version."""

    pairs: str
    version: int


@dataclass(frozen=True, slots=True)
class Protocol:
    """It is tcp, udp, icmp or icmpv6."""

    name: str


@dataclass(frozen=True, slots=True)
class Version:
    """It is of IPv4 or IPv6."""

    number: int


@dataclass(frozen=True, slots=True)
class Port:
    """Its destination port is one of these; after a `Protocol` that has ports."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class IcmpType:
    """The type of an ICMP message is one of these; after such a `Protocol`."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class InState:
    """Connection tracking says one of these of it."""

    states: State


@dataclass(frozen=True, slots=True)
class WasRedirected:
    """It belongs to a connection whose destination was changed here."""


@dataclass(frozen=True, slots=True)
class ToThisHost:
    """Its destination is an address of this host."""


@dataclass(frozen=True, slots=True)
class Count:
    """Count it."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Let it pass, as far as these rules go."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Lose it."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Lose it, and tell its sender that it is prohibited."""


@dataclass(frozen=True, slots=True)
class Limit:
    """No more than so many have come here in a second, and a burst beyond that."""

    each_second: int
    burst: int


@dataclass(frozen=True, slots=True)
class Log:
    """Tell who listens to this group of it, and this text."""

    group: int
    text: str


@dataclass(frozen=True, slots=True)
class Reset:
    """Lose it, which is of TCP, and tell its sender that nobody listens there."""


@dataclass(frozen=True, slots=True)
class Return:
    """Go on where this chain was jumped to from."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on with another chain, and come back."""

    chain: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """Change its destination."""

    address: IPv4Address | IPv6Address
    port: int


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Change its source to the host's own, by the link that it goes out by."""


Word: TypeAlias = (
    From | Into | Source | Destination | PairIn | Protocol | Version | Port | IcmpType | InState | WasRedirected
    | ToThisHost | Limit | Log | Count | Accept | Drop | Reject | Reset | Return | Jump | Redirect | Masquerade
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pairs:
    """A set of sources with destinations, of addresses of one version; each is in it for a time of its own."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A source with a destination in a set, both packed, for so many milliseconds more."""

    pairs: str
    packed: bytes
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order, each of words. With a `hook`, packets pass it by themselves, the lower priority first."""

    name: str
    rules: tuple[tuple[Word, ...], ...]
    kind: str = "filter"
    hook: Hook | None = None
    priority: int = 0
