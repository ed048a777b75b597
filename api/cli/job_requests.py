"""What `rnx job run` says of a job's turn: `--priority`, and `--request-cpu`, `--request-memory`, `--request-disk`.

Requests are what is kept for a run; limits, what it may use at most, are flags of their own (`--max-…`).
"""

from typing import Any

import click

from api.cli import limits
from api.cli.completing import complete_priority
from api.cli.flag_types import Read
from api.meta import Document

_OPTIONS = (
    click.option(
        "--request-cpu", type=Read(limits.requested_cpu, "cpu"), metavar="CORES",
        help="Cores that are kept for it: 2, 0.5, 150%, 500m. It begins when the host has them to promise.",
    ),
    click.option(
        "--request-memory", type=Read(limits.disk, "memory"), metavar="MB",
        help="Memory that is kept for it: 512 is 512Mi; 2Gi, 1.5G.",
    ),
    click.option(
        "--request-disk", type=Read(limits.disk, "disk"), metavar="MB",
        help="Disk that is kept for it: 512 is 512Mi; 2Gi.",
    ),
    click.option(
        "--priority", default="", metavar="CLASS", shell_complete=complete_priority,
        help="The PriorityClass that says how soon it begins where others wait too.",
    ),
)  # fmt: skip


def flags(command: Any) -> Any:
    """Give a command the flags."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def requests(cpu: str | None, memory: str | None, disk: str | None) -> Document:
    """Return what is requested as `spec.resources` has it; nothing for nothing."""
    said = (("cpu", cpu), ("memory", memory), ("ephemeral-storage", disk))
    wanted = {name: amount for name, amount in said if amount is not None}
    return {"requests": wanted} if wanted else {}
