"""Whether what is shown is what is described: fields of documents that a schema does not have."""

from collections.abc import Iterator
from typing import Any


def undeclared(schema: dict[str, Any], document: Any, path: str = "") -> Iterator[str]:
    """Yield the fields of `document` that `schema` says nothing of; the metadata are described elsewhere."""
    if isinstance(document, list | tuple):
        for each in document:
            yield from undeclared(schema.get("items", {}), each, f"{path}[]")
        return
    if not isinstance(document, dict) or isinstance(schema.get("additionalProperties"), dict):
        return
    known = schema.get("properties", {})
    for name, value in document.items():
        if name not in known:
            yield f"{path}.{name}"
        elif (path, name) != ("", "metadata"):
            yield from undeclared(known[name], value, f"{path}.{name}")
