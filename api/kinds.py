"""THE table of kinds: names, scope, type, columns. Routes, discovery, CRDs, tables and rnx read it.

A new kind is a type in `api/types/`, a row here, and a package in `controller/` that reconciles it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.errors import Cause
from api.meta import GROUP, VERSION, Document, Resource
from api.runtime_spec import LATEST
from api.types import config_map, secret
from api.types.access import ACCESS_GROUP, ACCESS_VERSION, Certificate, Token
from api.types.config_map import ConfigMap
from api.types.core import Event, Namespace, NewEvent, Node
from api.types.job import Job
from api.types.rbac import RBAC_GROUP, ClusterRole, ClusterRoleBinding, Role, RoleBinding
from api.types.registry import Registry
from api.types.runtime import FIRST_VERSION, MADE_SOURCES, Runtime
from api.types.runtime_template import RuntimeTemplate
from api.types.secret import Secret


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `get`; `wide` ones are shown with `-o wide` only."""

    name: str
    cell: Callable[[Document], str]
    wide: bool = False
    description: str = ""


def _as_it_is(document: Document) -> Document:
    return document


def _any_change(_live: Document, _changed: Document) -> list[Cause]:
    return []


@dataclass(frozen=True, slots=True)
class Kind:
    """All that the API needs to know of a kind.

    What is sent goes through `fold` before anything else; `given` is filled in at the top of what is stored, as
    nobody's own; `problems_with_change` says why an object may not become another. Of a `confidential` one no message
    has a value, and it is stored encrypted.
    """

    name: str
    plural: str
    short_names: tuple[str, ...]
    namespaced: bool
    type: type[Resource]
    columns: tuple[Column, ...]
    group: str = GROUP
    version: str = VERSION
    finalizer: str | None = None
    has_status: bool = True
    categories: tuple[str, ...] = ("runwright",)
    confidential: bool = False
    fold: Callable[[Document], Document] = _as_it_is
    given: tuple[tuple[str, str], ...] = ()
    problems_with_change: Callable[[Document, Document], list[Cause]] = _any_change

    @property
    def api_version(self) -> str:
        """Group and version as objects carry them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """The kind in lower case."""
        return self.name.lower()

    @property
    def resource(self) -> str:
        """The plural with its group, as error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that shows what is at a JSONPath, so that a CRD can show the same column."""

    read: Callable[[Document], str]
    json_path: str

    def __call__(self, document: Document) -> str:
        """Return the cell's text for an object."""
        return self.read(document)


def field(path: str) -> Cell:
    """Return a cell that shows the value at a dotted path, empty where there is none."""
    names = path.split(".")

    def read(document: Document) -> str:
        value: Any = document
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return "" if value is None else str(value)

    return Cell(read, f".{path}")


def _command(document: Document) -> str:
    spec = document.get("spec", {})
    return " ".join([*spec.get("command", ()), *spec.get("args", ())])


def _exit_code(document: Document) -> str:
    runs = document.get("status", {}).get("runs") or [{}]
    return str(runs[-1].get("exitCode", ""))


def _condition(name: str, part: str) -> Cell:
    def read(document: Document) -> str:
        conditions = document.get("status", {}).get("conditions", ())
        nothing = "Unknown" if part == "status" else ""
        return next((str(c.get(part, "")) for c in conditions if c.get("type") == name), nothing)

    return Cell(read, f'.status.conditions[?(@.type=="{name}")].{part}')


def _installed(document: Document) -> str:
    versions = document.get("status", {}).get("versions", ())
    return ",".join(v["version"] for v in versions if v.get("state") == "Installed")


def _wanted(document: Document) -> str:
    spec = document.get("spec", {})
    is_made = any(spec.get(name) is not None for name in MADE_SOURCES)
    return ",".join(spec.get("versions", (FIRST_VERSION if is_made else LATEST,)))


def _parameters(document: Document) -> str:
    parameters = document.get("spec", {}).get("parameters", ())
    return ",".join(p["name"] if p.get("default") is None else f"{p['name']}={p['default']}" for p in parameters)


def _about(document: Document) -> str:
    return _object_of(document.get("involvedObject", {}))


def _regarding(document: Document) -> str:
    return _object_of(document.get("regarding", {}))


def _object_of(involved: Document) -> str:
    return f"{involved.get('kind', '').lower()}/{involved.get('name', '')}"


