"""What is served: versions, groups and resources, in the form that every client reads. Pure.

Source: Kubernetes API concepts, "Discovery API", the unaggregated form.
"""

import platform
from collections.abc import Iterable

from api.http import metrics_group
from api.http.resources import subresources
from api.kinds import Kind
from api.meta import GROUP, VERSION, Document
from api.objects.projections import Pods, Source, Stored

_MINOR = "32"
"""The Kubernetes minor version whose protocol this is; some kubectl installations choose by it."""

_ALL_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SUBRESOURCE_VERBS = {"status": ["get", "patch", "update"], "log": ["get"], "explain": ["get"], "catalogue": ["get"]}
_POD_VERBS = {"attach": ["create", "get"], "exec": ["create", "get"], "files": ["get", "update"]}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def version(own: str) -> Document:
    """Return the version as Kubernetes' servers say it, and in it our `own`."""
    machine = platform.machine()
    return {
        "major": "1",
        "minor": _MINOR,
        "gitVersion": f"v1.{_MINOR}.0+runwright.{own}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{_ARCHITECTURES.get(machine, machine)}",
    }


def core_versions() -> Document:
    """Return the versions of the core group."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups() -> Document:
    """Return the named groups."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(), metrics_group.group()]}


def group(name: str) -> Document | None:
    """Return one named group, if it is served."""
    known = {GROUP: _group(), metrics_group.GROUP: metrics_group.group()}.get(name)
    return {"kind": "APIGroup", "apiVersion": "v1"} | known if known else None


def _group() -> Document:
    version_ = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
    return {"name": GROUP, "versions": [version_], "preferredVersion": version_}


def resources(group_: str, version_: str, sources: Iterable[Source]) -> Document | None:
    """Return the resources of a group and version, if it is served."""
    if (group_, version_) == (metrics_group.GROUP, metrics_group.VERSION):
        return metrics_group.resources()
    served = [source for source in sources if (source.kind.group, source.kind.version) == (group_, version_)]
    if not served:
        return None
    listed = [entry for source in served for entry in _entries(source)]
    name = f"{group_}/{version_}" if group_ else version_
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": listed}


def _entries(source: Source) -> list[Document]:
    kind = source.kind
    entry = _entry(kind, kind.plural, _verbs(source)) | {"singularName": kind.singular}
    entry |= {"shortNames": list(kind.short_names)} if kind.short_names else {}
    entry |= {"categories": list(kind.categories)} if kind.categories else {}
    below = [_entry(kind, f"{kind.plural}/{name}", _subresource_verbs(source, name)) for name in subresources(source)]
    return [entry, *below]


def _entry(kind: Kind, name: str, verbs: list[str]) -> Document:
    return {"name": name, "singularName": "", "namespaced": kind.namespaced, "kind": kind.name, "verbs": verbs}


def _verbs(source: Source) -> list[str]:
    if isinstance(source, Stored):
        return _ALL_VERBS
    return ["get", "list", "watch"] if source.followed else ["get", "list"]


def _subresource_verbs(source: Source, name: str) -> list[str]:
    return _POD_VERBS.get(name, ["get"]) if isinstance(source, Pods) else _SUBRESOURCE_VERBS[name]
