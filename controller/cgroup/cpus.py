"""The kernel's lists of CPUs: `0-3,5`. It takes text, and the one file that says which CPUs are there."""

from collections.abc import Sequence
from pathlib import Path


def cpu_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers in a list of CPUs as the kernel writes it, in order.

    >>> cpu_numbers("0-2,5"), cpu_numbers("")
    ((0, 1, 2, 5), ())

    Raises:
        ValueError: it is no such list.
    """
    numbers: set[int] = set()
    for part in text.strip().split(",") if text.strip() else ():
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(numbers))


def text(numbers: Sequence[int]) -> str:
    """Return CPUs, given in order, as the kernel and people write them.

    >>> text((0, 1, 2, 5)), text(())
    ('0-2,5', '')
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def online(sys: str = "/sys") -> tuple[int, ...]:
    """Return the CPUs that are there and switched on.

    Raises:
        OSError: /sys cannot be read.
    """
    return cpu_numbers(Path(sys, "devices/system/cpu/online").read_text())
