"""Between the objects of the API and the text in the journal.

The revision is not in the text, because a row does not know its own before it is written: it is
taken out here and put back in when read. Invariant: what is read shares nothing with what was
written, so that a caller may change it.

What a caller gives is written by the standard library, which refuses all that is no JSON. What was read
before, and so is known to be JSON, is written by pydantic's writer, and all is read by its parser: they take
a quarter and half of the time.
"""

import json
from typing import Any, cast

from pydantic_core import from_json, to_json

from api.errors import BadRequest
from api.meta import Document

_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode(document: Document) -> str:
    """Return the compact JSON of `document`, without its resourceVersion.

    Raises:
        BadRequest: there is something in it that JSON or UTF-8 cannot carry.
    """
    metadata = {name: value for name, value in document["metadata"].items() if name != "resourceVersion"}
    try:
        written = _write({**document, "metadata": metadata})
        if not written.isascii():
            written.encode()  # A lone surrogate would be stored and then break every reader.
    except (TypeError, ValueError, RecursionError) as error:
        named = f"{document.get('kind')} {metadata.get('name')}"
        raise BadRequest(f"cannot store {named}: it is not JSON: {error}") from error
    return written


def encode_plain(document: Document) -> str:
    """Return the same of a document that is made of what was read, where nothing can be wrong."""
    metadata = {name: value for name, value in document["metadata"].items() if name != "resourceVersion"}
    return to_json({**document, "metadata": metadata}).decode()


def decode(written: str, revision: int) -> Document:
    """Return the object of a row, with the row's revision as its resourceVersion."""
    try:
        document = cast(dict[str, Any], from_json(written))
    except ValueError:  # It nests deeper than that parser goes.
        document = cast(dict[str, Any], json.loads(written))
    document["metadata"]["resourceVersion"] = str(revision)
    return document


def detach(document: Document) -> Document:
    """Return `document` as it will be read back: plain JSON that shares nothing with the caller's.

    Raises:
        BadRequest: there is something in it that JSON or UTF-8 cannot carry.
    """
    copy = decode(encode(document), 0)
    del copy["metadata"]["resourceVersion"]
    if version := document["metadata"].get("resourceVersion"):
        copy["metadata"]["resourceVersion"] = version
    return copy
