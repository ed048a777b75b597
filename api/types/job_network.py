"""What a job wants of a network: which one, the names it has there, its ports on the host. Status: where a run is."""

import re

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api import quantity
from api.meta import Document
from api.model import ApiModel
from api.types import network_rules

HOST = "host"
"""The host's own network, which only jobs are in whose namespaces the host's policy names."""
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MOST = 65535
SMALLEST_BITS, LARGEST_BITS = 8000, 10**12
"""A second."""


class JobPort(ApiModel):
    """A port of the job that is reached by a port of the host."""

    container_port: int = Field(ge=1, le=_MOST, description="The port that the job listens on.")
    host_port: int | None = Field(
        default=None,
        ge=1,
        le=_MOST,
        description="The port of the host; unset takes a free one, which the status tells.",
    )
    protocol: str = Field(default="TCP", pattern="^(TCP|UDP)$", description="TCP or UDP.")


class Bandwidth(ApiModel):
    """What a run may receive and send, in bits a second, as Kubernetes' annotations of bandwidth count it."""

    ingress: str | None = Field(default=None, description='Received: bits a second, such as "10M"; unset is unlimited.')
    egress: str | None = Field(default=None, description='Sent: bits a second, such as "1M"; unset is unlimited.')

    @field_validator("ingress", "egress")
    @classmethod
    def _is_a_rate(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                bits = quantity.parse(text)
            except ValueError as error:
                raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None
            if not SMALLEST_BITS <= bits <= LARGEST_BITS:
                raise PydanticCustomError("FieldValueInvalid", "must be from 8k to 1T bits a second: write 10M")
        return text

    def bytes_per_second(self) -> tuple[int, int]:
        """Return what may be received and sent, in bytes a second; 0 is unlimited."""
        received, sent = (0 if text is None else int(quantity.parse(text) / 8) for text in (self.ingress, self.egress))
        return received, sent


class JobNetwork(ApiModel):
    """The network that a job's runs are in."""

    name: str = Field(
        description="A Network of the job's namespace, or one that all have: bridge, isolated, web; none is no "
        "network, and host the host's own, for namespaces that the setting policy.host_network names."
    )
    aliases: tuple[str, ...] = Field(
        default=(), description="Names beside the job's own by which other jobs of the network reach it, such as db."
    )
    ports: tuple[JobPort, ...] = Field(default=(), description="Ports that are reached by ports of the host.")
    egress: tuple[str, ...] | None = Field(
        default=None,
        max_length=network_rules.MOST_RULES,
        description="What the job may begin to talk to, of what its network lets it: peers, peers:5432, db:5432 for "
        "those peers that are called so, and as egress of a Network. Nothing else; unset is all that the network lets.",
    )
    ingress: tuple[str, ...] | None = Field(
        default=None,
        max_length=network_rules.MOST_RULES,
        description="The ports of the job that its peers may reach, of those that its network lets them: 5432, "
        "8000-8010, 53/udp; unset is all of these. Ports that it publishes are reached by the host's in any case.",
    )

    bandwidth: Bandwidth = Field(
        default_factory=Bandwidth, description="What each run may receive and send, in bits a second."
    )

    @field_validator("egress")
    @classmethod
    def _egress_can_be_read(cls, rules: tuple[str, ...] | None) -> tuple[str, ...] | None:
        network_rules.checked(rules or (), network_rules.parse_egress)
        return rules

    @field_validator("ingress")
    @classmethod
    def _ingress_can_be_read(cls, rules: tuple[str, ...] | None) -> tuple[str, ...] | None:
        network_rules.checked(rules or (), network_rules.parse_ports)
        return rules

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _LABEL.fullmatch(name):
            raise PydanticCustomError(
                "FieldValueInvalid", "must be the name of a Network: lower case letters, digits and -"
            )
        return name

    @field_validator("aliases")
    @classmethod
    def _are_names(cls, aliases: tuple[str, ...]) -> tuple[str, ...]:
        for alias in aliases:
            if not _LABEL.fullmatch(alias) or alias == "localhost":
                raise PydanticCustomError(
                    "FieldValueInvalid", '"{alias}" is no name: write db or my-queue', {"alias": alias}
                )
        return aliases

    @field_validator("ports")
    @classmethod
    def _are_different(cls, ports: tuple[JobPort, ...]) -> tuple[JobPort, ...]:
        taken = [(port.protocol, port.host_port) for port in ports if port.host_port is not None]
        if len(set(taken)) < len(taken):
            raise PydanticCustomError("FieldValueDuplicate", "has a port of the host twice")
        return ports

    @model_validator(mode="after")
    def _has_on_the_host_what_there_is(self) -> "JobNetwork":
        """Refuse what is asked of the host's network, which is not ours to give names, rules and rates in."""
        if self.name == HOST:
            given = {
                "aliases": bool(self.aliases),
                "ports": bool(self.ports),
                "egress": self.egress is not None,
                "ingress": self.ingress is not None,
                "bandwidth": self.bandwidth != Bandwidth(),
            }
            for member in (name for name, is_given in given.items() if is_given):
                why = "nothing of it holds on the host's own network: leave it out, or use bridge"
                raise PydanticCustomError("FieldValueForbidden", "{why}", {"why": why, "member": member})
        return self


class RunPort(ApiModel):
    """A port of a run, and the host's that leads to it."""

    container_port: int = Field(description="The run's.")
    host_port: int = Field(description="The host's.")
    protocol: str = Field(default="TCP", description="TCP or UDP.")


class RunNetwork(ApiModel):
    """Where a run is, for as long as anything of it is left on the host; nobody else has these addresses until then."""

    name: str = Field(description="The Network.")
    address: str = Field(description="Its IPv4 address.")
    ipv6_address: str = Field(default="", description="Its IPv6 address.")
    names: tuple[str, ...] = Field(default=(), description="What it is called there.")
    ports: tuple[RunPort, ...] = Field(default=(), description="Its ports on the host.")
    egress: tuple[str, ...] | None = Field(default=None, description="What it may reach, as its job said.")
    ingress: tuple[str, ...] | None = Field(default=None, description="Its ports for peers, as its job said.")
    bandwidth: Bandwidth = Field(default_factory=Bandwidth, description="What it may receive and send, likewise.")


def port_of(port: Document) -> str:
    """Return a port of a job as `HOST -> PORT/tcp`; the host's may not be given yet.

    >>> port_of({"containerPort": 8080, "hostPort": 38081})
    '38081 -> 8080/tcp'
    """
    protocol = str(port.get("protocol", "TCP")).lower()
    return f"{port.get('hostPort') or '?'} -> {port['containerPort']}/{protocol}"


def _of_last_run(job: Document) -> Document:
    runs = job.get("status", {}).get("runs") or [{}]
    return dict(runs[-1].get("network") or {})


def address_of(job: Document) -> str:
    """Return the address of the last run of a job in its network; empty if it has none."""
    return str(_of_last_run(job).get("address", ""))


def ports_of(job: Document) -> str:
    """Return the ports of the host that lead to the last run of a job, with commas between."""
    return ", ".join(map(port_of, _of_last_run(job).get("ports") or ()))
