"""THE table of kinds: names, groups, scope, and where each is defined. Routes, discovery, CRDs and rnx read it.

A new kind is a type in `api/types/` with its definition, a row here, and a package in `controller/` that reconciles it.
This module imports no type: what is defined of a kind is imported when it is first asked for.
"""

from api.kind import Kind as Kind
from api.meta import ACCESS_GROUP, ACCESS_VERSION, RBAC_GROUP, SCHEDULING_GROUP
from api.meta import GROUP as GROUP

JOB = Kind(
    name="Job", plural="jobs", short_names=("jo",), namespaced=True,
    defined="api.types.job_definition:DEFINITION", finalizer="runwright.dev/job", categories=("all", "runwright"),
)  # fmt: skip
RUNTIME = Kind(
    name="Runtime", plural="runtimes", short_names=("rt",), namespaced=False,
    defined="api.types.runtime:DEFINITION", finalizer="runwright.dev/runtime",
)  # fmt: skip
RUNTIME_TEMPLATE = Kind(
    name="RuntimeTemplate", plural="runtimetemplates", short_names=("rtt",), namespaced=False,
    defined="api.types.runtime_template:DEFINITION", has_status=False,
)  # fmt: skip
REGISTRY = Kind(
    name="Registry", plural="registries", short_names=("reg",), namespaced=False,
    defined="api.types.registry:DEFINITION", finalizer="runwright.dev/registry",
)  # fmt: skip
CRON_JOB = Kind(
    name="CronJob", plural="cronjobs", short_names=("cj",), namespaced=True,
    defined="api.types.cron_job:DEFINITION", finalizer="runwright.dev/cronjob", categories=("all", "runwright"),
)  # fmt: skip
WORKFLOW = Kind(
    name="Workflow", plural="workflows", short_names=("wf",), namespaced=True,
    defined="api.types.workflow:DEFINITION",
)  # fmt: skip
VOLUME = Kind(
    name="Volume", plural="volumes", short_names=("vol",), namespaced=True,
    defined="api.types.volume:DEFINITION", finalizer="runwright.dev/volume",
)  # fmt: skip
VOLUME_SNAPSHOT = Kind(
    name="VolumeSnapshot", plural="volumesnapshots", short_names=("vs",), namespaced=True,
    defined="api.types.volume_snapshot:DEFINITION", finalizer="runwright.dev/volumesnapshot",
)  # fmt: skip
NETWORK = Kind(
    name="Network", plural="networks", short_names=("net",), namespaced=True,
    defined="api.types.network:DEFINITION", finalizer="runwright.dev/network",
)  # fmt: skip
EVENT = Kind(
    name="Event", plural="events", short_names=("ev",), namespaced=True,
    defined="api.types.core:EVENT_DEFINITION", group="", version="v1", has_status=False, categories=(),
)  # fmt: skip
NAMESPACE = Kind(
    name="Namespace", plural="namespaces", short_names=("ns",), namespaced=False,
    defined="api.types.core:NAMESPACE_DEFINITION", group="", version="v1", categories=(),
)  # fmt: skip
CONFIG_MAP = Kind(
    name="ConfigMap", plural="configmaps", short_names=("cm",), namespaced=True,
    defined="api.types.config_map:DEFINITION", group="", version="v1", has_status=False, categories=(),
)  # fmt: skip
SECRET = Kind(
    name="Secret", plural="secrets", short_names=(), namespaced=True,
    defined="api.types.secret:DEFINITION", group="", version="v1", has_status=False, categories=(), confidential=True,
)  # fmt: skip
PRIORITY_CLASS = Kind(
    name="PriorityClass", plural="priorityclasses", short_names=("pc",), namespaced=False,
    defined="api.types.priority_class:DEFINITION",
    group=SCHEDULING_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
RESOURCE_QUOTA = Kind(
    name="ResourceQuota", plural="resourcequotas", short_names=("quota",), namespaced=True,
    defined="api.types.resource_quota:DEFINITION", group="", version="v1", categories=(),
)  # fmt: skip
ROLE = Kind(
    name="Role", plural="roles", short_names=(), namespaced=True,
    defined="api.types.rbac:ROLE_DEFINITION", group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
CLUSTER_ROLE = Kind(
    name="ClusterRole", plural="clusterroles", short_names=(), namespaced=False,
    defined="api.types.rbac:CLUSTER_ROLE_DEFINITION", group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
ROLE_BINDING = Kind(
    name="RoleBinding", plural="rolebindings", short_names=(), namespaced=True,
    defined="api.types.rbac:ROLE_BINDING_DEFINITION", group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
CLUSTER_ROLE_BINDING = Kind(
    name="ClusterRoleBinding", plural="clusterrolebindings", short_names=(), namespaced=False,
    defined="api.types.rbac:CLUSTER_ROLE_BINDING_DEFINITION",
    group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
TOKEN = Kind(
    name="Token", plural="tokens", short_names=(), namespaced=False,
    defined="api.types.access:TOKEN_DEFINITION",
    group=ACCESS_GROUP, version=ACCESS_VERSION, has_status=False, categories=(),
)  # fmt: skip
CERTIFICATE = Kind(
    name="Certificate", plural="certificates", short_names=(), namespaced=False,
    defined="api.types.access:CERTIFICATE_DEFINITION",
    group=ACCESS_GROUP, version=ACCESS_VERSION, has_status=False, categories=(),
)  # fmt: skip
POD = Kind(
    name="Pod", plural="pods", short_names=("po",), namespaced=True,
    defined="api.types.pod:DEFINITION", group="", version="v1", categories=("all",),
)  # fmt: skip
MANIFEST = Kind(
    name="Manifest", plural="manifests", short_names=("mf",), namespaced=False,
    defined="api.types.manifest:DEFINITION", has_status=False, categories=(),
)  # fmt: skip
NODE = Kind(
    name="Node", plural="nodes", short_names=("no",), namespaced=False,
    defined="api.types.node:NODE_DEFINITION", group="", version="v1", categories=(),
)  # fmt: skip
SERVICE = Kind(
    name="Service", plural="services", short_names=("svc",), namespaced=True,
    defined="api.types.node:SERVICE_DEFINITION", group="", version="v1", categories=(),
)  # fmt: skip
NEW_EVENT = Kind(
    name="Event", plural="events", short_names=("ev",), namespaced=True,
    defined="api.types.core:NEW_EVENT_DEFINITION",
    group="events.k8s.io", version="v1", has_status=False, categories=(),
)  # fmt: skip

ACCESS_KINDS: tuple[Kind, ...] = (ROLE, CLUSTER_ROLE, ROLE_BINDING, CLUSTER_ROLE_BINDING, TOKEN, CERTIFICATE)
"""Kinds that say who may do what, and by what users are known."""

PROJECTED: tuple[Kind, ...] = (POD, MANIFEST)
"""Kinds that are shown and not stored: runs as pods, and what the manifest sources hold."""

FOR_CLIENTS: tuple[Kind, ...] = (NEW_EVENT, NODE, SERVICE)
"""Kinds that are shown for clients that look for them, and stored in part or not at all; rnx looks for nodes only."""

KINDS: tuple[Kind, ...] = (
    JOB,
    RUNTIME,
    RUNTIME_TEMPLATE,
    REGISTRY,
    CRON_JOB,
    WORKFLOW,
    VOLUME,
    VOLUME_SNAPSHOT,
    NETWORK,
    EVENT,
    NAMESPACE,
    CONFIG_MAP,
    SECRET,
    PRIORITY_CLASS,
    RESOURCE_QUOTA,
    *ACCESS_KINDS,
)
_BY_NAME = {kind.name: kind for kind in (*KINDS, NODE)}


def by_name(name: str) -> Kind:
    """Return the kind called `name`, such as Job. Raises KeyError."""
    return _BY_NAME[name]


def import_definitions() -> None:
    """Import what is defined of every kind, as a server does before it begins: its files may be replaced later."""
    for kind in (*KINDS, *PROJECTED, *FOR_CLIENTS):
        _ = kind.definition
