"""Parser of /proc/PID/mountinfo. It takes text, not a path."""

import re
from dataclasses import dataclass

_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One mount, in the file's own order of fields."""

    mount_id: int
    parent_id: int
    device: str
    root: str
    mount_point: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]
    filesystem: str
    source: str
    super_options: tuple[str, ...]


def decode(content: bytes) -> str:
    r"""Return the content of /proc/PID/mountinfo as text: names may be any bytes, and a carriage return ends no line.

    >>> decode(b"/a\rb\n/\xe9\n")
    '/a\rb\n/\udce9\n'
    """
    return content.decode(errors="surrogateescape")


def parse(text: str) -> tuple[MountEntry, ...]:
    r"""Read /proc/PID/mountinfo.

    Raises:
        ValueError: a line is not a mount.

    Source: proc_pid_mountinfo(5); seq_path() of the kernel writes space, tab, newline, `\` and `#` in octal.

    >>> parse("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue")[0].mount_point
    '/mnt 2'
    """
    return tuple(_parse_line(line) for line in text.split("\n") if line)


def _parse_line(line: str) -> MountEntry:
    # Exactly one space between fields: an empty one (a source may be "") is a field too.
    words = line.split(" ")
    try:
        end = words.index("-", 6)
        mount_id, parent_id, device, root, mount_point, options = words[:6]
        filesystem, source, super_options = words[end + 1 : end + 4]
        return MountEntry(
            mount_id=int(mount_id),
            parent_id=int(parent_id),
            device=device,
            root=unescape(root),
            mount_point=unescape(mount_point),
            options=tuple(options.split(",")),
            propagation=tuple(words[6:end]),
            filesystem=unescape(filesystem),
            source=unescape(source),
            super_options=tuple(unescape(super_options).split(",")),
        )
    except ValueError as error:
        raise ValueError(f"cannot read {line!r} as a line of mountinfo: {error}") from error


def unescape(text: str) -> str:
    r"""Undo the kernel's octal escapes.

    >>> unescape(r"a\040b\134c")
    'a b\\c'
    """
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text) if "\\" in text else text
