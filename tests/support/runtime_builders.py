"""Runtimes as plain data, for what decides about them; and `pretend`, what a step of theirs makes of a host.

`pretend` is a model of installing and removing: tests/unit/controller/runtime/test_kind.py does the real steps.
"""

from dataclasses import replace
from typing import Any

from api.meta import API_VERSION, Document
from api.types.runtime import Runtime
from controller.registry.catalogue import Entry
from controller.runtime.observed import ObservedRuntime, Tree, Wanted
from controller.runtime.plan import InstallVersions, RemoveVersion
from controller.runtime.sources.registry import Package
from controller.runtime.trees.origin import Origin

NAME = "python-3.11"


def a_runtime(*versions: str, deleting: bool = False, status: Document | None = None, **spec: Any) -> Runtime:
    """A Runtime as the store has it."""
    metadata: Document = {"name": NAME, "uid": "1", "generation": 1, "resourceVersion": "1"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    wanted = {"versions": list(versions), **spec}
    document = {"apiVersion": API_VERSION, "kind": "Runtime", "metadata": metadata, "spec": wanted}
    return Runtime.model_validate(document | {"status": status or {}})


def a_package_of(version: str) -> Package:
    entry = Entry(NAME, version, "x.tar.gz", "0" * 64, 100)
    return Package(entry, f"http://registry/{version}.tar.gz", "tests")


def a_tree_of(version: str, *, ours: bool = True, problem: str = "", path: str = "") -> Tree:
    origin = Origin(NAME, version, "tests", "http://x", "0" * 64, 100, 3, 300, "2026-01-02T03:04:05Z")
    return Tree(version, path or f"/runtimes/{NAME}-{version}", origin if ours else None, problem)


def there(version: str) -> Wanted:
    return Wanted(version, version)


def offered(version: str, asked: str = "") -> Wanted:
    return Wanted(asked or version, version, a_package_of(version))


def failed(version: str, reason: str = "ChecksumMismatch", retry_seconds: float | None = 4.0) -> Wanted:
    return Wanted(version, version, None, reason, f"cannot install {version}", retry_seconds)


def observed(*trees: Tree, wanted: tuple[Wanted, ...] = (), **fields: Any) -> ObservedRuntime:
    return ObservedRuntime(trees, wanted, **fields)


def pretend(host: ObservedRuntime, step: Any, fails: frozenset[str] = frozenset()) -> ObservedRuntime:
    """Return the host after `step`, given which versions cannot be installed."""
    match step:
        case InstallVersions(sources):
            for package in sources:
                if package.version not in fails:
                    host = _installed(host, package.version)
            return host
        case RemoveVersion(version):
            return replace(host, trees=tuple(t for t in host.trees if t.version != version or t.origin is None))
    raise AssertionError(f"no such step: {step!r}")


def _installed(host: ObservedRuntime, version: str) -> ObservedRuntime:
    others = tuple(t for t in host.trees if t.version != version or t.origin is None)
    return replace(host, trees=(*others, a_tree_of(version)))