JOB = Kind(
    name="Job", plural="jobs", short_names=("jo",), namespaced=True, type=Job,
    columns=(
        Column("Phase", field("status.phase"), description="A summary of the job's conditions."),
        Column("Reason", field("status.reason"), description="Why it is in this phase."),
        Column("Runs", field("status.attempts"), description="Runs begun so far."),
        Column("Exit", _exit_code, description="The exit code of the last run."),
        Column("Runtime", field("spec.runtime"), description="The runtime asked for."),
        Column("Resolved", field("status.resolvedRuntime"), wide=True, description="The runtime version in use."),
        Column("Command", _command, wide=True, description="What is run."),
    ),
    finalizer="runwright.dev/job", categories=("all", "runwright"),
)  # fmt: skip
RUNTIME = Kind(
    name="Runtime", plural="runtimes", short_names=("rt",), namespaced=False, type=Runtime,
    columns=(
        Column("Ready", _condition("Ready", "status"), description="Whether every wanted version is installed."),
        Column("Reason", _condition("Ready", "reason"), description="Why it is, or is not, ready."),
        Column("Wanted", _wanted, description="The versions wanted."),
        Column("Installed", _installed, description="The versions installed."),
        Column("Message", _condition("Ready", "message"), wide=True, description="What happened and what to do."),
    ),
    finalizer="runwright.dev/runtime",
)  # fmt: skip
RUNTIME_TEMPLATE = Kind(
    name="RuntimeTemplate", plural="runtimetemplates", short_names=("rtt",), namespaced=False, type=RuntimeTemplate,
    columns=(
        Column("Parameters", _parameters, description="What is left open, and its defaults."),
        Column("Description", field("spec.description"), description="What it is a template of."),
    ),
    has_status=False,
)  # fmt: skip
REGISTRY = Kind(
    name="Registry", plural="registries", short_names=("reg",), namespaced=False, type=Registry,
    columns=(
        Column("Ready", _condition("Ready", "status"), description="Whether there is a catalogue to install from."),
        Column("Reason", _condition("Ready", "reason"), description="Why it is, or is not, ready."),
        Column("Runtimes", field("status.runtimes"), description="Runtimes in the catalogue."),
        Column("URL", field("spec.url"), description="Where the catalogue is."),
        Column("Message", _condition("Ready", "message"), wide=True, description="What happened and what to do."),
    ),
    finalizer="runwright.dev/registry",
)  # fmt: skip
EVENT = Kind(
    name="Event", plural="events", short_names=("ev",), namespaced=True, type=Event,
    columns=(
        Column("Type", field("type"), description="Normal or Warning."),
        Column("Reason", field("reason"), description="One word."),
        Column("Object", _about, description="What it happened to."),
        Column("Count", field("count"), description="How often it happened."),
        Column("Message", field("message"), description="What happened."),
    ),
    group="", version="v1", has_status=False, categories=(),
)  # fmt: skip
NAMESPACE = Kind(
    name="Namespace", plural="namespaces", short_names=("ns",), namespaced=False, type=Namespace,
    columns=(Column("Status", field("status.phase"), description="Active or Terminating."),),
    group="", version="v1", categories=(),
)  # fmt: skip


def _keys(*fields: str) -> Callable[[Document], str]:
    return lambda document: str(sum(len(document.get(name) or ()) for name in fields))


CONFIG_MAP = Kind(
    name="ConfigMap", plural="configmaps", short_names=("cm",), namespaced=True, type=ConfigMap,
    columns=(Column("Data", _keys("data", "binaryData"), description="How many keys it has."),),
    group="", version="v1", has_status=False, categories=(), problems_with_change=config_map.problems_with_change,
)  # fmt: skip
SECRET = Kind(
    name="Secret", plural="secrets", short_names=(), namespaced=True, type=Secret,
    columns=(
        Column("Type", field("type"), description="What it is for."),
        Column("Data", _keys("data"), description="How many keys it has."),
    ),
    group="", version="v1", has_status=False, categories=(),
    confidential=True, fold=secret.fold, given=(("type", secret.OPAQUE),),
    problems_with_change=secret.problems_with_change,
)  # fmt: skip


def _role_ref(document: Document) -> str:
    reference = document.get("roleRef", {})
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _subjects(document: Document) -> str:
    return ",".join(str(subject.get("name", "")) for subject in document.get("subjects") or ())


def _in_groups(document: Document) -> str:
    return ",".join(document.get("spec", {}).get("groups", ()))


