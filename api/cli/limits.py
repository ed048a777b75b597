"""What the flags of `rnx job run` mean: megabytes, cores and seconds become the fields of a Job.

Pure. A bare number has the unit that the documents give it: memory in megabytes (MiB), cpu in cores,
time in seconds. Invariant: a value is understood or refused; none is guessed, dropped or rounded to nothing.
"""

import re
from decimal import Decimal, InvalidOperation

from api import quantity
from api.cli import durations
from api.types.job_spec import ENV_NAME, RESERVED_ENV_PREFIX, SMALLEST_MEMORY_BYTES, SMALLEST_MILLICPU

_JOBLET_UNITS = re.compile(r"^(\d+(?:\.\d+)?)\s*([KMGT])B$", re.IGNORECASE)
LONGEST_SECONDS = 31_536_000


def memory(text: str) -> str:
    """Return a memory limit as a quantity; a bare number is megabytes.

    >>> memory("512"), memory("512Mi"), memory("1.5G")
    ('512Mi', '512Mi', '1.5G')

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    plain = text.strip()
    if re.fullmatch(r"\d+", plain):
        plain = f"{int(plain)}Mi"
    joblet = _JOBLET_UNITS.match(plain)
    if joblet:
        suffix = joblet[2].upper()
        decimal, binary = f"{joblet[1]}{'k' if suffix == 'K' else suffix}", f"{joblet[1]}{suffix}i"
        raise ValueError(
            f'cannot read "{text}" as memory: write {decimal} (powers of 1000) or {binary} (powers of 1024)'
        )
    try:
        count = quantity.to_bytes(plain)
    except ValueError:
        raise ValueError(f'cannot read "{text}" as memory: use megabytes such as 512, or 512Mi, 2Gi, 1.5G') from None
    if count <= 0:
        raise ValueError(f'cannot limit memory to "{text}": leave the flag out for no limit')
    if count < SMALLEST_MEMORY_BYTES:
        raise ValueError(f"must be at least {SMALLEST_MEMORY_BYTES >> 20}Mi, and {plain} is less")
    return plain


def cpu(text: str) -> str:
    """Return a cpu limit as a quantity of cores; a percentage is of one core.

    >>> cpu("4"), cpu("0.5"), cpu("150%"), cpu("250m")
    ('4', '500m', '1500m', '250m')

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    plain = text.strip()
    try:
        cores = Decimal(plain[:-1]) / 100 if plain.endswith("%") else quantity.parse(plain)
    except (ValueError, InvalidOperation):
        raise ValueError(f'cannot read "{text}" as cpu: use cores such as 4 or 0.5, or 150%, or 500m') from None
    if not cores.is_finite() or cores <= 0:
        raise ValueError(f'cannot limit cpu to "{text}": leave the flag out for no limit')
    millicpu = cores * 1000
    if millicpu != millicpu.to_integral_value():
        raise ValueError(f'cannot limit cpu to "{text}": it is finer than a thousandth of a core')
    if millicpu < SMALLEST_MILLICPU:
        raise ValueError(f"must be at least {SMALLEST_MILLICPU}m, the least the kernel can hold to")
    return quantity.from_millicpu(int(millicpu))


def runtime_seconds(text: str) -> float:
    """Return a limit of time in seconds; a bare number is seconds.

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    seconds = durations.parse(text)
    if not 0 < seconds <= LONGEST_SECONDS:
        raise ValueError(
            f'cannot limit time to "{text}": use more than 0 and at most 365d; leave the flag out for no limit'
        )
    return seconds


def env(text: str) -> tuple[str, str]:
    """Return the name and value of KEY=VALUE; the value may hold anything, `=` too.

    Raises:
        ValueError: there is no `=`, or what is before it cannot be the name of a variable.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f'cannot read "{text}" as a variable: write KEY=VALUE')
    if not ENV_NAME.fullmatch(name):
        raise ValueError(f'"{name}" is no name of a variable: use letters, digits and _, not starting with a digit')
    if name.startswith(RESERVED_ENV_PREFIX):
        raise ValueError(f'"{name}" is taken: names starting with {RESERVED_ENV_PREFIX} are set by runwright')
    return name, value
