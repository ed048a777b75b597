"""The kinds that are shown, and not stored as they are: rows of THE table, which `kinds.py` is.

Runs as pods, what manifest sources hold, the host as a node, and services, of which there are none.
"""

from api.kind import Column, Kind, condition, field
from api.meta import Document
from api.types import node, pod
from api.types.manifest import Manifest
from api.types.node import Node, Service
from api.types.pod_fields import Pod


def _pod_ready(document: Document) -> str:
    statuses = document["status"].get("containerStatuses", [])
    return f"{sum(1 for status in statuses if status['ready'])}/{len(statuses)}"


def _pod_status(document: Document) -> str:
    return str(document["status"].get("reason") or document["status"].get("phase", ""))


POD = Kind(
    name="Pod", plural="pods", short_names=("po",), namespaced=True, type=Pod,
    conditions=pod.CONDITIONS,
    columns=(
        Column("Ready", _pod_ready, description="Whether its container runs."),
        Column("Status", _pod_status, description="Its phase, or why it ended."),
        Column("Restarts", lambda _document: "0", description="Always 0: each retry is a pod of its own."),
        Column("Node", field("spec.nodeName"), wide=True, description="The host."),
    ),
    group="", version="v1", categories=("all",),
)  # fmt: skip
MANIFEST = Kind(
    name="Manifest", plural="manifests", short_names=("mf",), namespaced=False, type=Manifest,
    columns=(
        Column("Source", field("source"), description="The directory or table that it is in."),
        Column("File", field("file"), description="The file, or the row, in it."),
        Column("Line", field("line"), description="The line that it starts at, or where it is wrong."),
        Column("Object", field("object"), description="The object that it declares."),
        Column("State", field("state"), description="Whether it is applied, or why not."),
        Column("Message", field("message"), description="What is wrong and what to do."),
    ),
    has_status=False, categories=(),
)  # fmt: skip


def _node_status(document: Document) -> str:
    ready = condition("Ready", "status").read(document)
    is_closed = document.get("spec", {}).get("unschedulable")
    return ("Ready" if ready == "True" else "NotReady") + (",SchedulingDisabled" if is_closed else "")


NODE = Kind(
    name="Node", plural="nodes", short_names=("no",), namespaced=False, type=Node,
    conditions=node.NODE_CONDITIONS,
    columns=(
        Column("Status", _node_status, description="Whether it takes runs."),
        Column("Version", field("status.nodeInfo.kubeletVersion"), description="The version of runwright."),
        Column("OS-Image", field("status.nodeInfo.osImage"), wide=True, description="Its operating system."),
        Column("Kernel-Version", field("status.nodeInfo.kernelVersion"), wide=True, description="Its kernel."),
    ),
    group="", version="v1", categories=(),
)  # fmt: skip
SERVICE = Kind(
    name="Service", plural="services", short_names=("svc",), namespaced=True, type=Service, columns=(),
    group="", version="v1", categories=(),
)  # fmt: skip
