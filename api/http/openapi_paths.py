"""The operations of OpenAPI: what may be asked of each resource, with its parameters and answers. Pure."""

from collections.abc import Iterable
from typing import Any

from api.http.openapi_schemas import DELETE_OPTIONS, STATUS, reference, schema_name
from api.http.served import Served
from api.meta import GROUP, Document
from api.objects.patch import PatchType

_JSON = "application/json"
_YAML = "application/yaml"


def _query(name: str, description: str, type_: str = "string", **more: Any) -> Document:
    return {"name": name, "in": "query", "description": description, "schema": {"type": type_, **more}}


def _in_path(name: str, description: str) -> Document:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


_NAME = _in_path("name", "The object's name.")
_NAMESPACE = _in_path("namespace", "The object's namespace.")
_PRETTY = _query("pretty", "Taken and not heard: answers are compact.")
_DRY_RUN = _query("dryRun", "All: check and answer as if it were done, and store nothing.", enum=["All"])
_MANAGER = _query("fieldManager", "Who owns the fields that this sets; the program's name if not given.")
_VALIDATION = _query(
    "fieldValidation",
    "What unknown and repeated fields are: Strict refuses them, Warn says so, Ignore drops them. Default: Warn.",
    enum=["Ignore", "Warn", "Strict"],
)
_FORCE = _query("force", "Of apply: take fields from other managers.", "boolean")
_SELECTORS = [
    _query("labelSelector", "Only objects with such labels, such as `app=etl,tier in (a,b),!old`."),
    _query("fieldSelector", "Only objects with such fields, such as `metadata.name=etl`."),
]
_LISTING = [
    *_SELECTORS,
    _query("limit", "Objects a page at most; 0 or less is all.", "integer"),
    _query("continue", "Where the page before this one said to go on."),
    _query("resourceVersion", "The moment to show or to watch from; 0 is any."),
    _query("resourceVersionMatch", "How it is meant.", enum=["Exact", "NotOlderThan"]),
    _query("watch", "Stream the changes instead.", "boolean"),
    _query("allowWatchBookmarks", "Of a watch: say from time to time how far it is.", "boolean"),
    _query("sendInitialEvents", "Of a watch: begin with what is there.", "boolean"),
    _query("timeoutSeconds", "Of a watch: end it after so many seconds; below 0 at once.", "integer"),
]
_DELETING = [
    _DRY_RUN,
    _query("gracePeriodSeconds", "Seconds that a run has to end by itself.", "integer"),
    _query("propagationPolicy", "What becomes of dependents.", enum=["Background", "Foreground", "Orphan"]),
]
_WRITING = [_DRY_RUN, _MANAGER, _VALIDATION]
_ACTIONS = {
    "get": "get", "list": "list", "create": "post", "update": "put", "patch": "patch", "delete": "delete",
    "deletecollection": "deletecollection",
}  # fmt: skip


def paths_of(group_path: str, served: Served) -> Document:
    """Return the paths of a resource, each with its operations."""
    kind = served.kind
    root = f"/{group_path}"
    space = f"{root}/namespaces/{{namespace}}" if kind.namespaced else root
    own = [_NAMESPACE] if kind.namespaced else []
    paths = {f"{space}/{kind.plural}": _path(served, own, _collection_verbs(served.verbs))}
    if kind.namespaced and "list" in served.verbs:
        paths[f"{root}/{kind.plural}"] = _path(served, [], {"get": "list"}, suffix="ForAllNamespaces")
    item = f"{space}/{kind.plural}/{{name}}"
    if one := _item_verbs(served.verbs):
        paths[item] = _path(served, [*own, _NAME], one)
    for name, verbs in served.subresources:
        paths[f"{item}/{name}"] = _path(served, [*own, _NAME], _item_verbs(verbs), subresource=name)
    return {path: operations for path, operations in paths.items() if operations.keys() - {"parameters"}}


def _collection_verbs(verbs: Iterable[str]) -> dict[str, str]:
    wanted = {"get": "list", "post": "create", "delete": "deletecollection"}
    return {method: verb for method, verb in wanted.items() if verb in verbs}


def _item_verbs(verbs: Iterable[str]) -> dict[str, str]:
    wanted = {"get": "get", "put": "update", "patch": "patch", "delete": "delete"}
    return {method: verb for method, verb in wanted.items() if verb in verbs}


