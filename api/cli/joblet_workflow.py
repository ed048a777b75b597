"""Joblet's workflow files made into Workflow objects, and a Secret of what in them is secret.

Pure but for the files that jobs take along, which the caller reads. Every text of a file is taken as it is written:
`3.10` stays that. Invariant: what is not understood is refused with its place; nothing is left out silently.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.cli import limits
from api.cli.uploads import BadUpload
from api.meta import API_VERSION, Document
from api.types.workflow import LONGEST_JOB_NAME
from api.workflows import expressions, templating

_TOP = ("version", "name", "description", "jobs", "environment", "secret_environment")
_JOB = (
    "command", "args", "runtime", "network", "uploads", "volumes", "requires", "resources", "environment",
    "secret_environment",
)  # fmt: skip
_RESOURCES = ("max_cpu", "max_memory", "max_io_bps", "cpu_cores", "gpu_count", "gpu_memory_mb")
_UNLIMITED = ("", "0")
_CONDITIONS = {
    "completed": "Complete",
    "complete": "Complete",
    "failed": "Failed",
    "finished": "Finished",
    "skipped": "Skipped",
}

ReadFiles = Callable[[Sequence[str]], list[Document]]
"""Reads the files that a job takes along. Raises BadUpload."""


class BadWorkflow(Exception):
    """A file is no workflow that can be run; the message says where and what to write."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A Workflow, the values that the Secret of its name has to have, and what to tell its reader."""

    workflow: Document
    secrets: Mapping[str, str]
    notes: tuple[str, ...]

    def secret(self, owner_uid: str = "") -> Document:
        """Return the Secret, which goes with the workflow of that uid."""
        name = self.workflow["metadata"]["name"]
        metadata: Document = {"name": name}
        if owner_uid:
            owner = {"apiVersion": API_VERSION, "kind": "Workflow", "name": name, "uid": owner_uid}
            metadata["ownerReferences"] = [owner]
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(self.secrets)}


