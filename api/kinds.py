"""THE table of kinds: names, scope, type, columns. Routes, discovery, CRDs, tables and rnx read it.

A new kind is a type in `api/types/`, a row here, and a package in `controller/` that reconciles it.
"""

from collections.abc import Callable

from api.access_kinds import (
    ACCESS_KINDS,
    CERTIFICATE,
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    ROLE,
    ROLE_BINDING,
    TOKEN,
)
from api.kind import Cell, Column, Kind, condition, field
from api.meta import GROUP as GROUP
from api.meta import Document
from api.runtime_spec import LATEST
from api.shown_kinds import MANIFEST, NODE, POD, SERVICE
from api.types import (
    config_map,
    cron_job,
    job,
    job_many,
    job_network,
    network,
    priority_class,
    registry,
    resource_quota,
    runtime,
    secret,
    volume,
    volume_snapshot,
    workflow,
)
from api.types.config_map import ConfigMap
from api.types.core import Event, Namespace, NewEvent
from api.types.cron_job import CronJob
from api.types.job import Job
from api.types.network import Network
from api.types.priority_class import SCHEDULING_GROUP, PriorityClass
from api.types.registry import Registry
from api.types.resource_quota import ResourceQuota
from api.types.runtime import FIRST_VERSION, MADE_SOURCES, Runtime
from api.types.runtime_template import RuntimeTemplate
from api.types.secret import Secret
from api.types.volume import Volume
from api.types.volume_snapshot import VolumeSnapshot
from api.types.workflow import Workflow

__all__ = [
    "ACCESS_KINDS", "CERTIFICATE", "CLUSTER_ROLE", "CLUSTER_ROLE_BINDING", "GROUP", "MANIFEST", "NODE", "POD", "ROLE",
    "ROLE_BINDING", "SERVICE", "TOKEN", "Cell", "Column", "Kind", "by_name", "field",
]  # fmt: skip


def _command(document: Document) -> str:
    spec = document.get("spec", {})
    return " ".join([*spec.get("command", ()), *spec.get("args", ())])


def _exit_code(document: Document) -> str:
    runs = document.get("status", {}).get("runs") or [{}]
    return str(runs[-1].get("exitCode", ""))


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
    conditions=job.CONDITIONS,
    columns=(
        Column("Phase", field("status.phase"), description="A summary of the job's conditions."),
        Column("Reason", field("status.reason"), description="Why it is in this phase."),
        Column("Completions", job_many.completions, description="Runs that succeeded, and how many have to."),
        Column("Runs", field("status.attempts"), description="Runs begun so far."),
        Column("Exit", _exit_code, description="The exit code of the last run."),
        Column("Runtime", field("spec.runtime"), description="The runtime asked for."),
        Column("Priority", field("status.priority"), wide=True, description="Its priority in the queue."),
        Column("Message", field("status.message"), wide=True, description="What it waits for, or what happened."),
        Column("Resolved", field("status.resolvedRuntime"), wide=True, description="The runtime version in use."),
        Column("Starts-At", field("spec.startAt"), wide=True, description="When it may start at the earliest."),
        Column("Address", job_network.address_of, wide=True, description="The address of the last run in its network."),
        Column("Ports", job_network.ports_of, wide=True, description="The host's ports that lead to the last run's."),
        Column("Command", _command, wide=True, description="What is run."),
    ),
    finalizer="runwright.dev/job", categories=("all", "runwright"),
    problems_with_change=job_many.problems_with_change,
)  # fmt: skip


def _named_or_none(path: str) -> Cell:
    cell = field(path)
    return Cell(lambda document: cell(document) or "<none>", cell.json_path)


def _is_suspended(document: Document) -> str:
    return str(bool(document.get("spec", {}).get("suspend")))


def _active(document: Document) -> str:
    return str(len(document.get("status", {}).get("active") or ()))


def _template_command(document: Document) -> str:
    return _command(document.get("spec", {}).get("jobTemplate", {}))


