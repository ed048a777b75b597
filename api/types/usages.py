"""PodMetrics and NodeMetrics, of metrics.k8s.io: what runs and the host use. `api/http/usage.py` says it."""

from pydantic import ConfigDict, Field

from api.model import Resource
from api.types.pod_fields import Shown

METRICS_GROUP, METRICS_VERSION = "metrics.k8s.io", "v1beta1"
_API_VERSION = f"{METRICS_GROUP}/{METRICS_VERSION}"


class Used(Shown):
    """What is used now."""

    cpu: str = Field(
        description="Processors used on average over the window, in billionths: `500000000n` is half a processor."
    )
    memory: str = Field(description="Memory used at that time, in KiB, such as `3072Ki`.")


class UsageOfContainer(Shown):
    """What the one command of a run uses."""

    name: str = Field(description="Always `job`.")
    usage: Used = Field(description="What it uses.")


class CountedOfRun(Shown):
    """What the kernel counted of a run since it started; what this host does not count is absent."""

    running_seconds: float = Field(description="Seconds since it started.")
    cpu_seconds: float = Field(description="Processor time in seconds.")
    memory_bytes: int = Field(description="Bytes of memory that it uses now.")
    memory_peak_bytes: int | None = Field(default=None, description="The most of it at once, in bytes.")
    processes: int = Field(description="Its processes and threads now.")
    read_bytes: int | None = Field(default=None, description="Bytes read from disks.")
    written_bytes: int | None = Field(default=None, description="Bytes written to disks.")


class _Metrics(Resource):
    """What a look at something found; rates are of the time since the look before."""

    model_config = ConfigDict(defer_build=True)

    api_version: str = Field(default=_API_VERSION, description="Group and version of the schema.")
    timestamp: str = Field(description="When that was looked at, RFC 3339, such as 2026-12-31T23:59:00Z.")
    window: str = Field(
        description="The time that rates are of, in seconds, such as `4.000s`: since the last look, or since its start."
    )


class PodMetrics(_Metrics):
    """What a running run uses; `kubectl top pods` shows it, and `rnx top` more of it."""

    kind: str = Field(default="PodMetrics", description="PodMetrics.")
    containers: tuple[UsageOfContainer, ...] = Field(description="The one command, and what it uses.")
    runwright: CountedOfRun = Field(description="What was counted since the run started, as the kernel has it.")


class CountedOfHost(Shown):
    """What was counted of the host since it was started, everything together."""

    running_seconds: float = Field(description="Seconds since the host was started.")
    cpu_seconds: float = Field(description="Processor time in seconds, of all processors.")
    memory_bytes: int = Field(description="Bytes of memory that are not available.")
    memory_total_bytes: int = Field(description="Bytes of memory that there are.")
    disk_bytes: int = Field(description="Bytes in use on the disk that runs are on.")
    disk_total_bytes: int = Field(description="Bytes that that disk has.")
    processes: int = Field(description="Processes now.")
    read_bytes: int = Field(description="Bytes read from disks.")
    written_bytes: int = Field(description="Bytes written to disks.")
    received_bytes: int = Field(description="Bytes received from networks.")
    sent_bytes: int = Field(description="Bytes sent to networks.")


class NodeMetrics(_Metrics):
    """What the host uses; `kubectl top nodes` shows it."""

    kind: str = Field(default="NodeMetrics", description="NodeMetrics.")
    usage: Used = Field(description="What it uses.")
    runwright: CountedOfHost = Field(description="What was counted since the host was started, as the kernel has it.")
