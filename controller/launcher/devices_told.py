"""What the kernel says of the nodes of a run's devices, read in its sandbox before it begins; for its receipt.

Invariant: a run of which a node is another device, or lets more than was wanted, is not begun.
"""

import os
import stat
from collections.abc import Iterable

from controller.launcher.receipt import NotEnforced
from controller.launcher.records import Plain
from controller.sandbox.spec import DeviceNode

_TYPES = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}


def read(nodes: Iterable[DeviceNode]) -> dict[str, Plain]:
    """Return each node's type, numbers and mode, such as `c 195:0 0660`, by its path.

    Raises:
        NotEnforced: one is not as it was wanted.
        OSError: one is not there.
    """
    told: dict[str, Plain] = {}
    for node in nodes:
        status = os.stat(node.path, follow_symlinks=False)
        kind = _TYPES.get(stat.S_IFMT(status.st_mode), "?")
        said = _written(kind, os.major(status.st_rdev), os.minor(status.st_rdev), stat.S_IMODE(status.st_mode))
        wanted = _written(node.kind, node.major, node.minor, node.mode)
        if said != wanted:
            raise NotEnforced(f"cannot begin the run: the kernel says that {node.path} is {said}, not {wanted}")
        told[node.path] = said
    return told


def _written(kind: str, major: int, minor: int, mode: int) -> str:
    return f"{kind} {major}:{minor} {mode:04o}"
