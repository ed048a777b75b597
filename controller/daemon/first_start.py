"""What is made once, at the first start of a root, and left alone after: the Registry `default`."""

from pathlib import Path

from api.kinds import REGISTRY
from api.meta import API_VERSION
from api.objects.verbs import Verbs, WriteOptions
from controller.paths import Paths
from controller.settings import Settings

_MANAGER = "runwrightd"


def prepare(paths: Paths, verbs: Verbs, settings: Settings) -> None:
    """Make the Registry `default`, unless the settings say no or it was made before: who deletes it means it."""
    mark = _mark(paths)
    url = settings.runtime.default_registry
    if mark.exists() or not url:
        return
    document = {"apiVersion": API_VERSION, "kind": REGISTRY.name, "metadata": {"name": "default"}, "spec": {"url": url}}
    verbs.apply(REGISTRY, "", "default", document, WriteOptions(field_manager=_MANAGER))
    mark.touch()


def _mark(paths: Paths) -> Path:
    return paths.state / "default-registry-made"
