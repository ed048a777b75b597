"""What the host's owner lets jobs ask for, and wants them to have: the policy, as data, and its judgement. Pure.

It is asked when a job is written, and again before each of its runs is begun: for a policy may be changed after a job
was stored. Never here: where it is read from (`daemon.settings`), and how it is enforced (the sandbox).
Invariant: what the policy does not allow is not run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from api.errors import Cause
from api.types.job_network import HOST
from api.types.job_security import SecurityProfile
from api.types.job_spec import JobSpec

ANY_NAMESPACE = "*"
ANY_CLASS = "*"
_LOW_PORTS = "NET_BIND_SERVICE"
REQUIRABLE = ("cpu", "memory", "pids", "ephemeral-storage", "activeDeadlineSeconds")
"""The limits that a job can be made to set itself."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What jobs may, by the names of the settings that say so."""

    minimum_profile: str = "strict"
    baseline_namespaces: frozenset[str] = frozenset()
    capabilities: Mapping[str, frozenset[str]] = field(default_factory=dict)  # By namespace.
    required_limits: tuple[str, ...] = ()
    require_landlock: bool = False
    priority_classes: Mapping[str, frozenset[str]] = field(
        default_factory=lambda: {ANY_NAMESPACE: frozenset(ANY_CLASS)}
    )
    host_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # Directories, by namespace.
    host_network: frozenset[str] = frozenset()


def judge(policy: Policy, namespace: str, spec: JobSpec) -> list[Cause]:
    """Return what the policy does not allow a job of `namespace`: each with its field, the setting, and what to do."""
    return [
        Cause(path, "FieldValueForbidden", f"Forbidden: {why}")
        for path, why in (
            *_profile(policy, namespace, spec),
            *_capabilities(policy, namespace, spec),
            *_limits(policy, spec),
            *_priority(policy, namespace, spec),
            *_host_files(policy, namespace, spec),
            *_host_network(policy, namespace, spec),
        )
    ]


def why_not_here(policy: Policy, landlock_abi: int) -> str:
    """Return why this host cannot give any job what the policy wants for it; empty if it can."""
    if policy.require_landlock and landlock_abi == 0:
        return (
            "the setting policy.require_landlock is true, and this kernel has no Landlock: boot one that has it "
            "(lsm=landlock,…), or set it to false"
        )
    return ""


def _profile(policy: Policy, namespace: str, spec: JobSpec) -> Iterable[tuple[str, str]]:
    if spec.security_profile is SecurityProfile.STRICT or policy.minimum_profile == SecurityProfile.BASELINE:
        return
    if not {namespace, ANY_NAMESPACE} & policy.baseline_namespaces:
        yield (
            "spec.securityProfile",
            f'"{spec.security_profile}" is below the setting policy.minimum_profile, "{policy.minimum_profile}": '
            f"leave it out, or name the namespace {namespace} in policy.baseline_namespaces",
        )


def _capabilities(policy: Policy, namespace: str, spec: JobSpec) -> Iterable[tuple[str, str]]:
    nobody = frozenset[str]()
    allowed = policy.capabilities.get(namespace, nobody) | policy.capabilities.get(ANY_NAMESPACE, nobody)
    for name in spec.security_context.added:
        if name not in allowed:
            yield (
                "spec.securityContext.capabilities.add",
                f'the setting policy.capabilities does not give "{name}" to the namespace {namespace}: '
                f"leave it out, or add it to policy.capabilities.{namespace}",
            )


def _priority(policy: Policy, namespace: str, spec: JobSpec) -> Iterable[tuple[str, str]]:
    nobody = frozenset[str]()
    given, name = policy.priority_classes, spec.priority_class_name
    allowed = given.get(namespace, nobody) | given.get(ANY_NAMESPACE, nobody)
    if name and not {name, ANY_CLASS} & allowed:
        yield (
            "spec.priorityClassName",
            f'the setting policy.priority_classes does not give "{name}" to the namespace {namespace}: '
            f"leave it out, or add it to policy.priority_classes.{namespace}",
        )


def host_directory(allowed: Mapping[str, tuple[str, ...]], namespace: str, path: str) -> str:
    """Return the directory that `allowed` gives a namespace, and that `path` is or is below of; empty if none is.

    >>> allowed = {"*": ("/srv/models",), "team": ("/srv/models/own",)}
    >>> host_directory(allowed, "team", "/srv/models/own/a"), host_directory(allowed, "x", "/srv/models-2/a")
    ('/srv/models/own', '')
    """
    named = (*allowed.get(namespace, ()), *allowed.get(ANY_NAMESPACE, ()))
    found = [place for place in named if path == place or path.startswith(f"{place}/")]
    return max(found, key=len, default="")


def _host_files(policy: Policy, namespace: str, spec: JobSpec) -> Iterable[tuple[str, str]]:
    for index, file in enumerate(spec.files):
        if file.host_path is not None and not host_directory(policy.host_files, namespace, file.host_path):
            yield (
                f"spec.files[{index}].hostPath",
                f"the setting policy.host_files gives the namespace {namespace} nothing at {file.host_path}: "
                f"upload it (rnx job run --upload), or add its directory to policy.host_files.{namespace}",
            )


def _host_network(policy: Policy, namespace: str, spec: JobSpec) -> Iterable[tuple[str, str]]:
    if spec.network is None or spec.network.name != HOST:
        return
    if not {namespace, ANY_NAMESPACE} & policy.host_network:
        yield (
            "spec.network.name",
            f"the setting policy.host_network does not give the host's own network to the namespace {namespace}: "
            f"use bridge, with ports for what is to be reached, or name the namespace in policy.host_network",
        )
    elif _LOW_PORTS in spec.security_context.added:
        yield (
            "spec.securityContext.capabilities.add",
            f"{_LOW_PORTS} gives no port of the host's own network: leave it out, or use bridge, with ports",
        )


def _limits(policy: Policy, spec: JobSpec) -> Iterable[tuple[str, str]]:
    limits = spec.resources.limits
    have = {
        "cpu": ("spec.resources.limits.cpu", limits.cpu),
        "memory": ("spec.resources.limits.memory", limits.memory),
        "pids": ("spec.resources.limits.pids", limits.pids),
        "ephemeral-storage": ("spec.resources.limits.ephemeral-storage", limits.ephemeral_storage),
        "activeDeadlineSeconds": ("spec.activeDeadlineSeconds", spec.active_deadline_seconds),
    }
    for name in policy.required_limits:
        path, value = have[name]
        if value is None:
            yield path, f'the setting policy.required_limits has "{name}": set it'
