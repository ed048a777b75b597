"""What a run may use: the limits of a job, their units, and the rules that admission holds them to.

Names are Kubernetes' wherever it has one. Here: the fields and what they mean as numbers. What of it this host can hold
to is not known here; `controller/job/host_limits.py` looks.
"""

import re
from typing import Any, Self

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api import quantity
from api.model import OPEN, ApiModel
from api.types import device_resources

SMALLEST_MEMORY_BYTES = 4 << 20
SMALLEST_MILLICPU = 10
LARGEST_MILLICPU = 4_096_000
SMALLEST_IO_BYTES = 64 << 10
"""A second. A single request may have a mebibyte, and what waits for its turn cannot even be killed until it has it."""
LARGEST_CPU_NUMBER = 8191
"""Source: NR_CPUS of the kernel's largest configuration, arch/x86/Kconfig."""

_CPU_SET = re.compile(r"\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*", re.ASCII)
_LONGEST_CPU_SET = 1024
_SIZES = ("memory", "ephemeral_storage", "tmp_storage", "shm_storage")
_FREE_SIZES = ("file_size", "core_size")


def cpu_numbers(text: str) -> tuple[int, ...]:
    """Return the CPUs that a list of numbers and ranges names, in order.

    >>> cpu_numbers("0-2,5")
    (0, 1, 2, 5)

    Raises:
        ValueError: it is no such list, or names a CPU that no kernel has.
    """
    plain = text.replace(" ", "")
    if len(plain) > _LONGEST_CPU_SET or not _CPU_SET.fullmatch(plain):
        raise ValueError(f'cannot read "{text[:40]}" as CPUs: write numbers and ranges, such as 0-3 or 1,3,5')
    numbers: set[int] = set()
    for part in plain.split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if low > high:
            raise ValueError(f'cannot read "{part}" as CPUs: a range begins with its lower number')
        if high > LARGEST_CPU_NUMBER:
            raise ValueError(f"cannot use CPU {high}: no kernel has one above {LARGEST_CPU_NUMBER}")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


