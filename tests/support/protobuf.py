"""Kubernetes' protobuf, written by hand: what clients of Go send."""


def varint(number: int) -> bytes:
    written = b""
    number &= (1 << 64) - 1
    while number > 0x7F:
        written += bytes([number & 0x7F | 0x80])
        number >>= 7
    return written + bytes([number])


def number(at: int, value: int) -> bytes:
    return varint(at << 3) + varint(value)


def text(at: int, value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(at << 3 | 2) + varint(len(raw)) + raw


def body(version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + text(1, text(1, version) + text(2, kind)) + text(2, raw) + text(3, "") + text(4, "")
