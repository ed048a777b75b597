"""What a run has used, as its supervisor puts it on record: from its cgroup, and from the kernel's account of children.

Invariant: nothing here raises for a cgroup that was taken away under the run: its end counts more.
"""

import resource
import sys
import traceback

from controller.cgroup.lifecycle import OomWatch
from controller.cgroup.usage import Usage, UsageReader

_BLOCK_BYTES = 512  # Source: include/linux/task_io_accounting_ops.h, task_io_get_inblock().


def read(reader: UsageReader) -> Usage | None:
    """Return what the run's cgroup says; None if it says nothing."""
    try:
        return reader.read()
    except (OSError, ValueError):
        traceback.print_exc(file=sys.stderr)
        return None


def numbers(usage: Usage) -> dict[str, float]:
    """Return a usage as it is written, with what the run's processes, all waited for here, read and wrote of disks."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    disk_bytes = {"read_bytes": children.ru_inblock * _BLOCK_BYTES, "written_bytes": children.ru_oublock * _BLOCK_BYTES}
    return {name: getattr(usage, name) for name in usage.__slots__} | disk_bytes


def kills(oom: OomWatch) -> int:
    """Return how many processes of the run the kernel killed for memory; that there were any, the watch has told."""
    try:
        return oom.killed_count()
    except OSError:
        traceback.print_exc(file=sys.stderr)
        return 0


def is_within_its_limit(oom: OomWatch) -> bool:
    """Whether the run never needed more memory than its own limit."""
    try:
        return not oom.was_at_its_limit()
    except (OSError, ValueError):
        traceback.print_exc(file=sys.stderr)
        return False
