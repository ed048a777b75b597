"""What the flags of `rnx job run` mean: megabytes, cores and seconds become the fields of a Job.

Pure. A bare number has the unit that the documents give it: memory in megabytes (MiB), cpu in cores,
time in seconds. Invariant: a value is understood or refused; none is guessed, dropped or rounded to nothing.
"""

import re
from decimal import Decimal, InvalidOperation

from api import quantity
from api.cli import durations, sizes
from api.types.device_resources import MOST_DEVICES, is_kind
from api.types.job_after import AfterCondition
from api.types.job_resources import SMALLEST_IO_BYTES, SMALLEST_MEMORY_BYTES, SMALLEST_MILLICPU, cpu_numbers
from api.types.job_spec import ENV_NAME, RESERVED_ENV_PREFIX, VOLUME_NAME

LONGEST_SECONDS = 31_536_000
NVIDIA_GPU = "nvidia.com/gpu"


def memory(text: str) -> str:
    """Return a memory limit as a quantity; a bare number is megabytes, and units that end in B are powers of 1024.

    >>> memory("512"), memory("512MB"), memory("512Mi"), memory("1.5G")
    ('512Mi', '512Mi', '512Mi', '1.5G')

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    plain = text.strip()
    if re.fullmatch(r"[0-9]+", plain):
        plain = f"{int(plain)}Mi"
    plain = sizes.of_joblet(plain) or plain
    try:
        count = quantity.to_bytes(plain)
    except ValueError:
        raise ValueError(f'cannot read "{text}" as memory: use megabytes such as 512, or 512Mi, 2Gi, 1.5G') from None
    if count <= 0:
        raise ValueError(f'cannot limit memory to "{text}": leave it out for no limit')
    if count < SMALLEST_MEMORY_BYTES:
        raise ValueError(f"must be at least {SMALLEST_MEMORY_BYTES >> 20}Mi, and {plain} is less")
    return plain


def port(text: str) -> dict[str, object]:
    """Return a port to be published: the job's, or the host's and the job's.

    >>> port("8080"), port("80:8080/tcp")
    ({'containerPort': 8080}, {'containerPort': 8080, 'hostPort': 80})

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    found = re.fullmatch(r"(?:([0-9]{1,5}):)?([0-9]{1,5})(?:/(tcp|udp))?", text.strip())
    if found is None or not all(0 < int(number) <= 65535 for number in found.groups()[:2] if number):
        raise ValueError(f'cannot read "{text}" as a port: write 8080, 80:8080 or 53/udp')
    read: dict[str, object] = {"containerPort": int(found[2])}
    read |= {"hostPort": int(found[1])} if found[1] else {}
    return read | ({"protocol": "UDP"} if found[3] == "udp" else {})


def disk(text: str) -> str:
    """Return a size of /work as a quantity; a bare number is megabytes.

    >>> disk("512"), disk("10Gi")
    ('512Mi', '10Gi')

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    plain = f"{int(text)}Mi" if re.fullmatch(r"[0-9]+", text.strip()) else sizes.of_joblet(text) or text.strip()
    try:
        count = quantity.to_bytes(plain)
    except ValueError:
        raise ValueError(f'cannot read "{text}" as a size: use megabytes such as 512, or 512Mi, 10Gi, 1.5G') from None
    if count <= 0:
        raise ValueError("must be more than nothing")
    return plain


def cpu(text: str) -> str:
    """Return a cpu limit as a quantity of cores; a percentage is of one core.

    >>> cpu("4"), cpu("0.5"), cpu("150%"), cpu("250m")
    ('4', '500m', '1500m', '250m')

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    millicpu = _millicpu(text, f'cannot limit cpu to "{text}": leave it out for no limit')
    if millicpu < SMALLEST_MILLICPU:
        raise ValueError(f"must be at least {SMALLEST_MILLICPU}m, the least the kernel can hold to")
    return quantity.from_millicpu(millicpu)


