"""The settings of the API: where it listens beside its unix socket, who may use that, and the audit log."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from api import quantity
from controller.daemon.section import Section

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_LEAST_AUDIT_BYTES = 64 * 1024


def split_listen(text: str) -> tuple[str, int]:
    """Return the address and port that `api.listen` means.

    >>> split_listen("0.0.0.0:6443"), split_listen("[::1]:6443")
    (('0.0.0.0', 6443), ('::1', 6443))

    Raises:
        ValueError: it is no address and port.
    """
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError("write HOST:PORT, such as 127.0.0.1:6443 or [::]:6443")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare and bare == host:
        raise ValueError("write an IPv6 address in brackets, such as [::]:6443")
    return bare, int(port)


def _is_listen(text: str) -> str:
    if text:
        split_listen(text)
    return text


def _is_audit_size(text: str) -> str:
    if quantity.to_bytes(text) < _LEAST_AUDIT_BYTES:
        raise ValueError("must be at least 64Ki")
    return text


class ApiSettings(Section):
    """The HTTP API: its TLS listener, who may use its unix socket, its audit log."""

    listen: Annotated[str, AfterValidator(_is_listen)] = Field(
        default="", description="HOST:PORT to serve the API at with TLS, beside the unix socket; empty is nowhere."
    )
    names: tuple[str, ...] = Field(
        default=(), description="Further names and addresses that clients reach this host by, for its certificate."
    )
    socket_groups: tuple[str, ...] = Field(
        default=(),
        description="Unix groups whose members may use the unix socket, each as UNIX=GROUP with the group that they "
        "are in for roles; empty is nobody but root.",
    )
    audit_size: Annotated[str, AfterValidator(_is_audit_size)] = Field(
        default="32Mi", description="Size at which the audit log, `audit.log` beside the other logs, is rotated."
    )
    audit_files: int = Field(default=10, ge=2, le=1000, description="Audit logs kept, the current one included.")

    @field_validator("names")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _NAME.fullmatch(name):
                ipaddress.ip_address(name)
        return names

    @field_validator("socket_groups")
    @classmethod
    def _give_no_more_than_roles(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        for text in groups:
            unix, _, group = text.partition("=")
            if not unix or not group:
                raise ValueError(f'cannot read "{text}": write UNIX=GROUP, such as staff=developers')
            if group.startswith("system:"):
                raise ValueError(f'no unix group can be "{group}": name a group that roles are bound to')
        return groups
