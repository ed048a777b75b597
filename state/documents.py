"""Between the objects of the API and the text in the journal.

The revision is not in the text, because a row does not know its own before it is written: it is
taken out here and put back in when read. Invariant: what is read shares nothing with what was
written, so that a caller may change it.

What a caller gives is written by pydantic's writer and read back, and is JSON if it is the same then; what is not is
left to the standard library, which refuses what JSON has no words for. That is a third of what the latter takes
for all.
"""

import json
from typing import cast

from pydantic_core import PydanticSerializationError, from_json, to_json

from api.errors import BadRequest
from api.meta import Document

_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode(document: Document) -> tuple[str, Document]:
    """Return the compact JSON of `document`, without its resourceVersion, and what that reads as.

    Raises:
        BadRequest: there is something in it that JSON or UTF-8 cannot carry.
    """
    plain = _without_revision(document)
    try:
        written = to_json(plain, inf_nan_mode="null").decode()
        copy = cast(Document, from_json(written))
        if copy == plain:
            return written, copy
    except (PydanticSerializationError, ValueError, RecursionError):
        pass  # It may be JSON all the same, in tuples or nested deeper than that writer goes.
    written = _written_or_refused(plain)
    return written, _read(written)


def _written_or_refused(plain: Document) -> str:
    try:
        written = _write(plain)
        if not written.isascii():
            written.encode()  # A lone surrogate would be stored and then break every reader.
    except (TypeError, ValueError, RecursionError) as error:
        named = f"{plain.get('kind')} {plain['metadata'].get('name')}"
        raise BadRequest(f"cannot store {named}: it is not JSON: {error}") from error
    return written


def encode_plain(document: Document) -> str:
    """Return the JSON of a document that is made of what was read, where nothing can be wrong."""
    plain = _without_revision(document)
    try:
        return to_json(plain).decode()
    except PydanticSerializationError:  # It nests deeper than that writer goes.
        return _write(plain)


def decode(written: str, revision: int) -> Document:
    """Return the object of a row, with the row's revision as its resourceVersion."""
    document = _read(written)
    document["metadata"]["resourceVersion"] = str(revision)
    return document


def detach(document: Document) -> Document:
    """Return `document` as it will be read back: plain JSON that shares nothing with the caller's.

    Raises:
        BadRequest: there is something in it that JSON or UTF-8 cannot carry.
    """
    _, copy = encode(document)
    if version := document["metadata"].get("resourceVersion"):
        copy["metadata"]["resourceVersion"] = version
    return copy


def _without_revision(document: Document) -> Document:
    metadata = {name: value for name, value in document["metadata"].items() if name != "resourceVersion"}
    return {**document, "metadata": metadata}


def _read(written: str) -> Document:
    try:
        return cast(Document, from_json(written))
    except ValueError:  # It nests deeper than that parser goes.
        return cast(Document, json.loads(written))
