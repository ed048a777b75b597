"""What runs and the host use, as `metrics.k8s.io` says it: so `kubectl top` works, and `rnx top` has more in it.

All that the kernel counts is in `runwright` of each item, as it was counted. How rates are made is in `rates.py`.
"""

from dataclasses import asdict
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from api.errors import NotFound
from api.http import answers
from api.http.feed import Threads
from api.http.metrics_group import GROUP_VERSION
from api.http.rates import Rates
from api.meta import Document, wire_time
from api.objects.verbs import Clock
from api.ports import HostReport, RunUsage, RunUsages
from api.types.pod import CONTAINER_NAME, pod_name

_KIB = 1024
_NAMING = ("namespace", "job", "attempt", "index")


class PodUsages:
    """Answers the requests for what runs use."""

    def __init__(self, usages: RunUsages, clock: Clock, threads: Threads) -> None:
        """Read `usages`."""
        self._usages = usages
        self._clock = clock
        self._threads = threads
        self._rates = Rates()

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
            self._rates.forget_but({_key(usage) for usage in found})
        if name is None:
            return answers.answer(
                {"kind": "PodMetricsList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": items}
            )
        for item in items:
            if item["metadata"]["name"] == name:
                return answers.answer({"kind": "PodMetrics", "apiVersion": GROUP_VERSION} | item)
        raise NotFound(f'podmetrics.metrics.k8s.io "{name}" not found')

    def _item(self, usage: RunUsage, now: datetime) -> Document:
        sample = self._rates.sample(_key(usage), now, usage.cpu_seconds, usage.running_seconds)
        counted = {"cpu": sample.cpu, "memory": f"{-(-usage.memory_bytes // _KIB)}Ki"}
        own = {name: value for name, value in asdict(usage).items() if name not in _NAMING}
        return {
            "metadata": {
                "name": pod_name(usage.job, usage.attempt, usage.index),
                "namespace": usage.namespace,
                "creationTimestamp": wire_time(now),
            },
            "timestamp": wire_time(now),
            "window": f"{sample.window:.3f}s",
            "containers": [{"name": CONTAINER_NAME, "usage": counted}],
            "runwright": {_camel(name): value for name, value in own.items() if value is not None},
        }


class NodeUsages:
    """Answers the requests for what the host as a whole uses."""

    def __init__(self, host: HostReport, name: str, clock: Clock, threads: Threads) -> None:
        """Read `host`, which is the node `name`."""
        self._host = host
        self._name = name
        self._clock = clock
        self._threads = threads
        self._rates = Rates()

    async def answer(self, request: Request) -> Response:
        """Answer with the usage of the one node. Raises NotFound for any other."""
        request.scope["runwright.asked"] = ("LIST", "nodemetrics")
        name = request.path_params.get("name")
        if name not in (None, self._name):
            raise NotFound(f'nodemetrics.metrics.k8s.io "{name}" not found')
        usage, now = await self._threads.call(self._host.usage), self._clock.now()
        sample = self._rates.sample(self._name, now, usage.cpu_seconds, usage.running_seconds)
        item = {
            "metadata": {"name": self._name, "creationTimestamp": wire_time(now)},
            "timestamp": wire_time(now),
            "window": f"{sample.window:.3f}s",
            "usage": {"cpu": sample.cpu, "memory": f"{-(-usage.memory_bytes // _KIB)}Ki"},
            "runwright": {_camel(field): value for field, value in asdict(usage).items()},
        }
        if name is None:
            listed = {"kind": "NodeMetricsList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": [item]}
            return answers.answer(listed)
        return answers.answer({"kind": "NodeMetrics", "apiVersion": GROUP_VERSION} | item)


def _key(usage: RunUsage) -> str:
    return f"{usage.namespace}/{pod_name(usage.job, usage.attempt, usage.index)}"


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)
