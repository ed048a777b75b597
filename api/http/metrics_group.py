"""The group `metrics.k8s.io` as discovery tells of it: two resources, which are read only. Data."""

from api.http.served import Served
from api.kinds import Kind
from api.meta import Resource

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
GROUP_VERSION = f"{GROUP}/{VERSION}"
ROOT = f"/apis/{GROUP_VERSION}"

POD_METRICS = Kind(
    name="PodMetrics", plural="pods", short_names=(), namespaced=True, type=Resource, columns=(), group=GROUP,
    version=VERSION, has_status=False, categories=(),
)  # fmt: skip
NODE_METRICS = Kind(
    name="NodeMetrics", plural="nodes", short_names=(), namespaced=False, type=Resource, columns=(), group=GROUP,
    version=VERSION, has_status=False, categories=(),
)  # fmt: skip
PODS = Served(POD_METRICS, ("get", "list"))
"""What runs use, by their pods; answered by `usage.py`."""

NODES = Served(NODE_METRICS, ("get", "list"))
"""What the host uses."""
