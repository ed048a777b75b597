"""Which devices two runs cannot have at the same time, by the nodes of the host behind them. Pure.

A node is what the kernel knows it by, `c195:0`, whatever path leads there; a path is used where there is no such node.
Devices with a node in common are two only where each has nodes that the other has not, and of the same driver: else one
is the other, or a part of it. And the node in common must be one that is meant to be: of a driver that nothing is told
apart by, as a GPU is for its parts, or one for control. Invariant: in doubt, they exclude each other.
"""

import posixpath
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from controller.devices.cdi import Device, DeviceNode
from controller.devices.fitting import HostFile

Nodes: TypeAlias = frozenset[str]
Look: TypeAlias = Callable[[str], HostFile | None]
_NO_DRIVER = ("/", "=")  # Paths, and the names of devices without nodes of their own.


def nothing_there(_path: str) -> HostFile | None:
    """Look at a host without nodes: nodes are told apart by their paths."""
    return None


def nodes_of(device: Device, look: Look) -> Nodes:
    """Return what a run has that has `device`: its nodes and those of its whole spec, as they are on the host."""
    own = {_identity(node, look) for node in device.edits.nodes}
    return frozenset(own or {f"={device.qualified}"}) | common_of(device, look)


def common_of(device: Device, look: Look) -> Nodes:
    """Return the nodes that all devices of the same spec have."""
    return frozenset(_identity(node, look) for node in device.common.nodes)


def excludes(one: Nodes, other: Nodes, control: Nodes) -> bool:
    """Whether no two runs may have devices with these nodes at the same time."""
    common = one & other
    if not common:
        return False
    if not _drivers(one - other) & _drivers(other - one):
        return True
    told_apart_by = _drivers(one ^ other)
    return any(node not in control and _driver(node) in told_apart_by for node in common)


def control(by_kind: Iterable[Mapping[Nodes, Nodes]]) -> Nodes:
    """Return the nodes that devices have in common and that are no devices themselves.

    They are those that all devices have of each kind that has them at all: of two devices and more, or by what the spec
    says of all its devices.

    Args:
        by_kind: of each kind its devices, but for those made of others: a device's nodes and those of its whole spec.
    """
    kinds = [kind for kind in by_kind if kind]
    many = [kind for kind in kinds if len(kind) > 1]
    shared: set[str] = set()
    others: set[str] = set()
    for kind in kinds:
        if len(kind) > 1:
            of_all = frozenset.intersection(*kind)
        elif any(kind.keys() <= each.keys() for each in many):
            continue
        else:
            of_all = frozenset().union(*kind.values())
        shared |= of_all
        others |= frozenset().union(*kind) - of_all
    own = [nodes - common for kind in kinds for nodes, common in kind.items()]
    alone = frozenset().union(*(nodes for nodes in own if len(nodes) == 1))
    return frozenset(shared - others - alone)


def is_made_of_others(nodes: Nodes, others: Iterable[Nodes]) -> bool:
    """Whether these nodes are just those of two or more others together, as those of one called `all` are."""
    parts = {other for other in others if other < nodes}
    return len(parts) > 1 and frozenset().union(*parts) == nodes


def as_text(nodes: Nodes) -> str:
    """Write nodes as they are put on record."""
    return " ".join(sorted(nodes))


def of_text(text: str) -> Nodes:
    """Read what `as_text` wrote."""
    return frozenset(text.split())


def _identity(node: DeviceNode, look: Look) -> str:
    """Return the type and the numbers that a run's node gets, as `fitting` finds them."""
    found = look(node.host_path)
    major, minor = node.major, node.minor
    if major is None or minor is None:
        if found is None:
            return posixpath.normpath(node.host_path).replace("//", "/")
        major, minor = found.major, found.minor
    is_block = stat.S_ISBLK(found.mode) if found else node.type == "b"
    return f"{'b' if is_block else 'c'}{major}:{minor}"


def _drivers(nodes: Nodes) -> frozenset[str]:
    return frozenset(map(_driver, nodes))


def _driver(node: str) -> str:
    return node[0] if node[0] in _NO_DRIVER else node.partition(":")[0]
