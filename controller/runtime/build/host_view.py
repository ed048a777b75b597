"""What builds see of the host: its system directories, without secrets, and nothing else.

An overlay's upper layer says what is hidden: a whiteout for a file, an opaque directory for one that shall be there and
empty. What is hidden so cannot be uncovered from inside. Secrets are found by what makes them secret: others may not
read them. Here: deciding and filling the layer. Never here: mounts (`root`).
Invariants: nothing of /etc and /usr/local that others on the host could not read is shown, and nothing of /var, /opt
and /srv at all, but for what package managers need.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_SHOWN = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32", "usr", "etc", "var", "opt"})
_EMPTY = {
    "/boot": 0o755,
    "/dev": 0o755,
    "/home": 0o755,
    "/media": 0o755,
    "/mnt": 0o755,
    "/opt": 0o755,
    "/proc": 0o555,
    "/root": 0o700,
    "/run": 0o755,
    "/srv": 0o755,
    "/sys": 0o555,
    "/tmp": 0o1777,
    "/var/backups": 0o755,
    "/var/crash": 0o755,
    "/var/log": 0o755,
    "/var/mail": 0o755,
    "/var/spool": 0o755,
    "/var/tmp": 0o1777,
}
_DATA = ("/var", "/var/cache", "/var/lib")
"""Where programs keep their data: what lies in these is shown only if it is needed; other directories are empty."""

_NEEDED_DATA = frozenset({
    "/var/cache", "/var/cache/apt", "/var/cache/debconf", "/var/cache/dnf", "/var/cache/ldconfig",
    "/var/lib", "/var/lib/alternatives", "/var/lib/apt", "/var/lib/ca-certificates-java", "/var/lib/dnf",
    "/var/lib/dpkg", "/var/lib/misc", "/var/lib/pam", "/var/lib/python", "/var/lib/rpm", "/var/lib/sgml-base",
    "/var/lib/shells.state", "/var/lib/ucf", "/var/lib/xml-core",
})  # fmt: skip
"""What package managers, and the scripts of packages, look up and keep."""

_WALKED = ("/etc", "/usr/local", *sorted(_NEEDED_DATA - {*_DATA}))
"""Where secrets are looked for, however deep."""

_MOST_LOOKED_AT = 500_000
"""Entries that are looked at; directories beyond are hidden."""

_NEEDED = (
    "/etc/apt", "/etc/dnf", "/etc/pki", "/etc/yum.repos.d", "/var/cache/apt", "/var/cache/dnf", "/var/cache/ldconfig",
    "/var/lib/apt", "/var/lib/dnf", "/var/lib/dpkg", "/var/lib/rpm",
)  # fmt: skip
"""What package managers keep to themselves, and need; credentials of package archives are among it."""

_READ_BY_OTHERS = 0o004
_ENTERED_BY_OTHERS = 0o005
_XATTR_OPAQUE = "trusted.overlay.opaque"
_LARGEST_COPY = 1 << 20
_NO_SERVICES = "#!/bin/sh\n# Nothing is started while a runtime is built.\nexit 101\n"
_COPIED = ("/etc/resolv.conf", "/etc/hosts")


@dataclass(frozen=True, slots=True)
class View:
    """What is hidden and what is put in its place: the content of the upper layers. Paths are as inside."""

    base: Path
    gone: frozenset[str]
    empty: Mapping[str, int]
    files: Mapping[str, str] = field(default_factory=dict)

    def shows(self, inside: str) -> bool:
        """Say whether the host's `inside`, and so what is mounted there, is seen."""
        top = inside.split("/")[1]
        if top not in _SHOWN:
            return False
        at = inside
        while at not in ("", "/"):
            if at in self.gone or at in self.empty:
                return False
            at = at.rpartition("/")[0]
        return True

    def fill(self, upper: Path, inside: str) -> None:
        """Write into the empty directory `upper` what hides things at and below `inside`, "" being all.

        Raises:
            OSError: it cannot be written there.
        """
        _copy_mode(self._host(inside), upper)
        for path, mode in self.empty.items():
            if _is_below(path, inside):
                self._make_empty(upper, inside, path, mode)
        for path in self.gone:
            if _is_below(path, inside):
                place = self._place(upper, inside, path)
                os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))
        for path, text in self.files.items():
            if _is_below(path, inside):
                place = self._place(upper, inside, path)
                place.write_text(text)
                place.chmod(_mode_of_file(path))

    def _make_empty(self, upper: Path, inside: str, path: str, mode: int) -> None:
        place = self._place(upper, inside, path)
        place.mkdir(exist_ok=True)
        place.chmod(mode)
        os.setxattr(place, _XATTR_OPAQUE, b"y")

    def _place(self, upper: Path, inside: str, path: str) -> Path:
        """Return where `path` is in the layer, with its parents made, which are to look as they do on the host."""
        at, here = upper, inside
        for part in path[len(inside) :].strip("/").split("/")[:-1]:
            at, here = at / part, f"{here}/{part}"
            if not at.exists():
                at.mkdir()
                _copy_mode(self._host(here), at)
        return at / path.rpartition("/")[2]

    def _host(self, inside: str) -> Path:
        return self.base / inside.lstrip("/")


