"""What is served: versions, groups and resources, plain for every client, and all at once for kubectl. Pure.

Source: Kubernetes API concepts, "Discovery API". Answers carry no ETag: a client that keeps the aggregated
form on disk takes the Content-Type of a 304 for that of what it kept, and loses every resource.
"""

import platform
from collections.abc import Sequence

from api.http.served import Served
from api.meta import Document

_MINOR = "32"
"""The Kubernetes minor version whose protocol this is; some kubectl installations choose by it."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_AGGREGATED = "apidiscovery.k8s.io"


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


def groups(served: Sequence[Served]) -> Document:
    """Return the named groups."""
    listed = [_group(name, served) for name in _names(served)]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(name: str, served: Sequence[Served]) -> Document | None:
    """Return one named group, if it is served."""
    if name not in _names(served):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, served)


def _names(served: Sequence[Served]) -> list[str]:
    """Return the named groups, in the order in which kinds stand in their table."""
    return list(dict.fromkeys(each.group for each in served if each.group))


def _versions(name: str, served: Sequence[Served]) -> list[str]:
    return list(dict.fromkeys(each.version for each in served if each.group == name))


def _group(name: str, served: Sequence[Served]) -> Document:
    versions = [{"groupVersion": f"{name}/{each}", "version": each} for each in _versions(name, served)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resources(group_: str, version_: str, served: Sequence[Served]) -> Document | None:
    """Return the resources of a group and version, if it is served."""
    here = [each for each in served if (each.group, each.version) == (group_, version_)]
    if not here:
        return None
    listed = [entry for each in here for entry in _entries(each)]
    name = f"{group_}/{version_}" if group_ else version_
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": listed}


def _entries(served: Served) -> list[Document]:
    kind = served.kind
    entry = _entry(served, kind.plural, served.verbs) | {"singularName": kind.singular} | _other_names(served)
    below = [_entry(served, f"{kind.plural}/{name}", verbs) for name, verbs in served.subresources]
    return [entry, *below]


def _entry(served: Served, name: str, verbs: Sequence[str]) -> Document:
    kind = served.kind
    return {"name": name, "singularName": "", "namespaced": kind.namespaced, "kind": kind.name, "verbs": list(verbs)}


def _other_names(served: Served) -> Document:
    kind = served.kind
    names: Document = {"shortNames": list(kind.short_names)} if kind.short_names else {}
    return names | ({"categories": list(kind.categories)} if kind.categories else {})


def aggregated(served: Sequence[Served], version_: str, *, is_core: bool) -> Document:
    """Return all resources of the core group, or of the named ones, in one answer; `version_` is the form's, v2."""
    names = [""] if is_core else _names(served)
    items = [_aggregated_group(name, served) for name in names]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{_AGGREGATED}/{version_}",
        "metadata": {},
        "items": items,
    }


def _aggregated_group(name: str, served: Sequence[Served]) -> Document:
    versions = []
    for version_ in _versions(name, served):
        here = [each for each in served if (each.group, each.version) == (name, version_)]
        found = {"version": version_, "freshness": "Current", "resources": [_aggregated(each) for each in here]}
        versions.append(found)
    return {"metadata": {"name": name, "creationTimestamp": None}, "versions": versions}


def _aggregated(served: Served) -> Document:
    kind = served.kind
    response = {"group": kind.group, "version": kind.version, "kind": kind.name}
    below = [
        {"subresource": name, "responseKind": response, "verbs": list(verbs)} for name, verbs in served.subresources
    ]
    resource = {
        "resource": kind.plural,
        "responseKind": response,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(served.verbs),
    }
    return resource | _other_names(served) | ({"subresources": below} if below else {})
