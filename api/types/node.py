"""Node and Service: the host, and what clients ask it for that it has none of."""

from typing import Any

from pydantic import ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from api.definition import Column, Definition, condition, field
from api.meta import Document
from api.model import Resource
from api.types.pod_fields import Shown

NODE_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


class NodeSpec(Shown):
    """What is wanted of the host."""

    unschedulable: bool = Field(
        default=False,
        description="True lets no further run begin; those that run go on. Set by rnx cordon and uncordon.",
    )
    taints: tuple[dict[str, Any], ...] = Field(
        default=(), description="Refused: runs are kept from the one host by unschedulable, or by a quota."
    )

    @field_validator("taints")
    @classmethod
    def _has_no_taints(cls, taints: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        if taints:
            text = "there are no tolerations: rnx cordon lets no further run begin, a ResourceQuota only so many"
            raise PydanticCustomError("FieldValueForbidden", text)
        return taints


class NodeCondition(Shown):
    """One fact about the host."""

    type: str = Field(description="Ready, MemoryPressure, DiskPressure or PIDPressure.")
    status: str = Field(description="True or False.")
    reason: str = Field(default="", description="One CamelCase word, such as HasSufficientDisk.")
    message: str = Field(default="", description="The same for a person, with numbers.")
    last_heartbeat_time: str | None = Field(default=None, description="When that was looked at, RFC 3339.")
    last_transition_time: str | None = Field(default=None, description="When the status last changed, RFC 3339.")


class NodeAddress(Shown):
    """A name of the host."""

    type: str = Field(description="Hostname.")
    address: str = Field(description="The host's name.")


class NodeInfo(Shown):
    """What the host is made of."""

    architecture: str = Field(default="", description="The processor's, as Go calls it, such as amd64 or arm64.")
    boot_id: str = Field(default="", alias="bootID", description="Another one after each start of the host.")
    container_runtime_version: str = Field(default="", description="runwright://VERSION.")
    kernel_version: str = Field(default="", description="The kernel's release, such as 6.1.0-18-amd64.")
    kube_proxy_version: str = Field(default="", description="Always empty: there is none.")
    kubelet_version: str = Field(default="", description="The version of runwright, with a v before it.")
    machine_id: str = Field(default="", alias="machineID", description="What /etc/machine-id has.")
    operating_system: str = Field(default="", description="Always linux.")
    os_image: str = Field(default="", description="The distribution, such as Debian GNU/Linux 12 (bookworm).")
    system_uuid: str = Field(default="", alias="systemUUID", description="The same as bootID.")


class NodeStatus(Shown):
    """What a host has, and how it is."""

    capacity: dict[str, str] = Field(
        default_factory=dict,
        description="What there is: cpu in processors, memory and ephemeral-storage in KiB (`8388608Ki`), pods, which "
        "are runs at a time, and devices by number, such as `nvidia.com/gpu: 2`.",
    )
    allocatable: dict[str, str] = Field(
        default_factory=dict, description="The part of it that runs can have, in the same units."
    )
    conditions: tuple[NodeCondition, ...] = Field(
        default=(), description="Ready, DiskPressure, MemoryPressure and PIDPressure."
    )
    addresses: tuple[NodeAddress, ...] = Field(default=(), description="Its name.")
    node_info: NodeInfo = Field(default_factory=NodeInfo, description="Kernel, operating system and versions.")


class Node(Resource):
    """The host that runs are on; there is one."""

    model_config = ConfigDict(defer_build=True)

    api_version: str = Field(default="v1", description="Group and version of the schema, v1.")
    kind: str = Field(default="Node", description="Node.")
    spec: NodeSpec = Field(default_factory=NodeSpec, description="What is wanted of it.")
    status: NodeStatus = Field(default_factory=NodeStatus, description="What it has, and how it is.")


class ServicePort(Shown):
    """A port of a service."""

    name: str | None = Field(default=None, description="What it is called.")
    protocol: str = Field(default="TCP", description="TCP, UDP or SCTP.")
    port: int = Field(description="The service's port, from 1 to 65535.")


class ServiceSpec(Shown):
    """What would lead to a service."""

    type: str = Field(default="ClusterIP", description="ClusterIP, NodePort, LoadBalancer or ExternalName.")
    cluster_ip: str | None = Field(default=None, alias="clusterIP", description="Its address, such as 10.96.0.10.")
    selector: dict[str, str] = Field(default_factory=dict, description="The labels of the pods that it leads to.")
    ports: tuple[ServicePort, ...] = Field(default=(), description="Its ports.")


class LoadBalancer(Shown):
    """What leads to a service from outside."""


class ServiceStatus(Shown):
    """How a service is."""

    load_balancer: LoadBalancer = Field(default_factory=LoadBalancer, description="What leads to it from outside.")


class Service(Resource):
    """What leads to pods in a cluster. On a host there is none: the list is always empty.

    It is there for clients that ask for it, such as `kubectl cluster-info`. A job's ports are in its spec.network, and
    jobs of a Network find each other by their names.
    """

    model_config = ConfigDict(defer_build=True)

    api_version: str = Field(default="v1", description="Group and version of the schema, v1.")
    kind: str = Field(default="Service", description="Service.")
    spec: ServiceSpec = Field(default_factory=ServiceSpec, description="What leads to it.")
    status: ServiceStatus = Field(default_factory=ServiceStatus, description="How it is.")


def _node_status(document: Document) -> str:
    ready = condition("Ready", "status").read(document)
    is_closed = document.get("spec", {}).get("unschedulable")
    return ("Ready" if ready == "True" else "NotReady") + (",SchedulingDisabled" if is_closed else "")


NODE_DEFINITION = Definition(
    type=Node,
    conditions=NODE_CONDITIONS,
    columns=(
        Column("Status", _node_status, description="Whether it takes runs."),
        Column("Version", field("status.nodeInfo.kubeletVersion"), description="The version of runwright."),
        Column("OS-Image", field("status.nodeInfo.osImage"), wide=True, description="Its operating system."),
        Column("Kernel-Version", field("status.nodeInfo.kernelVersion"), wide=True, description="Its kernel."),
    ),
)
SERVICE_DEFINITION = Definition(type=Service)