def _path(
    served: Served, parameters: list[Document], verbs: dict[str, str], subresource: str = "", suffix: str = ""
) -> Document:
    operations = {method: _operation(served, verb, subresource, suffix) for method, verb in verbs.items()}
    return {**operations, "parameters": [*parameters, _PRETTY]}


def _operation(served: Served, verb: str, subresource: str, suffix: str) -> Document:
    kind = served.kind
    scope = "Namespaced" if kind.namespaced and not suffix else ""
    group = "".join(part.capitalize() for part in kind.group.split(".")) or "Core"
    below = subresource.capitalize()
    of = f" the {subresource} of" if subresource else ""
    operation: Document = {
        "tags": [f"{kind.group or 'core'}_{kind.version}"],
        "description": f"{verb}{of} {kind.plural}",
        "operationId": f"{verb}{group}{kind.version.capitalize()}{scope}{kind.name}{below}{suffix}",
        "parameters": _parameters(verb, subresource),
        "responses": _responses(served, verb, subresource),
        "x-kubernetes-action": _ACTIONS[verb],
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.name},
    }
    body = _body(served, verb)
    return operation if body is None else operation | {"requestBody": body}


def _parameters(verb: str, subresource: str) -> list[Document]:
    match verb:
        case "list":
            return _LISTING
        case "create" | "update":
            return _WRITING
        case "patch":
            return [*_WRITING, _FORCE]
        case "delete":
            return _DELETING
        case "deletecollection":
            return [*_SELECTORS, *_DELETING]
        case _:
            return _of_logs() if subresource == "log" else []


def _of_logs() -> list[Document]:
    return [
        _query("container", "The container; there is one."),
        _query("follow", "Go on until it ends.", "boolean"),
        _query("previous", "Taken and refused: each retry is a pod of its own.", "boolean"),
        _query("tailLines", "The last so many lines.", "integer", minimum=0),
        _query("limitBytes", "So many bytes at most; of text, not of events.", "integer", minimum=1),
        _query("sinceSeconds", "What came in the last so many seconds.", "integer", minimum=0),
        _query("sinceTime", "What came since then, RFC 3339."),
        _query("timestamps", "Each line begins with its time.", "boolean"),
        _query("stream", "Which: All, Stdout or Stderr."),
        _query(
            "cri", "Each piece as the log has it: its time, its stream, F or, if the line goes on, P; text.", "boolean"
        ),
    ]


def _body(served: Served, verb: str) -> Document | None:
    kind = served.kind
    of_kind = {"schema": reference(schema_name(kind.group, kind.version, kind.name))}
    match verb:
        case "create" | "update":
            return {"required": True, "content": {_JSON: of_kind, _YAML: of_kind}}
        case "patch":
            return {"required": True, "content": {type_: _patch_body(type_) for type_ in patch_types(kind.group)}}
        case "delete" | "deletecollection":
            return {"content": {_JSON: {"schema": reference(DELETE_OPTIONS)}}}
        case _:
            return None


def patch_types(group: str) -> tuple[PatchType, ...]:
    """Return the kinds of patches that objects of a group take."""
    return tuple(each for each in PatchType if group != GROUP or each.is_for_all)


def _patch_body(type_: PatchType) -> Document:
    if type_ is PatchType.JSON:
        return {"schema": {"type": "array", "items": {"type": "object"}}}
    return {"schema": {"type": "object"}}


def _responses(served: Served, verb: str, subresource: str) -> Document:
    kind = served.kind
    name = schema_name(kind.group, kind.version, kind.name)
    refused = {"description": "Refused, and why.", "content": {_JSON: {"schema": reference(STATUS)}}}
    if subresource not in ("", "status"):
        return {"200": {"description": "What was asked for."}, "default": refused}
    schema = reference(f"{name}List" if verb in ("list", "deletecollection") else name)
    if verb == "delete":
        schema = {"anyOf": [reference(STATUS), schema]}
    fine = {"description": "Done.", "content": {_JSON: {"schema": schema}}}
    codes = {"create": ("201",), "patch": ("200", "201")}.get(verb, ("200",))
    return {**dict.fromkeys(codes, fine), "default": refused}
