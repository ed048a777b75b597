"""A file that `rnx workflow run` is given: a Workflow as one would apply it, or Joblet's own format.

Here: reading it, and the files of this machine that its jobs take along, which lie beside it or below. What Joblet's
format means is in `joblet_workflow.py`. Invariant: everything is read and checked before anything is sent.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from api.cli import files, uploads
from api.cli.joblet_workflow import BadWorkflow, Converted, convert, is_one, name_of
from api.cli.problems import CommandFailed
from api.kinds import WORKFLOW

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_RANDOM = 5


def read(path: str, name: str) -> Converted:
    """Return what a file comes to, as the workflow `name`; if that is empty the file's own name and five letters.

    Raises:
        CommandFailed: it cannot be read, or is no workflow.
    """
    found = list(files.read((path,), recursive=False))
    if bad := next((each for each in found if isinstance(each, files.BadManifest)), None):
        raise CommandFailed(str(bad))
    manifests = [each for each in found if isinstance(each, files.Manifest)]
    if len(manifests) != 1:
        raise CommandFailed(f"cannot run {path}: it holds {len(manifests)} documents: a workflow is one")
    manifest = manifests[0]
    if not is_one(manifest.document):
        return _declared(path, manifest, name)
    try:
        said = _texts(manifest.node)
        stem = "workflow" if path == "-" else Path(path).stem
        wanted = name or f"{name_of(said, stem, room=_RANDOM + 1)}-{_random()}"
        return convert(said, wanted, lambda names: _files(Path(path).parent, names))
    except BadWorkflow as error:
        raise CommandFailed(f"cannot run {path}: {error}") from None


def _declared(path: str, manifest: files.Manifest, name: str) -> Converted:
    """Return a Workflow that is written as one would apply it."""
    document = manifest.document
    metadata = document.get("metadata")
    if (document.get("apiVersion"), document.get("kind")) != (WORKFLOW.api_version, WORKFLOW.name):
        why = "it is neither a Workflow nor a workflow as Joblet writes them, which has jobs at its top"
        raise CommandFailed(f"cannot run {path}: {why}")
    metadata = metadata if isinstance(metadata, dict) else {}
    wanted = name or metadata.get("name") or f"workflow-{_random()}"
    return Converted(document | {"metadata": metadata | {"name": wanted}}, {}, ())


def _random() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))


def _files(directory: Path, names: Sequence[str]) -> list[Any]:
    """Return the files of a job, which are named as they lie beside the workflow's file, and nowhere else.

    Who was given the file by somebody else does not hand out files of their own by running it. Raises BadUpload.
    """
    root = directory.resolve()
    plain: list[str] = []
    directories: list[str] = []
    for name in names:
        path = directory / name
        if Path(name).is_absolute() or not path.resolve().is_relative_to(root):
            raise uploads.BadUpload(f"{name} is not below {directory}, where the file is: copy it there")
        (directories if path.is_dir() else plain).append(str(path))
    return uploads.files_of(plain, directories)


def _texts(node: yaml.Node) -> Any:
    """Return what a YAML node says with every scalar as it is written; its size was checked when it was read."""
    if isinstance(node, yaml.ScalarNode):
        return "" if node.tag == "tag:yaml.org,2002:null" else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_texts(each) for each in node.value]
    merged: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in node.value:
        if key.value == "<<" and not key.style:
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                merged = _texts(each) | merged
        else:
            own[str(key.value)] = _texts(value)
    return merged | own
