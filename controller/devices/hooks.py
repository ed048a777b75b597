"""What the hooks of vendors mean, so that our own code can do it: no program of a vendor is run as root. Pure.

Hooks that make links, or libraries known to the loader, come to links of the sandbox. Those that guard against what a
run cannot do anyway, and one that is a convenience, have no effect. Any other is refused by name.
Source: nvidia-container-toolkit, cmd/nvidia-cdi-hook, versions 1.13 to 1.17.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from controller.devices.cdi import Hook
from controller.devices.errors import Unusable

_PROGRAMS = frozenset({"nvidia-cdi-hook", "nvidia-ctk", "nvidia-container-toolkit"})
_WHEN = frozenset({"createRuntime", "prestart", "createContainer", "startContainer"})
_WITHOUT_EFFECT = frozenset({"disable-device-node-modification", "enable-cuda-compat"})
"""The first keeps a container from making nodes, which no run can. The second puts libraries that the runtime brings
for other drivers before the host's: a job that wants that names their directory in LD_LIBRARY_PATH."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one hook comes to: links (path, where it leads), folders whose libraries shall be found, modes to be set."""

    device: str
    links: tuple[tuple[str, str], ...] = ()
    library_folders: tuple[str, ...] = ()
    modes: tuple[tuple[str, int], ...] = ()


def meaning(device: str, hook: Hook) -> Meaning:
    """Return what `hook`, of the spec of `device`, means.

    Raises:
        Unusable: nobody here knows.
    """
    words = list(hook.args[1:])
    if posixpath.basename(hook.path) not in _PROGRAMS or hook.name not in _WHEN or not words:
        raise _unknown(device, hook)
    if words[0] == "hook":
        words.pop(0)
    verb = words[0] if words else ""
    flags = _flags(device, hook, verb, words[1:])
    match verb:
        case "create-symlinks":
            return Meaning(device, links=tuple(_link(device, hook, text) for text in flags.pop("link", [])))
        case "update-ldcache":
            return Meaning(device, library_folders=tuple(_normal(folder) for folder in flags.pop("folder", [])))
        case "chmod":
            mode = _mode(device, hook, flags)
            paths = [_normal(path) for text in flags.get("path", []) for path in text.split(":")]
            return Meaning(device, modes=tuple((path, mode) for path in paths))
        case _ if verb in _WITHOUT_EFFECT:
            return Meaning(device)
        case _:
            raise _unknown(device, hook)


_KNOWN_FLAGS = {
    "create-symlinks": {"link"},
    "update-ldcache": {"folder", "ldconfig-path"},
    "chmod": {"mode", "path"},
    "enable-cuda-compat": {"host-driver-version", "host-cuda-version"},
}
_OF_ALL = {"container-spec"}


def _flags(device: str, hook: Hook, verb: str, words: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each flag, written `--flag value` or `--flag=value`."""
    flags: dict[str, list[str]] = {}
    left = list(words)
    while left:
        flag, equals, value = left.pop(0).partition("=")
        name = flag.lstrip("-")
        if not flag.startswith("-") or name not in _KNOWN_FLAGS.get(verb, set()) | _OF_ALL or not (equals or left):
            raise _unknown(device, hook)
        flags.setdefault(name, []).append(value if equals else left.pop(0))
    return flags


def _link(device: str, hook: Hook, text: str) -> tuple[str, str]:
    points_to, colons, path = text.partition("::")
    if not colons or not points_to or not path.startswith("/"):
        raise _unknown(device, hook)
    return _normal(path), points_to


def _mode(device: str, hook: Hook, flags: dict[str, list[str]]) -> int:
    try:
        return int(flags.get("mode", [""])[-1], 8)
    except ValueError:
        raise _unknown(device, hook) from None


def _normal(path: str) -> str:
    return posixpath.normpath(path)


def _unknown(device: str, hook: Hook) -> Unusable:
    said = " ".join((hook.path, *hook.args[1:]))
    fix = (
        "runwright runs no programs of vendors as root, and does not know what this one means: take it out of the spec"
    )
    return Unusable(f"cannot use device {device}: its {hook.name} hook is {said:.200}: {fix}")
