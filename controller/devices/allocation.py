"""Which devices a run gets, of those that nobody has. Pure: the same answer for the same question.

Invariant: what is chosen is as many as were wanted, of the kinds that were wanted, and shares no device with what is
held, by whatever names. Either all that is wanted is chosen, or nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from controller.devices.inventory import Inventory
from controller.devices.sharing import Nodes

_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Chosen:
    """The devices for one run, by qualified name."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Short:
    """There are not as many of `kind` as are wanted: `total` on this host, `free` of which nobody has."""

    kind: str
    wanted: int
    free: int
    total: int
    holders: tuple[str, ...] = ()

    @property
    def is_absent(self) -> bool:
        """Whether this host has no device of that kind at all."""
        return self.total == 0

    @property
    def is_too_many(self) -> bool:
        """Whether this host would not have enough if all were free."""
        return self.wanted > self.total

    def __str__(self) -> str:
        """Print as `2 of nvidia.com/gpu wanted, 1 free of 4, held by job/default/x`."""
        shown = list(self.holders[:_MOST_SHOWN])
        shown += [f"{len(self.holders) - len(shown)} more"] if len(self.holders) > len(shown) else []
        held = f", held by {', '.join(shown)}" if shown else ""
        return f"{self.wanted} of {self.kind} wanted, {self.free} free of {self.total}{held}"


@dataclass(frozen=True, slots=True)
class Taken:
    """A device that is somebody's, by its name and by what it was on the host when it was given away."""

    name: str
    nodes: Nodes
    holder: str


def choose(
    wanted: Mapping[str, int], inventory: Inventory, held: Collection[Taken], unusable: Collection[str] = ()
) -> Chosen | Short:
    """Return the devices for a run that wants so many of each kind, or which kind there is too little of.

    Args:
        held: what is somebody's.
        unusable: the names of devices that nobody can have.
    """
    taken = list(held)
    chosen: list[str] = []
    for kind in sorted(kind for kind, count in wanted.items() if count):
        all_there_are = inventory.countable(kind)
        holders: dict[str, None] = {}
        free = []
        for device in all_there_are:
            name = device.qualified
            holder = holder_of(name, inventory.nodes[name], inventory, taken)
            if holder is None and name not in unusable:
                free.append(device)
            elif holder:
                holders[holder] = None
        if len(free) < wanted[kind]:
            return Short(kind, wanted[kind], len(free), len(all_there_are), tuple(holders))
        for device in free[: wanted[kind]]:
            chosen.append(device.qualified)
            taken.append(Taken(device.qualified, inventory.nodes[device.qualified], ""))
    return Chosen(tuple(chosen))


def holder_of(name: str, nodes: Nodes, inventory: Inventory, held: Collection[Taken]) -> str | None:
    """Return who has that device, or one that it cannot be had beside; None if nobody has."""
    theirs = (one.holder for one in held if one.name == name or inventory.excludes(one.nodes, nodes))
    return next(theirs, None)
