"""What the references of a job stand for: values out of Secrets and ConfigMaps, looked up when a run starts.

Here: which objects a job refers to, and the job with their values in place of its references. Never here: how the
objects are read, nor where values go after that (`act.py`, `run_dirs.py`).
Invariant: no message says a value, only names and keys; and a job that lacks something it refers to is not resolved.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import TypeAlias

from pydantic import ValidationError

from api.errors import ApiError
from api.kinds import CONFIG_MAP, SECRET
from api.meta import Document, ObjectKey
from api.types.job import Job
from api.types.job_file import FILES_MOST_BYTES, JobFile
from api.types.job_spec import ENV_NAME, LONGEST_WORD_BYTES, RESERVED_ENV_PREFIX, EnvVar
from api.types.references import EnvFromSource, EnvVarSource, KeySelector, ObjectSelector

ENV_MOST_BYTES = 1 << 20
"""Of all variables together: a command that has more may not start. Source: execve(2), "Limits on size"."""

Look: TypeAlias = Callable[[ObjectKey], Document | None]


class Unresolved(Exception):
    """Something that the job refers to is not there, or cannot be used so; the message names it, and no value."""


def any_of(job: Job) -> bool:
    """Whether the job refers to anything."""
    spec = job.spec
    return bool(spec.env_from) or any(v.value_from for v in spec.env) or any(map(_file_key, spec.files))


def refers(job: Document, key: ObjectKey) -> bool:
    """Whether a job, as stored, refers to the Secret or ConfigMap `key`."""
    spec = job["spec"]
    if not (spec.get("envFrom") or spec.get("env") or spec.get("files")):
        return False
    try:
        return key in _keys(Job.model_validate(job))
    except ValidationError:
        return False  # It was stored by another version; when it is looked at, it says itself that it cannot be read.


def problem(job: Job, look: Look) -> str:
    """Return why the references of the job cannot be resolved now; empty if they can."""
    try:
        resolve(job, look)
    except Unresolved as error:
        return str(error)
    return ""


def resolve(job: Job, look: Look) -> Job:
    """Return the job with values in place of its references, files that are left out left out. Keep it in memory.

    Raises:
        Unresolved: something is missing, or what is there cannot be a variable or a file.
    """
    if not any_of(job):
        return job
    found = _Finder(job.meta.namespace, look)
    env = _environment(job, found)
    files = tuple(file for each in job.spec.files if (file := _file(each, found)) is not None)
    size = sum(len(file.content) for file in files)
    if size > FILES_MOST_BYTES:
        raise Unresolved(f"spec.files have {size} bytes together, at most {FILES_MOST_BYTES} can be given to a run")
    spec = job.spec.model_copy(update={"env": env, "env_from": (), "files": files})
    return job.model_copy(update={"spec": spec})


def _keys(job: Job) -> Iterator[ObjectKey]:
    namespace = job.meta.namespace
    for source in job.spec.env_from:
        kind, selector = _whole(source)
        yield ObjectKey(kind, namespace, selector.name)
    for variable in job.spec.env:
        if variable.value_from is not None:
            kind, key = _one(variable.value_from)
            yield ObjectKey(kind, namespace, key.name)
    for file in job.spec.files:
        if (found := _file_key(file)) is not None:
            yield ObjectKey(found[0], namespace, found[1].name)


def _whole(source: EnvFromSource) -> tuple[str, ObjectSelector]:
    both = ((SECRET.name, source.secret_ref), (CONFIG_MAP.name, source.config_map_ref))
    return next((kind, selector) for kind, selector in both if selector is not None)


def _one(source: EnvVarSource) -> tuple[str, KeySelector]:
    both = ((SECRET.name, source.secret_key_ref), (CONFIG_MAP.name, source.config_map_key_ref))
    return next((kind, selector) for kind, selector in both if selector is not None)


def _file_key(file: JobFile) -> tuple[str, KeySelector] | None:
    if file.secret_key_ref is not None:
        return SECRET.name, file.secret_key_ref
    return None if file.config_map_key_ref is None else (CONFIG_MAP.name, file.config_map_key_ref)


class _Finder:
    """Looks each object up once, so that all values of a run are of one version of it."""

    def __init__(self, namespace: str, look: Look) -> None:
        self._namespace = namespace
        self._look = look
        self._seen: dict[ObjectKey, Document | None] = {}

    def whole(self, kind: str, name: str, *, optional: bool) -> dict[str, bytes] | None:
        key = ObjectKey(kind, self._namespace, name)
        if key not in self._seen:
            try:
                self._seen[key] = self._look(key)
            except ApiError as error:
                raise Unresolved(error.message) from error
        found = self._seen[key]
        if found is None and not optional:
            raise Unresolved(f'{kind} "{name}" not found in namespace {self._namespace}: create it')
        return None if found is None else _values(kind, found)

    def one(self, kind: str, selector: KeySelector) -> bytes | None:
        values = self.whole(kind, selector.name, optional=bool(selector.optional))
        value = None if values is None else values.get(selector.key)
        if value is None and not selector.optional:
            have = f'{kind} "{selector.name}" in namespace {self._namespace}'
            raise Unresolved(f'couldn\'t find key "{selector.key}" in {have}: add it')
        return value


def _values(kind: str, document: Document) -> dict[str, bytes]:
    if kind == SECRET.name:
        return {key: _decoded(value) for key, value in document.get("data", {}).items()}
    texts = {key: text.encode() for key, text in document.get("data", {}).items()}
    return texts | {key: _decoded(value) for key, value in document.get("binaryData", {}).items()}


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except (binascii.Error, ValueError):
        return b""  # Admission lets none of these in.


def _environment(job: Job, found: _Finder) -> tuple[EnvVar, ...]:
    merged: dict[str, str] = {}
    for source in job.spec.env_from:
        merged |= _variables_of(source, found)
    for variable in job.spec.env:
        if variable.value_from is None:
            merged[variable.name] = variable.value
            continue
        kind, selector = _one(variable.value_from)
        value = found.one(kind, selector)
        if value is not None:
            merged[variable.name] = _as_text(value, variable.name, kind, selector.name, selector.key)
    size = sum(len(name) + len(text.encode()) + 2 for name, text in merged.items())
    if size > ENV_MOST_BYTES:
        raise Unresolved(f"the variables have {size} bytes together, at most {ENV_MOST_BYTES} can be given to a run")
    return tuple(EnvVar.model_construct(name=name, value=text, value_from=None) for name, text in merged.items())


def _variables_of(source: EnvFromSource, found: _Finder) -> dict[str, str]:
    kind, selector = _whole(source)
    values = found.whole(kind, selector.name, optional=bool(selector.optional)) or {}
    named = {source.prefix + key: key for key in values}
    return {
        name: _as_text(values[key], name, kind, selector.name, key)
        for name, key in named.items()
        if ENV_NAME.match(name) and not name.startswith(RESERVED_ENV_PREFIX)
    }


def _as_text(value: bytes, variable: str, kind: str, name: str, key: str) -> str:
    what = f'key "{key}" of {kind} "{name}" cannot be a variable'
    if b"\0" in value or len(variable.encode()) + len("=") + len(value) > LONGEST_WORD_BYTES:
        raise Unresolved(f"{what}: it has a NUL byte, or over 128 KiB with its name: use a file of spec.files")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Unresolved(f"{what}: it is not UTF-8: use a file of spec.files") from None


def _file(file: JobFile, found: _Finder) -> JobFile | None:
    selected = _file_key(file)
    if selected is None:
        return file
    content = found.one(*selected)
    if content is None:
        return None
    # The reference stays: it says that the content must not be on a disk.
    return file.model_copy(update={"base64": base64.b64encode(content).decode()})
