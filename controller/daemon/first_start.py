"""What is made once, at the first start of a root, and left alone after: the Registry `default`."""

from pathlib import Path

from api.kinds import REGISTRY
from api.meta import API_VERSION
from api.objects.verbs import Verbs, WriteOptions
from controller.daemon.paths import Paths
from controller.daemon.settings import Settings

_MANAGER = "runwrightd"
_PRIORITY = -100  # Behind every registry that somebody declares: they may offer the same names.


def prepare(paths: Paths, verbs: Verbs, settings: Settings) -> None:
    """Make the Registry `default`, unless the settings say no or it was made before: who deletes it means it."""
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
