"""All devices that the specs of a host declare together, and which of them count. Pure.

Specs come in order: one of a later directory wins over one of an earlier, two of one directory that name the same
device make it nobody's. Invariant: each device is counted once, however many names it has; devices of one kind that
count can all be had at the same time.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby

from controller.devices import sharing
from controller.devices.cdi import Device, Spec
from controller.devices.sharing import Look, Nodes

_ALL = "all"
"""What vendors call a device that is all of theirs; no rule of the specification, so nodes are looked at as well."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The devices of a host by qualified name, what is wrong with its specs, and where they were looked for."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    nodes: Mapping[str, Nodes] = field(default_factory=dict)
    control: Nodes = frozenset()

    def on_host(self, look: Look) -> "Inventory":
        """Return it with devices told apart by what their nodes are on this host now, not by paths."""
        nodes = {name: sharing.nodes_of(device, look) for name, device in self.devices.items()}
        single = [device for device in self.devices.values() if device.name != _ALL]
        apart = [one for one in single if not sharing.is_made_of_others(nodes[one.qualified], nodes.values())]
        by_kind: dict[str, dict[Nodes, Nodes]] = {}
        for device in apart:
            by_kind.setdefault(device.kind, {})[nodes[device.qualified]] = sharing.common_of(device, look)
        alone = frozenset().union(*(each for each in nodes.values() if len(each) == 1))  # Whatever it is called.
        return replace(self, nodes=nodes, control=sharing.control(by_kind.values()) - alone)

    def excludes(self, one: Nodes, other: Nodes) -> bool:
        """Whether no two runs may have devices with these nodes at the same time."""
        return sharing.excludes(one, other, self.control)

    def countable(self, kind: str) -> tuple[Device, ...]:
        """Return the devices of `kind`, each once and in a stable order: no second names, and none made of others."""
        of_kind = (one for one in self.devices.values() if one.kind == kind and one.name != _ALL)
        named = sorted(of_kind, key=_in_order)
        counted: list[Device] = []
        for device in sorted(named, key=lambda one: self._is_whole(one, named)):
            if not any(self.excludes(self.nodes[device.qualified], self.nodes[one.qualified]) for one in counted):
                counted.append(device)
        return tuple(sorted(counted, key=_in_order))

    def _is_whole(self, device: Device, others: Sequence[Device]) -> bool:
        """Whether there are others that can be had at the same time, but not with this one: as parts of it are."""
        in_its_way = [self.nodes[one.qualified] for one in others]
        in_its_way = [nodes for nodes in in_its_way if self.excludes(nodes, self.nodes[device.qualified])]
        return any(not self.excludes(one, other) for one, other in combinations(in_its_way, 2))

    def kinds(self) -> tuple[str, ...]:
        """Return all kinds, in order."""
        return tuple(sorted({device.kind for device in self.devices.values()}))


def merge(specs: Sequence[Sequence[Spec]], problems: Sequence[str] = (), directories: Sequence[str] = ()) -> Inventory:
    """Return the inventory of `specs`, a sequence for each directory, of which later ones win."""
    found: dict[str, Device] = {}
    wrong = list(problems)
    for of_directory in specs:
        declared = sorted((d for spec in of_directory for d in spec.devices), key=lambda device: device.qualified)
        for name, group in groupby(declared, key=lambda device: device.qualified):
            same = list(group)
            if len(same) == 1:
                found[name] = same[0]
                continue
            found.pop(name, None)
            files = " and ".join(device.file for device in same)
            wrong.append(f"cannot use device {name}: {files} both declare it: remove one")
    return Inventory(found, tuple(wrong), tuple(directories)).on_host(sharing.nothing_there)


def _in_order(device: Device) -> tuple[tuple[int, int, str], ...]:
    """Order names as people count: 2 before 10, numbers before words."""
    words = re.findall(r"\d+|\D+", device.name)
    return tuple((0, int(word), "") if word.isdecimal() else (1, 0, word) for word in words)