CRON_JOB = Kind(
    name="CronJob", plural="cronjobs", short_names=("cj",), namespaced=True, type=CronJob,
    conditions=cron_job.CONDITIONS,
    columns=(
        Column("Schedule", field("spec.schedule"), description="When it starts jobs."),
        Column("Timezone", _named_or_none("spec.timeZone"), description="The time zone that this is meant in."),
        Column("Suspend", _is_suspended, description="Whether it starts none."),
        Column("Active", _active, description="Its jobs that have not ended."),
        Column("Last Schedule", field("status.lastScheduleTime"), ago=True, description="How long ago it was time."),
        Column("Next", field("status.nextScheduleTime"), wide=True, description="When it is time next."),
        Column("Command", _template_command, wide=True, description="What its jobs run."),
    ),
    finalizer="runwright.dev/cronjob", categories=("all", "runwright"),
)  # fmt: skip
WORKFLOW = Kind(
    name="Workflow", plural="workflows", short_names=("wf",), namespaced=True, type=Workflow,
    conditions=workflow.CONDITIONS,
    columns=(
        Column("Phase", field("status.phase"), description="A summary of its conditions."),
        Column("Reason", field("status.reason"), description="Why it is in this phase."),
        Column("Done", workflow.done, description="How many of its jobs have ended, and how many there are."),
        Column("Active", field("status.active"), description="Its jobs that were begun and have not ended."),
        Column("Failed", field("status.failed"), description="Its jobs that failed."),
        Column("Skipped", field("status.skipped"), description="Its jobs whose requirements can never hold."),
        Column("Message", field("status.message"), wide=True, description="What happened and what to do."),
    ),
    problems_with_change=workflow.problems_with_change,
)  # fmt: skip
RUNTIME = Kind(
    name="Runtime", plural="runtimes", short_names=("rt",), namespaced=False, type=Runtime,
    conditions=runtime.CONDITIONS,
    columns=(
        Column("Ready", condition("Ready", "status"), description="Whether every wanted version is installed."),
        Column("Reason", condition("Ready", "reason"), description="Why it is, or is not, ready."),
        Column("Wanted", _wanted, description="The versions wanted."),
        Column("Installed", _installed, description="The versions installed."),
        Column("Message", condition("Ready", "message"), wide=True, description="What happened and what to do."),
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
    conditions=registry.CONDITIONS,
    columns=(
        Column("Ready", condition("Ready", "status"), description="Whether there is a catalogue to install from."),
        Column("Reason", condition("Ready", "reason"), description="Why it is, or is not, ready."),
        Column("Runtimes", field("status.runtimes"), description="Runtimes in the catalogue."),
        Column("URL", field("spec.url"), description="Where the catalogue is."),
        Column("Message", condition("Ready", "message"), wide=True, description="What happened and what to do."),
    ),
    finalizer="runwright.dev/registry",
)  # fmt: skip

VOLUME = Kind(
    name="Volume", plural="volumes", short_names=("vol",), namespaced=True, type=Volume,
    conditions=volume.CONDITIONS,
    columns=(
        Column("Phase", field("status.phase"), description="A summary of the volume's conditions."),
        Column("Type", field("spec.type"), description="What it is made of."),
        Column("Size", volume.capacity, description="How much it can hold."),
        Column("Used", volume.used, description="How much of that is in use."),
        Column("Used-By", volume.used_by, description="The jobs whose runs have it."),
        Column("Message", condition("Ready", "message"), wide=True, description="What happened and what to do."),
    ),
    finalizer="runwright.dev/volume", problems_with_change=volume.problems_with_change,
)  # fmt: skip
VOLUME_SNAPSHOT = Kind(
    name="VolumeSnapshot", plural="volumesnapshots", short_names=("vs",), namespaced=True, type=VolumeSnapshot,
    conditions=volume_snapshot.CONDITIONS,
    columns=(
        Column("ReadyToUse", volume_snapshot.ready_to_use, description="Whether volumes can be made of it."),
        Column("SourceVolume", field("spec.source.volumeName"), description="What it is of."),
        Column("RestoreSize", field("status.restoreSize"), description="The least size of a volume made of it."),
        Column("Disk", volume_snapshot.disk, description="How much of the host's disk it takes."),
        Column("CreationTime", field("status.creationTime"), ago=True, description="How long ago it was taken."),
        Column("Message", condition("Ready", "message"), wide=True, description="What happened and what to do."),
    ),
    finalizer="runwright.dev/volumesnapshot", problems_with_change=volume_snapshot.problems_with_change,
)  # fmt: skip
NETWORK = Kind(
    name="Network", plural="networks", short_names=("net",), namespaced=True, type=Network,
    conditions=network.CONDITIONS,
    columns=(
        Column("Ready", condition("Ready", "status"), description="Whether jobs can be in it."),
        Column("Reason", condition("Ready", "reason"), description="Why it is, or is not, ready."),
        Column("CIDR", field("status.cidr"), description="Its addresses."),
        Column("Egress", network.egress, description="What its jobs reach outside of it."),
        Column("IPv6-CIDR", field("status.ipv6Cidr"), wide=True, description="Its addresses of IPv6."),
        Column("Refused", field("status.refused"), wide=True, description="What its jobs tried and may not reach."),
        Column("Bridge", field("status.bridge"), wide=True, description="Its link on the host."),
    ),
    finalizer="runwright.dev/network", problems_with_change=network.problems_with_change,
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


RESOURCE_QUOTA = Kind(
    name="ResourceQuota", plural="resourcequotas", short_names=("quota",), namespaced=True, type=ResourceQuota,
    columns=(
        Column("Used", resource_quota.used, description="What is used, of how much."),
        Column("Scopes", resource_quota.scopes, wide=True, description="Of which jobs it is."),
    ),
    group="", version="v1", categories=(),
    problems_with_change=resource_quota.problems_with_change,
)  # fmt: skip
PRIORITY_CLASS = Kind(
    name="PriorityClass", plural="priorityclasses", short_names=("pc",), namespaced=False, type=PriorityClass,
    columns=(
        Column("Value", field("value"), description="Jobs of a higher value come first."),
        Column("Global-Default", lambda document: str(document.get("globalDefault", False)).lower(),
               description="Whether it is the class of jobs that name none."),
        Column("PreemptionPolicy", field("preemptionPolicy"), wide=True, description="Whether its jobs may preempt."),
    ),
    group=SCHEDULING_GROUP, version="v1", has_status=False, categories=(),
    problems_with_change=priority_class.problems_with_change,
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