def look(base: Path, hidden: tuple[Path, ...], files: Mapping[str, str]) -> View:
    """Look at the host whose root is `base`, and decide.

    Args:
        hidden: more of its paths that are not to be seen.
        files: what is to be there beside.

    Raises:
        OSError: it cannot be read.
    """
    empty = {path: mode for path, mode in _EMPTY.items() if _can_be(base, path)}
    gone = set(_other_directories(base))
    for place in {*hidden, *(path.resolve() for path in hidden)}:
        if os.path.lexists(place) and _is_in(base, place):
            gone.add(_inside(base, place))
    for path, mode in _unneeded_data(base).items():
        if stat.S_ISDIR(mode) and not _is_secret(mode) and path not in gone:
            empty[path] = stat.S_IMODE(mode)
        else:
            gone.add(path)
    gone.update(_secrets(base))
    gone = {path for path in gone if not _covered(path, gone - {path}) and not _covered(path, set(empty))}
    generated = _generated(base)
    return View(base, frozenset(gone - generated.keys()), empty, generated | dict(files))


def _other_directories(base: Path) -> Iterator[str]:
    """Everything at the top that is no system directory: data of somebody's."""
    for name in os.listdir(base):
        if name not in _SHOWN and f"/{name}" not in _EMPTY:
            yield f"/{name}"


def _unneeded_data(base: Path) -> dict[str, int]:
    """Return the data of programs that no build needs, with its modes."""
    found = {}
    for top in _DATA:
        for name, mode in _entries(base, top):
            inside = f"{top}/{name}"
            if inside not in _NEEDED_DATA and inside not in _EMPTY and not stat.S_ISLNK(mode):
                found[inside] = mode
    return found


def _secrets(base: Path) -> Iterator[str]:
    """Yield what others may not read, and sockets and the like; what is hidden is not walked into."""
    waiting = list(_WALKED)
    left = _MOST_LOOKED_AT
    while waiting:
        path = waiting.pop()
        if path in _NEEDED:
            continue
        if left <= 0:
            yield path
            continue
        try:
            entries = list(_entries(base, path))
        except OSError:  # What cannot be looked at is not shown.
            yield path
            continue
        left -= len(entries)
        for name, mode in entries:
            inside = f"{path}/{name}"
            if inside in _EMPTY or inside in _NEEDED:
                continue
            if _is_secret(mode):
                yield inside
            elif stat.S_ISDIR(mode):
                waiting.append(inside)


def _entries(base: Path, path: str) -> Iterator[tuple[str, int]]:
    """Yield what is in a directory, with its mode; a directory that is none is empty, and so is what has just gone."""
    try:
        entries = os.scandir(base / path.lstrip("/"))
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            try:
                mode = entry.stat(follow_symlinks=False).st_mode
            except FileNotFoundError:
                continue
            yield entry.name, mode


def _is_secret(mode: int) -> bool:
    if stat.S_ISLNK(mode):
        return False
    if stat.S_ISDIR(mode):
        return mode & _ENTERED_BY_OTHERS != _ENTERED_BY_OTHERS
    return not stat.S_ISREG(mode) or not mode & _READ_BY_OTHERS


def _generated(base: Path) -> dict[str, str]:
    """Return files that stand for the host's: accounts without passwords, and how to find other hosts."""
    made = {"/usr/sbin/policy-rc.d": _NO_SERVICES}
    users, groups = (_first_fields(base / "etc" / name) for name in ("passwd", "group"))
    made["/etc/shadow"] = "".join(f"{name}:*:19000:0:99999:7:::\n" for name in users)
    made["/etc/gshadow"] = "".join(f"{name}:*::\n" for name in groups)
    for path in _COPIED:  # They may be links into /run, or mounts.
        try:
            text = (base / path.lstrip("/")).read_text(errors="replace")
        except (OSError, ValueError):
            continue
        if len(text) <= _LARGEST_COPY:
            made[path] = text
    return {path: text for path, text in made.items() if (base / path.lstrip("/")).parent.is_dir()}


def _first_fields(path: Path) -> list[str]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [line.partition(":")[0] for line in lines if ":" in line]


def _mode_of_file(path: str) -> int:
    if path in ("/etc/shadow", "/etc/gshadow"):
        return 0o640
    if path.startswith("/root/"):
        return 0o600
    return 0o755 if path.endswith("/policy-rc.d") else 0o644


def _can_be(base: Path, path: str) -> bool:
    """Say whether an empty directory can be at `path`: its parent is one on the host, and no link."""
    parent = base / path.lstrip("/").rpartition("/")[0]
    return parent.is_dir() and not parent.is_symlink()


def _covered(path: str, places: set[str]) -> bool:
    parent = path
    while parent:
        if parent in places:
            return True
        parent = parent.rpartition("/")[0]
    return False


def _is_below(path: str, inside: str) -> bool:
    return path.startswith(f"{inside}/")


def _is_in(base: Path, path: Path) -> bool:
    return path != base and base in path.parents


def _inside(base: Path, path: Path) -> str:
    return "/" + str(path.relative_to(base))


def _copy_mode(source: Path, target: Path) -> None:
    try:
        status = source.stat()
    except FileNotFoundError:
        target.chmod(0o755)
        return
    target.chmod(stat.S_IMODE(status.st_mode))
    os.chown(target, status.st_uid, status.st_gid)