class IoLimits(ApiModel):
    """What a run may read and write each second, of every disk that what it sees lies on; each disk for itself."""

    read_bytes_per_second: str | None = Field(default=None, description='Bytes, such as "10Mi"; at least 64Ki.')
    write_bytes_per_second: str | None = Field(default=None, description='Bytes, such as "10Mi"; at least 64Ki.')
    read_operations_per_second: int | None = Field(
        default=None, ge=2, le=1_000_000_000, description="Requests to the disk; at least 2."
    )
    write_operations_per_second: int | None = Field(
        default=None, ge=2, le=1_000_000_000, description="Requests to the disk; at least 2."
    )

    @field_validator("read_bytes_per_second", "write_bytes_per_second", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        return _text(value)

    @field_validator("read_bytes_per_second", "write_bytes_per_second")
    @classmethod
    def _is_rate(cls, value: str | None) -> str | None:
        if value is not None and _quantity(value, quantity.to_bytes) < SMALLEST_IO_BYTES:
            raise PydanticCustomError("FieldValueInvalid", "must be at least 64Ki; write 10Mi, not 10, for mebibytes")
        return value

    def numbers(self) -> dict[str, int]:
        """Return what is asked for as plain numbers, by name, each second; what is unset is left out."""
        sizes = {"readBytes": self.read_bytes_per_second, "writeBytes": self.write_bytes_per_second}
        counts = {
            "readOperations": self.read_operations_per_second,
            "writeOperations": self.write_operations_per_second,
        }
        return {name: quantity.to_bytes(size) for name, size in sizes.items() if size is not None} | {
            name: count for name, count in counts.items() if count is not None
        }


class Amounts(ApiModel):
    """Amounts of what a host has, by the names that limits and requests share; devices by the name of their kind."""

    model_config = ConfigDict(json_schema_extra={OPEN: True})

    cpu: str | None = None
    memory: str | None = None
    ephemeral_storage: str | None = Field(default=None, alias="ephemeral-storage")

    @model_validator(mode="after")
    def _devices_are_counted(self) -> Self:
        device_resources.counts(self.model_extra or {})
        return self

    @property
    def millicpu(self) -> int | None:
        """Thousandths of a core, or None."""
        return None if self.cpu is None else quantity.to_millicpu(self.cpu)

    @property
    def memory_bytes(self) -> int | None:
        """Bytes of memory, or None."""
        return _bytes(self.memory)

    @property
    def storage_bytes(self) -> int | None:
        """Bytes of /work, or None."""
        return _bytes(self.ephemeral_storage)

    @property
    def devices(self) -> dict[str, int]:
        """How many devices of each kind; none is left out."""
        return {kind: count for kind, count in device_resources.counts(self.model_extra or {}).items() if count}


class Limits(Amounts):
    """What a run may use at most; the kernel holds it to that.

    Besides, how many devices it is given for itself, by the name of their kind: `nvidia.com/gpu: 2`.
    """

    cpu: str | None = Field(default=None, description='Cores, such as "500m", "1.5" or 2; unset is all cores.')
    memory: str | None = Field(
        default=None, description='Bytes, such as "64Mi"; swap is not added to it. Unset is the setting\'s default.'
    )
    pids: int | None = Field(
        default=None, ge=1, le=4194304, description="Processes and threads at once; unset is the setting's default."
    )
    ephemeral_storage: str | None = Field(
        default=None,
        alias="ephemeral-storage",
        description='Bytes in /work, such as "1Gi"; unset is the setting\'s default.',
    )
    tmp_storage: str | None = Field(
        default=None,
        alias="tmp-storage",
        description='Bytes in /tmp, and in each directory of the runtime that is copied for the run, such as "64Mi"; '
        "unset is the setting's default.",
    )
    shm_storage: str | None = Field(
        default=None, alias="shm-storage", description="Bytes in /dev/shm; unset is the setting's default."
    )
    io: IoLimits | None = Field(default=None, description="Reads and writes of disks, each second.")
    open_files: int | None = Field(
        default=None,
        ge=16,
        le=1_048_576,
        description="Files that one process has open at once; unset is 1024, and 524288 for one that asks for more.",
    )
    file_size: str | None = Field(
        default=None, description="Bytes of one file that is written; unset is what its file system has room for."
    )
    core_size: str | None = Field(
        default=None, description="Bytes of a core file; unset is none at all, and no program of the host is told."
    )

    @field_validator("cpu", *_SIZES, *_FREE_SIZES, mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        return _text(value)

    @field_validator("cpu")
    @classmethod
    def _is_cpu(cls, value: str | None) -> str | None:
        if value is not None and _quantity(value, quantity.to_millicpu) < SMALLEST_MILLICPU:
            raise PydanticCustomError("FieldValueInvalid", "must be at least 10m, the least the kernel can hold to")
        if value is not None and quantity.to_millicpu(value) > LARGEST_MILLICPU:
            raise PydanticCustomError("FieldValueInvalid", "must be at most 4096 cores; leave it out for all there are")
        return value

    @field_validator(*_SIZES)
    @classmethod
    def _is_bytes(cls, value: str | None) -> str | None:
        if value is not None and _quantity(value, quantity.to_bytes) < SMALLEST_MEMORY_BYTES:
            raise PydanticCustomError("FieldValueInvalid", "must be at least 4Mi; write 64Mi, not 64, for mebibytes")
        return value

    @field_validator(*_FREE_SIZES)
    @classmethod
    def _is_size(cls, value: str | None) -> str | None:
        if value is not None and _quantity(value, quantity.to_bytes) < 0:
            raise PydanticCustomError("FieldValueInvalid", "must not be negative")
        return value

    @property
    def tmp_bytes(self) -> int | None:
        """Bytes of /tmp, or None."""
        return _bytes(self.tmp_storage)

    @property
    def shm_bytes(self) -> int | None:
        """Bytes of /dev/shm, or None."""
        return _bytes(self.shm_storage)

    @property
    def file_bytes(self) -> int | None:
        """Bytes of one file, or None."""
        return _bytes(self.file_size)

    @property
    def core_bytes(self) -> int | None:
        """Bytes of a core file, or None."""
        return _bytes(self.core_size)


class Requests(Amounts):
    """What is kept for a run: it begins when this host can promise so much, beside all that is promised already."""

    cpu: str | None = Field(default=None, description="Cores; unset is the limit, or else the setting's default.")
    memory: str | None = Field(default=None, description="Bytes; unset is the limit, or else the setting's default.")
    ephemeral_storage: str | None = Field(
        default=None,
        alias="ephemeral-storage",
        description="Bytes of the disk; unset is the limit, or else the setting's default.",
    )

    @field_validator("cpu", "memory", "ephemeral_storage", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        return _text(value)

    @field_validator("cpu")
    @classmethod
    def _is_cpu(cls, value: str | None) -> str | None:
        if value is not None and _quantity(value, quantity.to_millicpu) < 0:
            raise PydanticCustomError("FieldValueInvalid", "must not be negative")
        return value

    @field_validator("memory", "ephemeral_storage")
    @classmethod
    def _is_bytes(cls, value: str | None) -> str | None:
        if value is not None and _quantity(value, quantity.to_bytes) < 0:
            raise PydanticCustomError("FieldValueInvalid", "must not be negative")
        return value


class Resources(ApiModel):
    """The resources of a run."""

    requests: Requests = Field(
        default_factory=Requests,
        description="What is kept for a run; it begins when this host has that much to promise. At most the limits.",
    )
    limits: Limits = Field(
        default_factory=Limits,
        description="What a run may use at most; and devices for itself, by kind: nvidia.com/gpu.",
    )
    cpu_weight: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Its share of busy processors beside other runs, of which each has 100 unless it says so.",
    )
    cpu_set: str | None = Field(
        default=None, description='The only CPUs it runs on, such as "0-1" or "1,3"; unset is all of them.'
    )

    @field_validator("cpu_set", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        return _text(value)

    @field_validator("cpu_set")
    @classmethod
    def _is_cpu_set(cls, value: str | None) -> str | None:
        if value is not None:
            _read(value, cpu_numbers)
        return value

    @model_validator(mode="after")
    def _requests_are_within_limits(self) -> "Resources":
        wanted, limits = self.requests, self.limits
        for name, asked, most, text in (
            ("cpu", wanted.millicpu, limits.millicpu, limits.cpu),
            ("memory", wanted.memory_bytes, limits.memory_bytes, limits.memory),
            ("ephemeral-storage", wanted.storage_bytes, limits.storage_bytes, limits.ephemeral_storage),
        ):
            if asked is not None and most is not None and asked > most:
                context = {"name": name, "limit": text, "member": "requests"}
                raise PydanticCustomError(
                    "FieldValueInvalid", "{name} must be less than or equal to {name} limit of {limit}", context
                )
        for kind, count in wanted.devices.items():
            if limits.devices.get(kind) != count:
                context = {"name": kind, "member": "requests"}
                raise PydanticCustomError("FieldValueInvalid", "{name} must be equal to {name} limit", context)
        return self

    @property
    def cpus(self) -> tuple[int, ...]:
        """The numbers of `cpu_set`; none is no restriction."""
        return () if self.cpu_set is None else cpu_numbers(self.cpu_set)

    def numbers(self) -> dict[str, Any]:
        """Return what is asked for as plain numbers, by name, whatever its spelling; what is unset is left out."""
        limits = self.limits
        numbers: dict[str, Any] = {
            "cpu": limits.millicpu,
            "memory": limits.memory_bytes,
            "work": limits.storage_bytes,
            "pids": limits.pids,
            "tmp": limits.tmp_bytes,
            "shm": limits.shm_bytes,
            "io": (limits.io and limits.io.numbers()) or None,
            "openFiles": limits.open_files,
            "fileSize": limits.file_bytes,
            "coreSize": limits.core_bytes,
            "cpuWeight": self.cpu_weight,
            "cpuSet": self.cpus or None,
            **limits.devices,
        }
        return {name: number for name, number in numbers.items() if number is not None}


def _text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _bytes(text: str | None) -> int | None:
    return None if text is None else quantity.to_bytes(text)


def _read(text: str, convert: Any) -> Any:
    try:
        return convert(text)
    except ValueError as error:
        raise PydanticCustomError("FieldValueInvalid", "{why}", {"why": str(error)}) from None


def _quantity(text: str, convert: Any) -> int:
    number: int = _read(text, convert)
    if number > 1 << 62:
        raise PydanticCustomError("FieldValueInvalid", "is larger than any host")
    return number
