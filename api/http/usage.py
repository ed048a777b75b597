"""What runs use, as `metrics.k8s.io` says it: so `kubectl top pods` works, and `rnx top` has more than that in it.

Rates are of the time since somebody asked before, or of the run's life so far; nothing is sampled in between. All that
the kernel counts is in `runwright` of each item, as it was counted.
"""

from dataclasses import asdict, dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from api.errors import NotFound
from api.http import answers
from api.http.feed import Threads
from api.http.metrics_group import GROUP_VERSION
from api.meta import Document, wire_time
from api.objects.verbs import Clock
from api.ports import RunUsage, RunUsages
from api.types.pod import CONTAINER_NAME, pod_name

_SHORTEST_WINDOW = 1.0
_NANOCORES = 1_000_000_000
_KIB = 1024


@dataclass(slots=True)
class _Sample:
    """What a run had used when, and how fast it was then."""

    moment: datetime
    cpu_seconds: float
    cores: float
    window: float


class PodUsages:
    """Answers the requests for what runs use."""

    def __init__(self, usages: RunUsages, clock: Clock, threads: Threads) -> None:
        """Read `usages`."""
        self._usages = usages
        self._clock = clock
        self._threads = threads
        self._samples: dict[str, _Sample] = {}

    async def answer(self, request: Request) -> Response:
        """Answer with the usage of all runs, of those of a namespace, or of one.

        Raises:
            NotFound: that one is not running.
        """
        request.scope["runwright.asked"] = ("LIST", "podmetrics")
        namespace, name = request.path_params.get("namespace"), request.path_params.get("name")
        found = await self._threads.call(self._usages.usages, namespace)
        now = self._clock.now()
        items = [self._item(usage, now) for usage in found]
        if namespace is None:
            self._forget_but({_key(usage) for usage in found})
        if name is None:
            return answers.answer(
                {"kind": "PodMetricsList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": items}
            )
        for item in items:
            if item["metadata"]["name"] == name:
                return answers.answer({"kind": "PodMetrics", "apiVersion": GROUP_VERSION} | item)
        raise NotFound(f'podmetrics.metrics.k8s.io "{name}" not found')

    def _item(self, usage: RunUsage, now: datetime) -> Document:
        sample = self._sample(usage, now)
        counted = {"cpu": f"{round(sample.cores * _NANOCORES)}n", "memory": f"{-(-usage.memory_bytes // _KIB)}Ki"}
        own = {name: value for name, value in asdict(usage).items() if name not in ("namespace", "job", "attempt")}
        return {
            "metadata": {
                "name": pod_name(usage.job, usage.attempt),
                "namespace": usage.namespace,
                "creationTimestamp": wire_time(now),
            },
            "timestamp": wire_time(now),
            "window": f"{sample.window:.3f}s",
            "containers": [{"name": CONTAINER_NAME, "usage": counted}],
            "runwright": {_camel(name): value for name, value in own.items() if value is not None},
        }

    def _sample(self, usage: RunUsage, now: datetime) -> _Sample:
        """Return the newest sample; one that is very young is used again, as a rate over nothing says nothing."""
        before = self._samples.get(_key(usage))
        if before is None:
            life = max(usage.running_seconds, 1e-3)
            before = _Sample(now, usage.cpu_seconds, usage.cpu_seconds / life, life)
        elif (window := (now - before.moment).total_seconds()) >= _SHORTEST_WINDOW:
            cores = max(0.0, usage.cpu_seconds - before.cpu_seconds) / window
            before = _Sample(now, usage.cpu_seconds, cores, window)
        self._samples[_key(usage)] = before
        return before

    def _forget_but(self, keys: set[str]) -> None:
        self._samples = {key: sample for key, sample in self._samples.items() if key in keys}


def _key(usage: RunUsage) -> str:
    return f"{usage.namespace}/{pod_name(usage.job, usage.attempt)}"


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)
