"""Network: jobs that reach each other, by address and by name, and what else they may reach.

Here: the kind, its rules, and the words `none`, `isolated`, `bridge`, `web`. What is made of it: `controller/network`.
"""

from ipaddress import ip_network

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from api import conditions
from api.conditions import Condition, ReasonEnum
from api.definition import Column, Definition, condition, field
from api.errors import Cause
from api.meta import Document
from api.model import ApiModel, Resource
from api.types import network_rules
from api.types.job_network import HOST
from api.types.network_refusal import Refusal
from api.types.network_rules import ANY

NONE = "none"
BUILT_IN: dict[str, Document] = {
    "bridge": {"egress": [ANY]},
    "isolated": {"egress": [ANY], "peers": False},
    "web": {"egress": [ANY]},
}
"""Networks that every namespace has, made when its first job names one. What is changed of one stays changed."""
RESERVED = (NONE, HOST)
"""What no Network can be called: having none, and the host's own."""
_LARGEST, _SMALLEST = 16, 29


class NetworkReason(ReasonEnum):
    """Why a network is, or is not, ready; listed in docs/reference/conditions.md."""

    CONNECTED = "Connected", "Its bridge, its addresses and the rules that hold its jobs apart from others are there."
    CIDR_TAKEN = "CIDRTaken", "Its addresses are in use on this host, by another network or by a route."
    NO_CIDR_LEFT = "NoCIDRLeft", "The setting network.pool has no addresses left for it."
    UNAVAILABLE = "NetworksUnavailable", "This host cannot have networks; the message says what it lacks."
    REPAIR_FAILED = "RepairFailed", "It cannot be made, or made whole again; it is tried again."
    FORBIDDEN = "Forbidden", "The settings of this host do not let it be so; the message says which."
    IN_USE = "InUse", "It is being deleted, and goes when the last run in it has ended."


def _check_egress(rules: tuple[str, ...]) -> tuple[str, ...]:
    for text, rule in zip(rules, network_rules.checked(rules, network_rules.parse_egress), strict=True):
        if rule.peers or (rule.name and "." not in rule.name):
            why = "is about what is outside of the network: spec.peers and spec.ingress are about its own jobs"
            raise PydanticCustomError("FieldValueInvalid", '"{rule}" {why}', {"rule": text, "why": why})
    return rules


def _check_ingress(ports: tuple[str, ...] | None) -> tuple[str, ...] | None:
    network_rules.checked(ports or (), network_rules.parse_ports)
    return ports


class NetworkSpec(ApiModel):
    """What is wanted of a network."""

    cidr: str | None = Field(
        default=None,
        description="Its IPv4 addresses, such as 10.10.0.0/24, of /16 to /29; unset takes some that are free.",
    )
    egress: tuple[str, ...] = Field(
        default=(),
        max_length=network_rules.MOST_RULES,
        description="What its jobs may reach outside of it: any, any:443, 10.0.0.0/8, 10.1.2.3:5432/tcp, "
        "any:53/udp, example.com:443. Nothing else is; never are the host, other networks and link-local addresses. "
        "Of a name, it is what the name leads to, as the network has just told the job.",
    )
    ingress: tuple[str, ...] | None = Field(
        default=None,
        max_length=network_rules.MOST_RULES,
        description="The ports of its jobs that its other jobs may reach: 5432, 8000-8010, 53/udp; unset is all.",
    )
    peers: bool = Field(default=True, description="False lets its jobs not reach each other at all.")

    @field_validator("cidr")
    @classmethod
    def _is_a_network(cls, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            found = ip_network(text)
        except ValueError as error:
            raise PydanticCustomError("FieldValueInvalid", "{why}: write 10.10.0.0/24", {"why": str(error)}) from None
        if found.version != 4 or not _LARGEST <= found.prefixlen <= _SMALLEST:
            raise PydanticCustomError("FieldValueInvalid", "must be IPv4 addresses of /16 to /29, such as 10.10.0.0/24")
        if found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified:
            raise PydanticCustomError("FieldValueInvalid", "must not be loopback, link-local or multicast addresses")
        return text

    _egress = field_validator("egress")(_check_egress)
    _ingress = field_validator("ingress")(_check_ingress)


CONDITIONS = frozenset({"Ready"})
"""The types of conditions that runwright sets on networks."""


class NetworkStatus(ApiModel):
    """What became of a network."""

    observed_generation: int = Field(default=0, description="The generation that this status is about.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready: jobs can be in it. What others add is left as it is.",
        json_schema_extra=conditions.LIST,
    )
    cidr: str = Field(default="", description="Its IPv4 addresses; the first is the host's, where names are asked for.")
    ipv6_cidr: str = Field(default="", description="Its IPv6 addresses; empty where the host has no IPv6.")
    bridge: str = Field(default="", description="Its link on the host.")
    refused: int = Field(
        default=0, description="Packets of and to its jobs that were refused: about one for each connection."
    )
    refusals: tuple[Refusal, ...] = Field(
        default=(), description="The last connections that were refused, the last one last; a flood is told in part."
    )


def problems_with_change(live: Document, changed: Document) -> list[Cause]:
    """Return why a network may not become another: its addresses stay, as runs have them."""
    before, after = (each.get("spec", {}).get("cidr") for each in (live, changed))
    if before == after:
        return []
    why = "Invalid value: field is immutable: delete the network and create it again"
    return [Cause("spec.cidr", "FieldValueInvalid", why)]


class Network(Resource):
    """Jobs of a namespace that reach each other, by address and by name, apart from all others."""

    kind: str = "Network"
    spec: NetworkSpec = Field(default_factory=NetworkSpec, description="What is wanted.")
    status: NetworkStatus = Field(default_factory=NetworkStatus, description="What is.")


def egress(document: Document) -> str:
    """Return what the jobs of a network reach outside of it, as a column shows it."""
    return ",".join(document.get("spec", {}).get("egress") or ("none",))


DEFINITION = Definition(
    type=Network,
    conditions=CONDITIONS,
    columns=(
        Column("Ready", condition("Ready", "status"), description="Whether jobs can be in it."),
        Column("Reason", condition("Ready", "reason"), description="Why it is, or is not, ready."),
        Column("CIDR", field("status.cidr"), description="Its addresses."),
        Column("Egress", egress, description="What its jobs reach outside of it."),
        Column("IPv6-CIDR", field("status.ipv6Cidr"), wide=True, description="Its addresses of IPv6."),
        Column("Refused", field("status.refused"), wide=True, description="What its jobs tried and may not reach."),
        Column("Bridge", field("status.bridge"), wide=True, description="Its link on the host."),
    ),
    problems_with_change=problems_with_change,
)
