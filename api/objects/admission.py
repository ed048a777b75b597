"""What every object must pass before it is stored, whatever the way in.

Two stages. `receive` reads what was sent: TypeMeta, name and namespace, unknown fields pruned and
reported. `validate` judges the whole object to be stored, all causes at once. Pure.

Defaults are not written into the stored object: it holds what its writers said and nothing else, so
field ownership is exact, a field that is dropped again is back at its default, applying the same
manifest twice is no change, and reconcilers read defaults from the types.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import ValidationError

from api import kinds
from api.errors import About, BadRequest, Cause, Invalid, TooLarge
from api.kinds import Kind
from api.meta import Document
from api.nearest import did_you_mean, nearest
from api.objects import causes, managed_fields, names, shapes

MOST_BYTES = 3 << 19
"""1.5 MiB, what etcd lets one object have."""

_MOST_HINTS = 10
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _admit_all(_kind: Kind, _before: Document | None, _after: Document) -> None:
    """Let the daemon's own parts write what they do."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is to be done, and by whom.

    `admit` is given each object before it is stored, with what it was before, and raises if its sender may not make it.
    """

    field_manager: str = "unknown"
    dry_run: bool = False
    force: bool = False
    field_validation: str = "Warn"
    admit: Callable[[Kind, Document | None, Document], None] = _admit_all


@dataclass(frozen=True, slots=True)
class Admitted:
    """An object that may be stored, and what its sender should know."""

    document: Document
    warnings: tuple[str, ...] = ()


def about(kind: Kind, name: str) -> About:
    """Say which object an error is about, by its resource."""
    return About(kind.group, kind.plural, name)


RUN_WORKFLOW = (
    "it is a workflow as Joblet writes them, which is run each time anew: rnx workflow run FILE; with --print it says "
    "the objects that can be declared"
)


def about_kind(kind: Kind, name: str) -> About:
    """Say which object an error is about, by its Kind, as Invalid wants it."""
    return About(kind.group, kind.name, name)


def identify(document: object) -> Kind:
    """Return the kind that a document says it is.

    Raises:
        BadRequest: it is no object, says no kind, or says one that is not served here.
    """
    if not isinstance(document, dict):
        raise BadRequest("cannot read the object: it is not a mapping: write apiVersion, kind, metadata and spec")
    name, version = document.get("kind"), document.get("apiVersion")
    if name is None and version is None and isinstance(document.get("jobs"), dict):
        raise BadRequest(f"cannot read the object: {RUN_WORKFLOW}")
    if not isinstance(name, str) or not name:
        raise BadRequest("cannot read the object: it has no kind: write kind: Job, for example")
    if not isinstance(version, str) or not version:
        hint = f"write apiVersion: {kinds.JOB.api_version}"
        raise BadRequest(f"cannot read the {name[:60]}: it has no apiVersion: {hint}")
    served = [kind for kind in kinds.KINDS if kind.name == name]
    if not served:
        known = [kind.name for kind in kinds.KINDS]
        near = nearest(name[:60], known)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
        raise BadRequest(f'no matches for kind "{name[:60]}" in version "{version[:60]}": {hint}')
    if served[0].api_version != version:
        raise BadRequest(f'no matches for kind "{name}" in version "{version[:60]}": use {served[0].api_version}')
    return served[0]


def receive(
    kind: Kind, document: object, namespace: str, options: WriteOptions, name: str = "", live: Document | None = None
) -> Admitted:
    """Return what was sent, pruned, with TypeMeta and namespace filled in from the request.

    Unknown fields that `live` has too were stored by a newer version: the sender is not told of them.

    Raises:
        BadRequest: it is no object, or is not the object that the request is about; or it has
            unknown fields and the request wants that to be an error.
    """
    if not isinstance(document, dict):
        raise BadRequest(f"cannot read the {kind.name}: it is not an object")
    shapes.check_caps(document)
    _check_type_meta(kind, document)
    pruned, unknown = shapes.prune(document, shapes.of(kind.type))
    metadata = pruned.get("metadata", {})
    if not isinstance(metadata, dict):
        raise BadRequest(f"cannot read the {kind.name}: metadata is not an object")
    metadata = _placed(kind, metadata, namespace, name)
    if unknown and live is not None:
        old = set(shapes.prune(live, shapes.of(kind.type))[1])
        unknown = [path for path in unknown if path not in old]
    typed = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    received = kind.definition.fold(typed | {k: v for k, v in pruned.items() if k not in typed})
    if unknown and options.field_validation == "Strict":
        _refuse_unknown(kind, unknown, received)
    return Admitted(received, _warnings(kind, unknown, options.field_validation))


def _refuse_unknown(kind: Kind, unknown: Sequence[str], received: Document) -> NoReturn:
    """Refuse unknown fields, and say in the same breath what else is wrong, but for what is missing.

    A misspelt field is often a missing one too, and an applied part of an object may lack what the rest has.
    """
    others: list[Cause] = []
    try:
        validate(kind, received)
    except Invalid as error:
        others = [cause for cause in error.causes if cause.reason != "FieldValueRequired"]
    what = f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}'
    fields = ", ".join(_unknown(kind, unknown))
    rest = "".join(f"; {cause}" for cause in others)
    told = [
        Cause(path, "FieldValueInvalid", f"unknown field{_meant(kind, path, number)}")
        for number, path in enumerate(unknown)
    ]
    about = about_kind(kind, str(received["metadata"].get("name", "")))
    raise BadRequest(f"{what}: strict decoding error: {fields}{rest}", about, [*told, *others])


def _check_type_meta(kind: Kind, document: Mapping[str, Any]) -> None:
    for word, wanted, field in (("API version", kind.api_version, "apiVersion"), ("kind", kind.name, "kind")):
        sent = document.get(field)
        if sent not in (None, "", wanted):
            sent = str(sent)[:60]
            raise BadRequest(f"the {word} in the data ({sent}) does not match the expected {word} ({wanted})")


def _placed(kind: Kind, metadata: Document, namespace: str, name: str) -> Document:
    sent = metadata.get("namespace") or ""
    if kind.namespaced and sent and namespace and sent != namespace:
        what = "the namespace of the provided object does not match the namespace sent on the request"
        raise BadRequest(f"{what} ({str(sent)[:60]} is not {namespace})")
    sent_name = metadata.get("name") or ""
    if name and sent_name and sent_name != name:
        raise BadRequest(f"the name of the object ({str(sent_name)[:60]}) does not match the name on the URL ({name})")
    placed = {key: value for key, value in metadata.items() if key != "namespace"}
    if name:
        placed["name"] = name
    if kind.namespaced:
        placed["namespace"] = namespace or sent
    return placed


def _unknown(kind: Kind, paths: Iterable[str]) -> Iterator[str]:
    for number, path in enumerate(paths):
        yield f'unknown field "{path}"{_meant(kind, path, number)}'


def _meant(kind: Kind, path: str, number: int) -> str:
    """Return a hint at what the unknown field is to be; of many, for the first ones: it takes time to find."""
    if number >= _MOST_HINTS:
        return ""
    return did_you_mean(path.rpartition(".")[2], shapes.fields_beside(shapes.of(kind.type), path))


def _warnings(kind: Kind, unknown: Iterable[str], field_validation: str) -> tuple[str, ...]:
    match field_validation:
        case "Warn" | "":
            return tuple(_unknown(kind, unknown))
        case "Ignore" | "Strict":
            return ()
    raise Invalid(f'fieldValidation: Unsupported value: "{field_validation[:40]}": use Strict, Warn or Ignore')


def refuse_unreadable(kind: Kind, problems: Sequence[str]) -> None:
    """Refuse what was sent for its unknown or repeated fields, if there are any.

    Raises:
        BadRequest: there are.
    """
    if problems:
        what = f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}'
        raise BadRequest(f"{what}: strict decoding error: {', '.join(problems)}")


def validate(kind: Kind, document: Document) -> None:
    """Check a whole object: the fields of its type, its names, labels, size.

    Raises:
        Invalid: with every cause at once.
        TooLarge: it has more bytes than one object may have.
    """
    metadata = document["metadata"]
    name = metadata.get("name") or metadata.get("generateName") or ""
    text = _text(kind, document, name)
    found = _name_causes(kind, metadata)
    try:
        kind.type.model_validate_json(text, strict=True)
    except ValidationError as error:
        found += causes.of(error, confidential=kind.confidential)
    else:
        found += _metadata_causes(metadata)
    if found:
        raise Invalid.of(about_kind(kind, str(name)), found)


def validate_change(kind: Kind, live: Document, changed: Document) -> None:
    """Check that `live` may become `changed`, each of which is valid by itself.

    Raises:
        Invalid: with every cause at once.
    """
    if found := kind.definition.problems_with_change(live, changed):
        raise Invalid.of(about_kind(kind, str(live["metadata"]["name"])), found)


def _text(kind: Kind, document: Document, name: object) -> bytes:
    try:
        text = _to_json(document).encode()
    except UnicodeEncodeError:
        why = "it holds half a surrogate pair, which is no text"
        raise BadRequest(f'cannot read {kind.name} "{name}": {why}') from None
    except (TypeError, ValueError) as error:
        raise BadRequest(f'cannot read {kind.name} "{name}": {error}') from error
    if len(text) > MOST_BYTES:
        size = f"it has {len(text)} bytes, the most is {MOST_BYTES}"
        raise TooLarge(f'cannot store {kind.name} "{name}": {size}: keep large content elsewhere')
    return text


def _name_causes(kind: Kind, metadata: Mapping[str, Any]) -> list[Cause]:
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    if not isinstance(name, str) or not isinstance(prefix, str):
        return []  # The type check says so.
    if not name and not prefix:
        return [Cause("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")]
    field, value = ("metadata.name", name) if name else ("metadata.generateName", prefix)
    problem = names.problem_with_name(kind, name or prefix[: names.most_characters(kind) - 5] + "x")
    return [causes.invalid(field, value, problem)] if problem else []


def _metadata_causes(metadata: Mapping[str, Any]) -> list[Cause]:
    found = []
    for key, value in metadata.get("labels", {}).items():
        if problem := names.problem_with_label_key(key):
            found.append(causes.invalid("metadata.labels", key, problem))
        if problem := names.problem_with_label_value(value):
            found.append(causes.invalid("metadata.labels", value, problem))
    annotations = metadata.get("annotations", {})
    problems = ((key, names.problem_with_label_key(key.lower())) for key in annotations)
    found += [causes.invalid("metadata.annotations", key, problem) for key, problem in problems if problem]
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > names.ANNOTATIONS_MOST_BYTES:
        limit = f"Too long: may not be more than {names.ANNOTATIONS_MOST_BYTES} bytes"
        found.append(Cause("metadata.annotations", "FieldValueTooLong", limit))
    for index, finalizer in enumerate(metadata.get("finalizers", ())):
        if problem := names.problem_with_label_key(finalizer):
            found.append(causes.invalid(f"metadata.finalizers[{index}]", finalizer, problem))
    return found + managed_fields.check(metadata.get("managedFields", []))