def requested_cpu(text: str) -> str:
    """Return cores that are kept for a run as a quantity, however few.

    >>> requested_cpu("2"), requested_cpu("1m")
    ('2', '1m')

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    nothing = f'cannot keep "{text}" of a processor: leave it out for what is kept for all'
    return quantity.from_millicpu(_millicpu(text, nothing))


def _millicpu(text: str, nothing: str) -> int:
    plain = text.strip()
    try:
        is_percentage = plain.isascii() and plain.endswith("%")
        cores = Decimal(plain[:-1]) / 100 if is_percentage else quantity.parse(plain)
    except (ValueError, InvalidOperation):
        raise ValueError(f'cannot read "{text}" as cpu: use cores such as 4 or 0.5, or 150%, or 500m') from None
    if not cores.is_finite() or cores <= 0:
        raise ValueError(nothing)
    millicpu = cores * 1000
    if millicpu != millicpu.to_integral_value():
        raise ValueError(f'cannot read "{text}" as cpu: it is finer than a thousandth of a core')
    return int(millicpu)


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
        raise ValueError(f'cannot limit io to "{text}": leave it out for no limit')
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
        raise ValueError(f'cannot limit time to "{text}": use more than 0 and at most 365d; leave it out for no limit')
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
    number = int(count) if re.fullmatch(r"[0-9]{1,9}", count) else -1 if equals else 1
    if not 1 <= number <= MOST_DEVICES:
        raise ValueError(f'cannot give a job "{count}" devices: use a whole number from 1 to {MOST_DEVICES}')
    return kind, number


def volume(text: str) -> tuple[str, str, bool]:
    """Return the name, the place (empty for /volumes/NAME) and whether to read only, of NAME[:PATH][:ro].

    >>> volume("data"), volume("data:/srv/data"), volume("data:/srv/data:ro"), volume("data:ro")
    (('data', '', False), ('data', '/srv/data', False), ('data', '/srv/data', True), ('data', '', True))

    Raises:
        ValueError: it cannot be read; the message says how to write it.
    """
    name, *rest = text.split(":")
    read_only = bool(rest) and rest[-1] in ("ro", "rw") and rest.pop() == "ro"
    if not VOLUME_NAME.fullmatch(name) or len(rest) > 1 or (rest and not rest[0].startswith("/")):
        raise ValueError(f'cannot read "{text}" as a volume: write NAME, NAME:/PATH, NAME:/PATH:ro or NAME:ro')
    return name, rest[0] if rest else "", read_only


def env(text: str) -> tuple[str, str]:
    """Return the name and value of KEY=VALUE; the value may hold anything, `=` too.

    Raises:
        ValueError: there is no `=`, or what is before it cannot be the name of a variable.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f'cannot read "{text}" as a variable: write KEY=VALUE')
    check_variable(name, f'cannot read "{text}" as a variable: write KEY=VALUE')
    return name, value


def check_variable(name: str, nameless: str) -> None:
    """Refuse what cannot be the name of a variable of a job; of none at all `nameless` is said.

    Raises:
        ValueError: with how to write it.
    """
    if not name:
        raise ValueError(nameless)
    if not ENV_NAME.fullmatch(name):
        raise ValueError(f'"{name}" is no name of a variable: use letters, digits and _, not starting with a digit')
    if name.startswith(RESERVED_ENV_PREFIX):
        raise ValueError(f'"{name}" is taken: names starting with {RESERVED_ENV_PREFIX} are set by runwright')


def after(text: str) -> dict[str, str]:
    """Return one of `spec.after`: another job, and how it must have ended; that is Complete unless it is said.

    >>> after("extract"), after("job/extract:failed")
    ({'job': 'extract'}, {'job': 'extract', 'condition': 'Failed'})

    Raises:
        ValueError: it names no job, or no condition that there is.
    """
    name, colon, said = text.strip().partition(":")
    name = name.removeprefix("job/")
    known = {each.value.lower(): each.value for each in AfterCondition}
    condition = known.get("complete" if said.lower() == "completed" else said.lower())
    if not name:
        raise ValueError(f'cannot read "{text}": it names no job: write JOB or JOB:CONDITION')
    if colon and condition is None:
        raise ValueError(f'cannot read the condition "{said}": use {", ".join(known.values())}')
    return {"job": name, **({"condition": condition} if condition else {})}
