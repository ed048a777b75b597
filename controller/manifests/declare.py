"""What a reading declares: which object, by whom, from which line; and what is nobody's to prune. Pure.

Of an object that is declared twice the first, by file and line, counts. Never here: the store.
"""

import hashlib
import json
import re
from dataclasses import dataclass

from api.errors import BadRequest
from api.kinds import EVENT, NAMESPACE, PRIORITY_CLASS, REGISTRY, RUNTIME, Kind
from api.meta import Document, ObjectKey
from api.objects import admission
from controller.manifests.documents import Parsed
from controller.manifests.sources import FORCE_ANNOTATION, Entry, Problem, Reading, Source

_DEFAULT_NAMESPACE = "default"
_FIRST = (NAMESPACE.name, PRIORITY_CLASS.name, REGISTRY.name, RUNTIME.name)  # What others need comes before them.


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """One object that a source declares; `document` is what to apply."""

    key: ObjectKey
    kind: Kind
    source: Source
    entry: Entry
    parsed: Parsed
    document: Document
    digest: str
    is_forced: bool

    @property
    def place(self) -> str:
        """File and line, as errors begin."""
        return f"{self.entry.place}:{self.parsed.line}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """An entry, or a document of it, that declares nothing; `message` begins with file and line."""

    source: Source
    file: str
    line: int
    message: str
    key: ObjectKey | None = None
    is_unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """All that a reading says, in the order in which to apply it; `unclear` entries may say more."""

    wanted: tuple[Wanted, ...]
    mistakes: tuple[Mistake, ...]
    unclear: tuple[Entry, ...]


def declared(reading: Reading) -> Declared:
    """Return what `reading` declares."""
    wanted: dict[tuple[Source, ObjectKey], Wanted] = {}
    mistakes, unclear = [], []
    for entry in reading.entries:
        found = [_problem(entry)] if entry.problem is not None else [_read(entry, parsed) for parsed in entry.documents]
        if any(isinstance(one, Mistake) for one in found):
            unclear.append(entry)
        for one in found:
            if isinstance(one, Wanted) and (first := wanted.setdefault((one.source, one.key), one)) is not one:
                one = _twice(one, first)
            if isinstance(one, Mistake):
                mistakes.append(one)
    return Declared(tuple(sorted(wanted.values(), key=_rank)), tuple(mistakes), tuple(unclear))


def _problem(entry: Entry) -> Mistake:
    what = entry.problem or Problem("")
    return Mistake(entry.source, entry.name, what.line, what.message, None, what.is_unreadable)


def _twice(one: Wanted, first: Wanted) -> Mistake:
    message = f"{one.place}: {one.key} is declared in {first.place} already: remove one of them"
    return Mistake(one.source, one.entry.name, one.parsed.line, message, one.key)


def _rank(wanted: Wanted) -> int:
    name = wanted.kind.name
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _read(entry: Entry, parsed: Parsed) -> Wanted | Mistake:
    def mistake(message: str, field: str = "") -> Mistake:
        line = parsed.line_of(field)
        return Mistake(entry.source, entry.name, line, f"{entry.place}:{line}: {message}")

    document = parsed.document
    try:
        kind = admission.identify(document)
    except BadRequest as error:
        return mistake(error.message, "kind")
    if kind is EVENT:
        return mistake("events are recorded, not declared: remove it", "kind")
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str) or not name:
        return mistake(f"metadata.name: a declared {kind.name} needs a name, as text: write one", "metadata.name")
    namespace = metadata.get("namespace") or _DEFAULT_NAMESPACE
    if not isinstance(namespace, str):
        return mistake("metadata.namespace: must be text: quote it", "metadata.namespace")
    key = ObjectKey(kind.name, namespace if kind.namespaced else "", name)
    marked = _marked(document, entry)
    is_forced = _annotations(document).get(FORCE_ANNOTATION) == "true"
    return Wanted(key, kind, entry.source, entry, parsed, marked, _digest(marked), is_forced)


def _annotations(document: Document) -> Document:
    annotations = document["metadata"].get("annotations")
    return annotations if isinstance(annotations, dict) else {}


def _marked(document: Document, entry: Entry) -> Document:
    """Return the document with the annotation that says which file it came from."""
    metadata = document["metadata"]
    annotations = metadata.get("annotations")
    if annotations is not None and not isinstance(annotations, dict):
        return document  # It will be refused, and told why.
    marked = (annotations or {}) | {entry.source.annotation: entry.name}
    return document | {"metadata": metadata | {"annotations": marked}}


def _digest(document: Document) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def why_kept(reading: Reading, said: Declared, source: Source, key: ObjectKey, file: str) -> str:
    """Say why an object of `source` that nothing declares may not be pruned; empty if it may.

    `file` is the entry that it came from. What cannot be read, or made sense of, might still declare it.
    """
    if reading.keep_all:
        return reading.keep_all
    if reading.only is not None and source not in reading.only:
        return f"{source} has not written since the inbox was made anew"
    for entry in said.unclear:
        if entry.source == source and (entry.name == file or _mentions(entry.text, key.name)):
            return f"{entry.place} cannot be read"
    return ""


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"""name["']?\s*:\s*["']?{re.escape(name)}(?![-\w.])""", text) is not None