_OF_BINDINGS = (
    Column("Role", _role_ref, description="The role whose rules it gives."),
    Column("Subjects", _subjects, description="Who gets them."),
)
ROLE = Kind(
    name="Role", plural="roles", short_names=(), namespaced=True, type=Role, columns=(),
    group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
CLUSTER_ROLE = Kind(
    name="ClusterRole", plural="clusterroles", short_names=(), namespaced=False, type=ClusterRole, columns=(),
    group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
ROLE_BINDING = Kind(
    name="RoleBinding", plural="rolebindings", short_names=(), namespaced=True, type=RoleBinding,
    columns=_OF_BINDINGS, group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
CLUSTER_ROLE_BINDING = Kind(
    name="ClusterRoleBinding", plural="clusterrolebindings", short_names=(), namespaced=False,
    type=ClusterRoleBinding, columns=_OF_BINDINGS, group=RBAC_GROUP, version="v1", has_status=False, categories=(),
)  # fmt: skip
_OF_IDENTITIES = (
    Column("User", field("spec.user"), description="Who is known by it."),
    Column("Groups", _in_groups, description="The groups that the user is in."),
    Column("Expires", field("spec.expires"), description="When it ends."),
)
TOKEN = Kind(
    name="Token", plural="tokens", short_names=(), namespaced=False, type=Token,
    columns=(*_OF_IDENTITIES, Column("Description", field("spec.description"), wide=True, description="Its use.")),
    group=ACCESS_GROUP, version=ACCESS_VERSION, has_status=False, categories=(),
)  # fmt: skip
CERTIFICATE = Kind(
    name="Certificate", plural="certificates", short_names=(), namespaced=False, type=Certificate,
    columns=_OF_IDENTITIES, group=ACCESS_GROUP, version=ACCESS_VERSION, has_status=False, categories=(),
)  # fmt: skip
ACCESS_KINDS: tuple[Kind, ...] = (ROLE, CLUSTER_ROLE, ROLE_BINDING, CLUSTER_ROLE_BINDING, TOKEN, CERTIFICATE)
"""Kinds that say who may do what, and by what users are known."""


def _pod_ready(document: Document) -> str:
    statuses = document["status"].get("containerStatuses", [])
    return f"{sum(1 for status in statuses if status['ready'])}/{len(statuses)}"


def _pod_status(document: Document) -> str:
    return str(document["status"].get("reason") or document["status"].get("phase", ""))


POD = Kind(
    name="Pod", plural="pods", short_names=("po",), namespaced=True, type=Resource,
    columns=(
        Column("Ready", _pod_ready, description="Whether its container runs."),
        Column("Status", _pod_status, description="Its phase, or why it ended."),
        Column("Restarts", lambda _document: "0", description="Always 0: each retry is a pod of its own."),
        Column("Node", field("spec.nodeName"), wide=True, description="The host."),
    ),
    group="", version="v1", categories=("all",),
)  # fmt: skip
MANIFEST = Kind(
    name="Manifest", plural="manifests", short_names=("mf",), namespaced=False, type=Resource,
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
NEW_EVENT = Kind(
    name="Event", plural="events", short_names=("ev",), namespaced=True, type=NewEvent,
    columns=(
        Column("Type", field("type"), description="Normal or Warning."),
        Column("Reason", field("reason"), description="One word."),
        Column("Object", _regarding, description="What it happened to."),
        Column("Note", field("note"), description="What happened."),
    ),
    group="events.k8s.io", version="v1", has_status=False, categories=(),
)  # fmt: skip


def _node_status(document: Document) -> str:
    ready = _condition("Ready", "status").read(document)
    return "Ready" if ready == "True" else "NotReady"


NODE = Kind(
    name="Node", plural="nodes", short_names=("no",), namespaced=False, type=Node,
    columns=(
        Column("Status", _node_status, description="Whether it takes runs."),
        Column("Version", field("status.nodeInfo.kubeletVersion"), description="The version of runwright."),
        Column("OS-Image", field("status.nodeInfo.osImage"), wide=True, description="Its operating system."),
        Column("Kernel-Version", field("status.nodeInfo.kernelVersion"), wide=True, description="Its kernel."),
    ),
    group="", version="v1", categories=(),
)  # fmt: skip
SERVICE = Kind(
    name="Service", plural="services", short_names=("svc",), namespaced=True, type=Resource, columns=(),
    group="", version="v1", categories=(),
)  # fmt: skip

PROJECTED: tuple[Kind, ...] = (POD, MANIFEST)
"""Kinds that are shown and not stored: runs as pods, and what the manifest sources hold."""

FOR_CLIENTS: tuple[Kind, ...] = (NEW_EVENT, NODE, SERVICE)
"""Kinds that are shown and not stored, for clients that look for them; rnx looks for nodes only."""

KINDS: tuple[Kind, ...] = (
    JOB,
    RUNTIME,
    RUNTIME_TEMPLATE,
    REGISTRY,
    EVENT,
    NAMESPACE,
    CONFIG_MAP,
    SECRET,
    *ACCESS_KINDS,
)
_BY_NAME = {kind.name: kind for kind in KINDS}


def by_name(name: str) -> Kind:
    """Return the kind called `name`, such as Job. Raises KeyError."""
    return _BY_NAME[name]
