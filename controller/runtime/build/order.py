"""What the build sandbox is asked for, as the process that makes it reads it: plain data, standard library only.

Here: the order and its JSON form, and how it may end. Never here: doing it (`sandbox_main`), waiting (`sandbox`).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from controller.cgroup.limits import Limits


class BuildEnd(StrEnum):
    """How a build ended."""

    EXITED = "Exited"
    SIGNALLED = "Signalled"
    DEADLINE = "DeadlineExceeded"
    OUT_OF_MEMORY = "OutOfMemory"
    NO_SPACE = "InsufficientSpace"
    NOT_STARTED = "CannotStart"
    LOST = "Lost"


@dataclass(frozen=True, slots=True)
class HostOverlay:
    """A copy of the host's system that costs nothing: what is written stays in the scratch directory.

    `hidden` are more of the host's paths that are not to be seen.
    """

    base: Path = Path("/")
    hidden: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class TreeRoot:
    """A directory of ours as the root, in place. /dev, /proc, /run, /root, /tmp and /var/tmp are mounted over it.

    What had to be made in it to mount on is removed again.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class BuildRun:
    """One command of a build.

    Args:
        name: what is built, for the name of its cgroup.
        argv: the command; its first word is looked up in PATH of `env`, inside.
        env: all of its variables.
        cwd: where it starts, inside.
        root: what it sees as `/`.
        scratch: a directory that is not there yet, for all that is thrown away; it is gone afterwards.
        writable: host directories that it may change, each with where it sees them.
        readable: host directories that it may read, likewise.
        files: small files that it finds, by path inside; they leave no trace in a `TreeRoot`.
        network: whether it is on the host's network, or has none.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    root: HostOverlay | TreeRoot
    scratch: Path
    limits: Limits
    timeout_seconds: float
    writable: tuple[tuple[Path, str], ...] = ()
    readable: tuple[tuple[Path, str], ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(BuildRun):
    """A run, and what its host adds. `id` names its cgroup below `cgroup_parent`; it is used once.

    `as_root` allows it to be root on the host too, with few capabilities, where owners cannot be mapped.
    """

    id: str
    cgroup_parent: str
    space_floor_bytes: int = 0
    as_root: bool = False


def to_json(order: Order) -> str:
    """Return `order` as one line."""
    document = asdict(order) | {"overlay": isinstance(order.root, HostOverlay)}
    return json.dumps(document, default=str)


def from_json(text: str) -> Order:
    """Read what `to_json` wrote.

    Raises:
        ValueError, KeyError: it is something else.
    """
    document: dict[str, Any] = json.loads(text)
    root = document["root"]
    made: HostOverlay | TreeRoot
    if document.pop("overlay"):
        made = HostOverlay(Path(root["base"]), tuple(map(Path, root["hidden"])))
    else:
        made = TreeRoot(Path(root["path"]))
    given = {
        "root": made,
        "argv": tuple(document["argv"]),
        "scratch": Path(document["scratch"]),
        "limits": _limits(document["limits"]),
        "writable": tuple((Path(host), inside) for host, inside in document["writable"]),
        "readable": tuple((Path(host), inside) for host, inside in document["readable"]),
    }
    return Order(**(document | given))


def _limits(numbers: Mapping[str, Any]) -> Limits:
    """Read what a build may be limited in; of CPUs and disks it has none of its own."""
    return Limits(numbers["memory_bytes"], numbers["cpu_millicpu"], numbers["pids"])
