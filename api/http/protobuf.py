"""Bodies in Kubernetes' protobuf, read into the same objects as JSON. Pure; nothing is ever written in it.

kubectl and every other client of Go sends the core types so since 1.32, and takes no refusal: `kubectl create
namespace`, `create configmap`, `auth can-i`. Which field is which number is in `protobuf_messages.py`.
Invariant: any bytes are read or refused with a BadRequest, in time that grows with their number.
Source: protobuf.dev, "Encoding"; k8s.io/apimachinery/pkg/runtime/serializer/protobuf.
"""

import base64
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from api.errors import BadRequest, UnsupportedMediaType
from api.http.protobuf_messages import BODIES, MESSAGES, Field, Type
from api.meta import Document, wire_micro_time, wire_time

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_TYPE_META, _RAW = 1, 2
_MOST_DEPTH = 16
_SIGN = 1 << 63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(body: bytes) -> Document:
    """Return the object in a body.

    Raises:
        BadRequest: it cannot be read.
        UnsupportedMediaType: it is of a kind that has to be sent as JSON.
    """
    if not body.startswith(_MAGIC):
        raise BadRequest("cannot read the body as protobuf: it does not begin as Kubernetes' does")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        meta = _message(_bytes(envelope.get(_TYPE_META, b"")), "TypeMeta", 0)
        kind, version = str(meta.get("kind", "")), str(meta.get("apiVersion", ""))
        name = BODIES.get((version, kind))
        if name is None:
            raise _unknown(version, kind)
        document = _message(_bytes(envelope.get(_RAW, b"")), name, 0)
    except (ValueError, IndexError, struct.error, OverflowError) as error:
        raise BadRequest(f"cannot read the body as protobuf: {error}") from error
    return {"apiVersion": version, "kind": kind, **document}


def _unknown(version: str, kind: str) -> UnsupportedMediaType:
    return UnsupportedMediaType(
        f'"{kind[:60]}" in version "{version[:60]}" cannot be sent as {MEDIA_TYPE}: '
        "accepted media types include: application/json, application/yaml"
    )


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message, by number."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        value: int | bytes
        match wire:
            case 0:
                value, position = _varint(data, position)
            case 1:
                value, position = _take(data, position, 8)
            case 2:
                size, position = _varint(data, position)
                value, position = _take(data, position, size)
            case 5:
                value, position = _take(data, position, 4)
            case _:
                raise ValueError(f"wire type {wire} is not known")
        yield number, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("it ends in the middle of a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), position
    raise ValueError("a number has more than ten bytes")


def _take(data: bytes, position: int, size: int) -> tuple[bytes, int]:
    end = position + size
    if end > len(data):
        raise ValueError("it ends in the middle of a field")
    return data[position:end], end


def _message(data: bytes, name: str, depth: int) -> Document:
    """Return a message as JSON has it: what is empty is left out, as Go's omitempty does."""
    if depth > _MOST_DEPTH:
        raise ValueError(f"it nests deeper than {_MOST_DEPTH} levels")
    known, document = MESSAGES[name], dict[str, Any]()
    for number, raw in _fields(data):
        field = known.get(number)
        if field is not None:
            _put(document, field, raw, depth)
        elif raw:
            document[f"#{number}"] = None  # A field that nobody knows, and is told of as those of JSON are.
    return document


def _put(document: Document, field: Field, raw: int | bytes, depth: int) -> None:
    if field.is_map:
        key, value = _entry(_bytes(raw), field, depth)
        document.setdefault(field.name, {})[key] = value
        return
    value = _value(field, raw, depth)
    if field.is_repeated:
        document.setdefault(field.name, []).append(value)
    elif field.is_optional or value not in (None, "", 0, {}):
        document[field.name] = value


def _entry(data: bytes, field: Field, depth: int) -> tuple[str, Any]:
    found = dict(_fields(data))
    return _text(found.get(1, b"")), _value(field, found.get(2, b""), depth)


def _value(field: Field, raw: int | bytes, depth: int) -> Any:
    match field.type:
        case Type.TEXT:
            return _text(raw)
        case Type.NUMBER:
            number = _number(raw)
            return number - (1 << 64) if number >= _SIGN else number
        case Type.BOOL:
            return bool(_number(raw))
        case Type.BASE64:
            return base64.b64encode(_bytes(raw)).decode()
        case Type.JSON:
            return _json(_bytes(raw))
        case Type.TIME | Type.MICRO_TIME:
            return _time(_bytes(raw), with_micros=field.type is Type.MICRO_TIME)
        case Type.QUANTITY:
            return next((_text(of) for number, of in _fields(_bytes(raw)) if number == 1), "0")
        case Type.MESSAGE:
            return _message(_bytes(raw), field.message, depth + 1)


def _bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise ValueError("a field that is text has a number")
    return raw


def _number(raw: int | bytes) -> int:
    if not isinstance(raw, int):
        raise ValueError("a field that is a number has text")
    return raw


def _text(raw: int | bytes) -> str:
    return _bytes(raw).decode()


def _json(raw: bytes) -> Any:
    """Return the FieldsV1 in a message, which are JSON in bytes."""
    held = _bytes(dict(_fields(raw)).get(1, b"{}"))
    try:
        return json.loads(held)
    except RecursionError as error:
        raise ValueError("it nests too deep") from error


def _time(raw: bytes, *, with_micros: bool) -> str | None:
    found = dict(_fields(raw))
    if not found:
        return None
    seconds, nanos = _number(found.get(1, 0)), _number(found.get(2, 0))
    seconds = seconds - (1 << 64) if seconds >= _SIGN else seconds
    moment = (_EPOCH + timedelta(seconds=seconds)).replace(microsecond=nanos // 1000 % 1_000_000)
    return wire_micro_time(moment) if with_micros else wire_time(moment)
