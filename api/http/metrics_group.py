"""The group `metrics.k8s.io` as discovery tells of it: two resources, which are read only. Data."""

from api.definition import Definition
from api.http.served import Served
from api.kinds import Kind
from api.types.usages import METRICS_GROUP as GROUP
from api.types.usages import METRICS_VERSION as VERSION
from api.types.usages import NodeMetrics, PodMetrics

GROUP_VERSION = f"{GROUP}/{VERSION}"
ROOT = f"/apis/{GROUP_VERSION}"

POD_METRICS = Kind(
    name="PodMetrics", plural="pods", short_names=(), namespaced=True, defined=Definition(PodMetrics), group=GROUP,
    version=VERSION, has_status=False, categories=(),
)  # fmt: skip
NODE_METRICS = Kind(
    name="NodeMetrics", plural="nodes", short_names=(), namespaced=False, defined=Definition(NodeMetrics), group=GROUP,
    version=VERSION, has_status=False, categories=(),
)  # fmt: skip
PODS = Served(POD_METRICS, ("get", "list"))
"""What runs use, by their pods; answered by `usage.py`."""

NODES = Served(NODE_METRICS, ("get", "list"))
"""What the host uses."""
