"""What the flags of `rnx job run` mean: megabytes, cores and seconds become the fields of a Job.

Pure. A bare number has the unit that the documents give it: memory in megabytes (MiB), cpu in cores,
time in seconds. Invariant: a value is understood or refused; none is guessed, dropped or rounded to nothing.
"""

import re
from decimal import Decimal, InvalidOperation

from api import quantity
from api.cli import durations
from api.types.device_resources import MOST_DEVICES, is_kind
from api.types.job_resources import SMALLEST_IO_BYTES, SMALLEST_MEMORY_BYTES, SMALLEST_MILLICPU, cpu_numbers
from api.types.job_spec import ENV_NAME, RESERVED_ENV_PREFIX

_JOBLET_UNITS = re.compile(r"^(\d+(?:\.\d+)?)\s*([KMGT])B$", re.IGNORECASE)
LONGEST_SECONDS = 31_536_000
NVIDIA_GPU = "nvidia.com/gpu"


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


def io_rate(text: str) -> str:
    """Return a limit of bytes a second as a quantity; a bare number is bytes.

    >>> io_rate("10485760"), io_rate("10Mi")
    ('10485760', '10Mi')

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    plain = text.strip()
    try:
        count = quantity.to_bytes(plain)
    except ValueError:
        raise ValueError(f'cannot read "{text}" as bytes a second: use bytes such as 10485760, or 10Mi, 1.5M') from None
    if count <= 0:
        raise ValueError(f'cannot limit io to "{text}": leave the flag out for no limit')
    if count < SMALLEST_IO_BYTES:
        raise ValueError(f"must be at least {SMALLEST_IO_BYTES >> 10}Ki a second, and {plain} is less")
    return plain


def cpu_set(text: str) -> str:
    """Return a list of CPUs, such as `0-3` or `1,3,5`, without its spaces.

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    cpu_numbers(text)
    return text.replace(" ", "")


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


def gpus(text: str) -> tuple[str, int]:
    """Return a number of NVIDIA's GPUs as a kind of device and how many.

    >>> gpus("2")
    ('nvidia.com/gpu', 2)

    Raises:
        ValueError: it is no number of them.
    """
    return device(f"{NVIDIA_GPU}={text.strip()}")


def device(text: str) -> tuple[str, int]:
    """Return the kind and the number of VENDOR/CLASS=N; without a number it is one.

    >>> device("amd.com/gpu=2"), device("example.com/zero")
    (('amd.com/gpu', 2), ('example.com/zero', 1))

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    kind, equals, count = text.partition("=")
    if not is_kind(kind):
        raise ValueError(f'cannot read "{text}" as devices: write VENDOR/CLASS=N, such as {NVIDIA_GPU}=2')
    number = int(count) if re.fullmatch(r"\d{1,9}", count) else -1 if equals else 1
    if not 1 <= number <= MOST_DEVICES:
        raise ValueError(f'cannot give a job "{count}" devices: use a whole number from 1 to {MOST_DEVICES}')
    return kind, number


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