@dataclass(slots=True)
class _Job:
    """One job while it is read: where it is in the file, and what is found on the way."""

    name: str
    workflow: str
    place: str
    said: Mapping[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def is_one(document: object) -> bool:
    """Whether a document is a workflow as Joblet writes them, and no object."""
    if not isinstance(document, dict) or "apiVersion" in document or "kind" in document:
        return False
    return isinstance(document.get("jobs"), dict)


def name_of(document: Mapping[str, Any], stem: str, room: int = 0) -> str:
    """Return the name that a file has for its workflow, else its `stem`; `room` is left for more after it.

    It is short enough for the names of its jobs, which begin with it.
    """
    longest = max((len(slug(name)) for name in _mapping(document.get("jobs"), "jobs")), default=0)
    name = slug(str(document.get("name") or stem)) or "workflow"
    return name[: max(1, LONGEST_JOB_NAME - 1 - longest - room)].strip("-") or "w"


def convert(document: Mapping[str, Any], name: str, read_files: ReadFiles) -> Converted:
    """Return what a file's `document` comes to, whose every scalar is text, as the workflow `name`.

    Raises:
        BadWorkflow: it cannot be run.
    """
    _check_keys(document, _TOP, "")
    said = _mapping(document.get("jobs"), "jobs")
    if not said:
        raise BadWorkflow("jobs: there is none: name at least one")
    names = _names(said)
    common = [_texts(document.get(key), key) for key in ("environment", "secret_environment")]
    jobs: Document = {}
    secrets: dict[str, str] = {}
    notes: list[str] = []
    for told, about in said.items():
        job = _Job(names[told], name, f"jobs.{told}", _mapping(about, f"jobs.{told}"))
        jobs[job.name] = _job(job, names, common, read_files)
        secrets |= job.secrets
        notes += job.notes
    spec: Document = {"jobs": jobs}
    spec |= {"description": str(document["description"])} if document.get("description") else {}
    workflow = {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": {"name": name}, "spec": spec}
    return Converted(workflow, secrets, tuple(notes))


def slug(text: str) -> str:
    """Return a text as part of an object's name.

    >>> slug("My_Data pipeline!")
    'my-data-pipeline'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _names(said: Mapping[str, Any]) -> dict[str, str]:
    """Return the name in the Workflow of each job in the file: lower case, with - for what no name may have."""
    names: dict[str, str] = {}
    for name in said:
        new = slug(name)
        if not new or len(new) > LONGEST_JOB_NAME:
            raise BadWorkflow(f'jobs: "{name[:70]}" is no name for a job: use letters, digits and -')
        if other := next((old for old, taken in names.items() if taken == new), None):
            raise BadWorkflow(f'jobs: "{other}" and "{name}" would both be called {new}: rename one of them')
        names[name] = new
    return names


def _job(job: _Job, names: Mapping[str, str], common: list[dict[str, str]], read_files: ReadFiles) -> Document:
    _check_keys(job.said, _JOB, f"{job.place}.")
    spec: Document = {"command": _command(job), "backoffLimit": 0}
    spec |= {"runtime": job.said["runtime"]} if job.said.get("runtime") else {}
    spec |= {"network": {"name": job.said["network"]}} if job.said.get("network") else {}
    if volumes := _list(job.said.get("volumes"), f"{job.place}.volumes"):
        spec["volumeMounts"] = [{"name": name} for name in volumes]
    uploads = _mapping(job.said.get("uploads"), f"{job.place}.uploads")
    _check_keys(uploads, ("files",), f"{job.place}.uploads.")
    if files := _list(uploads.get("files"), f"{job.place}.uploads.files"):
        spec["files"] = _files(job, files, read_files)
    spec |= _resources(job)
    spec |= _environment(job, common)
    return _requires(job, names) | {"template": {"spec": spec}}


def _files(job: _Job, names: list[str], read_files: ReadFiles) -> list[Document]:
    try:
        return read_files(names)
    except BadUpload as error:
        raise BadWorkflow(f"{job.place}.uploads.files: {error}") from None


def _command(job: _Job) -> list[str]:
    command = job.said.get("command") or ""
    if not isinstance(command, str) or not command:
        raise BadWorkflow(f"{job.place}.command: it has none: name the program to run")
    if any(letter.isspace() for letter in command):
        raise BadWorkflow(f'{job.place}.command: "{command}" has spaces: put what follows the program into args')
    return [command, *_list(job.said.get("args"), f"{job.place}.args")]


def _requires(job: _Job, names: Mapping[str, str]) -> Document:
    """Read all forms: a list of names, of NAME: OUTCOME, and of expression: TEXT; or one mapping of them."""
    said = job.said.get("requires") or []
    place = f"{job.place}.requires"
    pairs: list[tuple[str, str]] = []
    for each in [said] if isinstance(said, str | dict) else _any_list(said, place):
        pairs += [(each, "COMPLETED")] if isinstance(each, str) else list(_texts(each, place).items())
    found: Document = {}
    for name, outcome in pairs:
        if name != "expression":
            known = _known(name, names, place)
            condition = _CONDITIONS.get(outcome.lower())
            if condition is None:
                raise BadWorkflow(f'{place}: "{outcome}" is no way for a job to end: use COMPLETED, FAILED or FINISHED')
            found.setdefault("requires", []).append({"job": known, "condition": condition})
    texts = [_expression(text, names, place) for name, text in pairs if name == "expression"]
    if texts:
        found["expression"] = texts[0] if len(texts) == 1 else " AND ".join(f"({text})" for text in texts)
    return found


def _expression(text: str, names: Mapping[str, str], place: str) -> str:
    try:
        return expressions.write(expressions.parse(text), lambda name: _known(name, names, place))
    except expressions.BadExpression as error:
        raise BadWorkflow(f'{place}: the expression "{text[:200]}" {error}') from None


def _known(name: str, names: Mapping[str, str], place: str) -> str:
    if name not in names:
        raise BadWorkflow(f'{place}: there is no job "{name}": there are {", ".join(list(names)[:20])}')
    return names[name]


def _resources(job: _Job) -> Document:
    place = f"{job.place}.resources"
    said = {key: text for key, text in _texts(job.said.get("resources"), place).items() if text not in _UNLIMITED}
    _check_keys(said, _RESOURCES, f"{place}.")
    if "gpu_memory_mb" in said:
        raise BadWorkflow(f"{place}.gpu_memory_mb: a job gets whole GPUs: leave it out, and say gpu_count")
    wanted: Document = {}
    if "max_cpu" in said:
        wanted["cpu"] = _read(
            lambda text: limits.cpu(text.removesuffix("%") + "%"), said["max_cpu"], f"{place}.max_cpu"
        )
        job.notes.append(f"{job.name}: max_cpu {said['max_cpu']} is percent of one core, as in Joblet: {wanted['cpu']}")
    if "max_memory" in said:
        wanted["memory"] = _read(limits.memory, said["max_memory"], f"{place}.max_memory")
    if "max_io_bps" in said:
        rate = _read(limits.io_rate, said["max_io_bps"], f"{place}.max_io_bps")
        wanted["io"] = {"readBytesPerSecond": rate, "writeBytesPerSecond": rate}
    if "gpu_count" in said:
        kind, count = _read(limits.gpus, said["gpu_count"], f"{place}.gpu_count")
        wanted[kind] = count
    found: Document = {"limits": wanted} if wanted else {}
    if "cpu_cores" in said:
        found["cpuSet"] = _read(limits.cpu_set, said["cpu_cores"], f"{place}.cpu_cores")
    return {"resources": found} if found else {}


def _read(read: Callable[[str], Any], text: str, place: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise BadWorkflow(f"{place}: {error}") from None


def _environment(job: _Job, common: list[dict[str, str]]) -> Document:
    plain = common[0] | _texts(job.said.get("environment"), f"{job.place}.environment")
    hidden = common[1] | _texts(job.said.get("secret_environment"), f"{job.place}.secret_environment")
    if twice := sorted(plain.keys() & hidden.keys()):
        raise BadWorkflow(f"{job.place}: {twice[0]} is in environment and in secret_environment: take one out")
    variables = plain | hidden
    try:
        values = templating.resolved(variables)
    except templating.BadTemplate as error:
        raise BadWorkflow(f"{job.place}.environment: {error}") from None
    secret = templating.secrets(variables, hidden.keys())
    env: list[Document] = []
    for name, value in values.items():
        if name not in secret:
            env.append({"name": name, "value": value})
            continue
        key = f"{job.name}.{name}"
        job.secrets[key] = value
        env.append({"name": name, "valueFrom": {"secretKeyRef": {"name": job.workflow, "key": key}}})
    return {"env": env} if env else {}


def _check_keys(said: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    for key in said:
        if key not in known:
            raise BadWorkflow(f"{place}{key}: there is no such key: there are {', '.join(known)}")


def _mapping(said: Any, place: str) -> dict[str, Any]:
    if said in (None, ""):
        return {}
    if not isinstance(said, dict):
        raise BadWorkflow(f"{place}: must be a mapping")
    return said


def _texts(said: Any, place: str) -> dict[str, str]:
    found = _mapping(said, place)
    for key, value in found.items():
        if not isinstance(value, str):
            raise BadWorkflow(f"{place}.{key}: must be a text")
    return found


def _any_list(said: Any, place: str) -> list[Any]:
    if said in (None, ""):
        return []
    if not isinstance(said, list):
        raise BadWorkflow(f"{place}: must be a list")
    return said


def _list(said: Any, place: str) -> list[str]:
    found = _any_list(said, place)
    if not all(isinstance(each, str) for each in found):
        raise BadWorkflow(f"{place}: must be a list of texts")
    return found
