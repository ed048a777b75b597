"""What is served as OpenAPI 3.0: one document a group and version, made from the one table of kinds. Pure.

`kubectl explain`, validation on the server's side and generators of clients live on it. Invariant: every
kind that can be patched says so with the parameter `fieldValidation`; without it, kubectl validates by
itself, which takes a format that is not served here.
Source: Kubernetes, "OpenAPI V3"; kubectl, pkg/util/openapi, query_param_verifier_v3.go.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from api import crd
from api.http.openapi_paths import paths_of
from api.http.openapi_schemas import META_SCHEMAS, OBJECT_META, list_meta_ref, meta_ref, reference, schema_name
from api.http.served import Served, group_path
from api.kinds import FOR_CLIENTS, PROJECTED, Kind
from api.meta import Document

_ROOT = "/openapi/v3"


class OpenApi:
    """The documents of what is served; each is made when it is first asked for."""

    def __init__(self, served: Iterable[Served], version: str) -> None:
        """Describe `served`; `version` is runwright's own."""
        self._version = version
        self._by_path: dict[str, tuple[Served, ...]] = {}
        for each in served:
            path = group_path(each.group, each.version)
            self._by_path[path] = (*self._by_path.get(path, ()), each)
        self._texts: dict[str, bytes] = {}

    def index(self) -> Document:
        """Return where each document is; the place changes with the content, for clients keep them by it."""
        places = {}
        for path in sorted(self._by_path):
            digest = hashlib.sha256(self._text(path)).hexdigest()[:32].upper()
            places[path] = {"serverRelativeURL": f"{_ROOT}/{path}?hash={digest}"}
        return {"paths": places}

    def text(self, path: str) -> bytes | None:
        """Return the document of `api/v1` or `apis/GROUP/VERSION` as JSON, if it is served."""
        return self._text(path) if path in self._by_path else None

    def _text(self, path: str) -> bytes:
        if path not in self._texts:
            document = self._document(path, self._by_path[path])
            self._texts[path] = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return self._texts[path]

    def _document(self, path: str, served: tuple[Served, ...]) -> Document:
        schemas = dict(META_SCHEMAS)
        paths: Document = {}
        for each in served:
            schemas |= _schemas_of(each.kind)
            paths |= paths_of(path, each)
        return {
            "openapi": "3.0.0",
            "info": {"title": "runwright", "version": self._version, "description": "Keeps a host at its state."},
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"BearerToken": {"type": "http", "scheme": "bearer"}},
            },
        }


@cache
def _schemas_of(kind: Kind) -> Document:
    """Return the schemas of a kind and of its list, by name."""
    name = schema_name(kind.group, kind.version, kind.name)
    listed = {
        "type": "object",
        "description": f"A page of {kind.plural}.",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of the schema."},
            "kind": {"type": "string", "description": f"{kind.name}List."},
            "metadata": list_meta_ref(),
            "items": {"type": "array", "description": f"The {kind.plural}.", "items": reference(name)},
        },
        "x-kubernetes-group-version-kind": [_gvk(kind, f"{kind.name}List")],
    }
    return {name: _schema_of(kind), f"{name}List": listed}


def _schema_of(kind: Kind) -> Document:
    schema = documented(crd.schema_of(kind))
    schema["properties"] = schema["properties"] | {"metadata": meta_ref(OBJECT_META)}
    if kind in (*PROJECTED, *FOR_CLIENTS):
        schema["x-kubernetes-preserve-unknown-fields"] = True
    return {**schema, "x-kubernetes-group-version-kind": [_gvk(kind, kind.name)]}


def _gvk(kind: Kind, name: str) -> Document:
    return {"group": kind.group, "version": kind.version, "kind": name}


def documented(schema: Any) -> Any:
    """Return a schema whose descriptions say the default too, for explain shows nothing but them.

    >>> documented({"type": "integer", "default": 6, "description": "Retries."})["description"]
    'Retries. Default: 6.'
    """
    if isinstance(schema, list):
        return [documented(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: value if name == "default" else documented(value) for name, value in schema.items()}
    description = schema.get("description")
    if isinstance(description, str) and "default" in schema and isinstance(schema.get("type"), str):
        value = schema["default"]
        text = json.dumps(value) if isinstance(value, bool | list | dict) else str(value)
        told["description"] = f"{description} Default: {text}."
    if told.get("x-kubernetes-int-or-string"):
        told.pop("anyOf", None)
        told["type"] = "string"  # Explain would call it an object; a number is taken all the same.
    return told
