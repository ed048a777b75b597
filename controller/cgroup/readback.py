"""Whether a cgroup has the limits that were written to it, by what its files say when they are read. Pure.

The kernel says some values otherwise than they are written: memory in whole pages, lists of CPUs and of disks in its
own order. Never here: reading the files, which is `Lifecycle.read_limits`.
"""

from collections.abc import Iterable

from controller.cgroup.limits import Write

_PAGE_BYTES = 65536
"""Of any machine, the largest: what the kernel may take off when it rounds to whole pages."""

Read = tuple[Write, str]
"""A write, and what its file says now."""


def problems(found: Iterable[Read]) -> list[str]:
    """Return what is not as it was written, in words.

    >>> problems([(Write("pids", "pids.max", "10"), "max\\n")])
    ['pids.max of its cgroup is max, not 10']
    """
    return [
        f"{write.file} of its cgroup is {' '.join(text.split())}, not {write.value}"
        for write, text in found
        if not _agrees(write, text)
    ]


def as_plain(found: Iterable[Read]) -> dict[str, str]:
    """Return what the files say, by their names.

    >>> as_plain([(Write("pids", "pids.max", "10"), "10\\n")])
    {'pids.max': '10'}
    """
    return {write.file: " ".join(text.split()) for write, text in found}


def _agrees(write: Write, text: str) -> bool:
    value, said = write.value, text.strip()
    if said == value:
        return True
    if write.file.startswith("memory.") and value.isdigit() and said.isdigit():
        return int(value) - _PAGE_BYTES < int(said) <= int(value) and int(value) >= _PAGE_BYTES
    # Of several disks, each has a line; of one, what was written is a line, or the words of it in another order.
    return any(set(value.split()) <= set(line.split()) for line in text.splitlines())
