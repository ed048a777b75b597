"""What is made at the first start of a root and left alone after: the Registry `default`, and who has which role.

The roles themselves are brought back at each start, as Kubernetes does with its own.
"""

from pathlib import Path

from api.access import presets
from api.errors import NotFound
from api.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, REGISTRY
from api.meta import API_VERSION
from api.objects.verbs import Verbs, WriteOptions
from controller.daemon.paths import Paths
from controller.daemon.settings import Settings

_MANAGER = "runwrightd"
_PRIORITY = -100  # Behind every registry that somebody declares: they may offer the same names.


def prepare(paths: Paths, verbs: Verbs, settings: Settings) -> None:
    """Make the roles, who has them at first, and the Registry `default`: what was made before, no second time."""
    _roles(verbs)
    _bindings(paths, verbs)
    _registry(paths, verbs, settings)


def _roles(verbs: Verbs) -> None:
    options = WriteOptions(field_manager=_MANAGER, force=True)
    for role in presets.cluster_roles():
        name = role["metadata"]["name"]
        try:
            annotations = verbs.get(CLUSTER_ROLE, "", name)["metadata"].get("annotations") or {}
        except NotFound:
            annotations = {}
        if annotations.get(presets.AUTOUPDATE) != "false":
            verbs.apply(CLUSTER_ROLE, "", name, role, options)


def _bindings(paths: Paths, verbs: Verbs) -> None:
    mark = paths.state / "default-bindings-made"
    if mark.exists():
        return
    for binding in presets.cluster_role_bindings():
        verbs.apply(
            CLUSTER_ROLE_BINDING, "", binding["metadata"]["name"], binding, WriteOptions(field_manager=_MANAGER)
        )
    mark.touch()


def _registry(paths: Paths, verbs: Verbs, settings: Settings) -> None:
    mark = _mark(paths)
    url = settings.runtime.default_registry
    if mark.exists() or not url:
        return
    spec = {"url": url, "priority": _PRIORITY}
    document = {"apiVersion": API_VERSION, "kind": REGISTRY.name, "metadata": {"name": "default"}, "spec": spec}
    verbs.apply(REGISTRY, "", "default", document, WriteOptions(field_manager=_MANAGER))
    mark.touch()


def _mark(paths: Paths) -> Path:
    return paths.state / "default-registry-made"
