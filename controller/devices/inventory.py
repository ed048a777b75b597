"""All devices that the specs of a host declare together, and which of them count. Pure.

Specs come in order: one of a later directory wins over one of an earlier, two of one directory that name the same
device make it nobody's. Invariant: each device is counted once, however many names it has.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from controller.devices.cdi import Device, Spec

_ALL = "all"
"""What vendors call a device that is all of theirs; no rule of the specification, so nodes are looked at as well."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The devices of a host by qualified name, what is wrong with its specs, and where they were looked for."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()

    def countable(self, kind: str) -> tuple[Device, ...]:
        """Return the devices of `kind`, each once and in a stable order: no second names, and none made of others."""
        named = sorted((one for one in self.devices.values() if one.kind == kind), key=_in_order)
        once = _without_second_names(device for device in named if device.name != _ALL)
        return tuple(device for device in once if not _is_made_of_others(device, once))

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
    return Inventory(found, tuple(wrong), tuple(directories))


def _without_second_names(devices: Iterable[Device]) -> tuple[Device, ...]:
    first: dict[frozenset[str] | str, Device] = {}
    for device in devices:
        first.setdefault(device.nodes or device.name, device)
    return tuple(first.values())


def _is_made_of_others(device: Device, others: Sequence[Device]) -> bool:
    """Whether a device's nodes are just those of two or more others together, as those of one called `all` are."""
    parts = [other.nodes for other in others if other.nodes and other.nodes < device.nodes]
    return len(parts) > 1 and frozenset().union(*parts) == device.nodes


def _in_order(device: Device) -> tuple[tuple[int, int, str], ...]:
    """Order names as people count: 2 before 10, numbers before words."""
    words = re.findall(r"\d+|\D+", device.name)
    return tuple((0, int(word), "") if word.isdecimal() else (1, 0, word) for word in words)
