"""The settings of networks: that of jobs that name none, the addresses and the ports that are given out."""

from ipaddress import IPv4Network, ip_address
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from api.types.network import BUILT_IN, NONE
from controller.daemon.section import Section
from controller.job.networks import NetworkDefaults

_LONGEST_PREFIX = 29


def _is_a_pool(text: str) -> str:
    IPv4Network(text)
    return text


def _is_an_address(text: str) -> str:
    ip_address(text)
    return text


def _is_built_in(name: str) -> str:
    if name not in (NONE, *BUILT_IN):
        raise ValueError(f"no namespace is sure to have a network {name}: write any of {', '.join((NONE, *BUILT_IN))}")
    return name


class NetworkSettings(Section):
    """Networks of jobs."""

    default: Annotated[str, AfterValidator(_is_built_in)] = Field(
        default=NONE, description="The network of jobs that name none: none, bridge, isolated or web."
    )
    pool: Annotated[str, AfterValidator(_is_a_pool)] = Field(
        default="10.213.0.0/16", description="Where networks that do not say get their addresses from."
    )
    prefix: int = Field(
        default=24, ge=16, le=_LONGEST_PREFIX, description="How large they are: 24 is room for 253 runs at once."
    )
    cidrs: tuple[Annotated[str, AfterValidator(_is_a_pool)], ...] = Field(
        default=("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        description="What spec.cidr of a Network may be of: an address that a network has is not reached elsewhere.",
    )
    egress: bool = Field(
        default=True, description="False lets no network have egress: no job sends anything out of this host."
    )
    resolvers: tuple[Annotated[str, AfterValidator(_is_an_address)], ...] = Field(
        default=(),
        description="Addresses of those who are asked for names of the world; unset are those of /etc/resolv.conf.",
    )
    first_port: int = Field(
        default=30000, ge=1024, le=65535, description="The first port of the host that is given out."
    )
    last_port: int = Field(default=32767, ge=1024, le=65535, description="The last one.")
    lowest_port: int = Field(
        default=1024, ge=1, le=65535, description="The lowest port of the host that a job may ask for."
    )

    @model_validator(mode="after")
    def _fits(self) -> "NetworkSettings":
        if self.prefix < IPv4Network(self.pool).prefixlen:
            raise ValueError(f"network.prefix {self.prefix} is more than all of network.pool {self.pool}: raise it")
        if self.first_port > self.last_port:
            raise ValueError("network.first_port is above network.last_port: swap them")
        return self

    def defaults(self) -> NetworkDefaults:
        """Return what of them jobs need."""
        return NetworkDefaults(self.default, self.first_port, self.last_port, self.lowest_port)
