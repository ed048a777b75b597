"""Debian packages made without Debian's tools: small ones of a test's own, and this host's, packed again as installed.

What is packed again is real: files, modes, links and the maintainer's scripts. So a build has the Essential packages that
it begins with, and no archive of the network is needed for them.
"""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_STATUS = Path("/var/lib/dpkg/status")
_INFO = Path("/var/lib/dpkg/info")
_CONTROL_FILES = ("preinst", "postinst", "prerm", "postrm", "config", "templates", "triggers", "shlibs", "symbols")
_DROPPED = {"Status", "Conffiles", "Config-Version"}
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_LEFT_OUT = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/info/", "/usr/share/locale/")
_TIME = 946684800


@dataclass(frozen=True)
class Deb:
    """A package's file, and the fields of its control file."""

    fields: Mapping[str, str]
    data: bytes = field(repr=False)

    @property
    def name(self) -> str:
        return self.fields["Package"]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def file(self) -> str:
        """What archives call it: without the epoch."""
        return f"{self.name}_{self.fields['Version'].rpartition(':')[2]}_{self.fields['Architecture']}.deb"


def a_deb(
    name: str, version: str, files: Mapping[str, str | bytes], scripts: Mapping[str, str] | None = None, **fields: str
) -> Deb:
    """Return a package that holds `files`, by absolute path; those in a directory named bin can be run."""
    stanza = {
        "Package": name, "Version": version, "Architecture": "all", "Maintainer": "A test <test@example.org>",
        "Description": "made by a test", **{key.replace("_", "-"): value for key, value in fields.items()},
    }  # fmt: skip
    tree = _Tree()
    for path, content in sorted(files.items()):
        data = content.encode() if isinstance(content, str) else content
        tree.add_file(path, data, 0o755 if path.split("/")[-2] in ("bin", "sbin") else 0o644)
    return _deb(stanza, tree, {key: text.encode() for key, text in (scripts or {}).items()})


def of_this_host(names: Iterable[str]) -> list[Deb]:
    """Return packages that are installed here, and what they need, each as a package again; what is not here, not."""
    installed = _installed()
    return [_packed_again(installed[name]) for name in sorted(_closure(installed, names))]


def essential_names() -> list[str]:
    """Return what of this host Debian calls essential."""
    return [name for name, fields in _installed().items() if fields.get("Essential") == "yes"]


def version_here(name: str) -> str:
    """Return the version of a package of this host; "" if it is not installed."""
    return _installed().get(name, {}).get("Version", "")


def provided_here(name: str) -> tuple[str, ...]:
    """Return the names that a package of this host provides beside its own."""
    provided = _installed().get(name, {}).get("Provides", "")
    return tuple(each.split()[0] for each in provided.split(",") if each.strip())


class _Tree:
    """A data.tar that is being written; its directories come by themselves."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.GNU_FORMAT)
        self._made: set[str] = set()

    def add_file(self, path: str, data: bytes, mode: int) -> None:
        self._parents(path)
        entry = self._entry(path, tarfile.REGTYPE, mode)
        entry.size = len(data)
        self._tar.addfile(entry, io.BytesIO(data))

    def add_from_host(self, path: str) -> None:
        """Add what is at `path` here; nothing if there is nothing: documentation may have been left out."""
        source = Path(path)
        try:
            found = source.lstat()
        except OSError:
            return
        if path.startswith(_LEFT_OUT) and not path.endswith("/copyright"):
            return
        self._parents(path)
        entry = self._tar.gettarinfo(source, arcname=f".{path}")
        if entry.islnk():  # Counted among other files of the host: here it is a file of its own.
            entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", found.st_size
        if entry.isdir():
            if path not in self._made:
                self._made.add(path)
                self._tar.addfile(entry)
        elif entry.isreg():
            with source.open("rb") as file:
                self._tar.addfile(entry, file)
        else:
            self._tar.addfile(entry)

    def bytes(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()

    def _parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent and parent not in self._made:
            self._parents(parent)
            self._made.add(parent)
            self._tar.addfile(self._entry(parent, tarfile.DIRTYPE, 0o755))

    def _entry(self, path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(f".{path}")
        entry.type, entry.mode, entry.mtime, entry.uname, entry.gname = kind, mode, _TIME, "root", "root"
        return entry


def _deb(fields: Mapping[str, str], tree: _Tree, control: Mapping[str, bytes]) -> Deb:
    buffer = io.BytesIO()
    stanza = "".join(f"{name}: {value}\n" for name, value in fields.items())
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in {"control": stanza.encode(), **control}.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o755, _TIME
            tar.addfile(entry, io.BytesIO(data))
    members = (("debian-binary", b"2.0\n"), ("control.tar", buffer.getvalue()), ("data.tar", tree.bytes()))
    return Deb(fields, b"!<arch>\n" + b"".join(_member(name, data) for name, data in members))


def _member(name: str, data: bytes) -> bytes:
    """Return a file of an ar archive."""
    head = f"{name:<16}{_TIME:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n"
    return head.encode() + data + b"\n" * (len(data) % 2)


def _packed_again(fields: Mapping[str, str]) -> Deb:
    name, architecture = fields["Package"], fields["Architecture"]
    prefix = name if (_INFO / f"{name}.list").is_file() else f"{name}:{architecture}"
    tree = _Tree()
    for path in (_INFO / f"{prefix}.list").read_text().splitlines():
        if path.strip("/."):
            tree.add_from_host(path)
    # dpkg takes a package without a file of its own for one that others have replaced.
    tree.add_file(f"/usr/share/doc/{name}.packed-again", b"", 0o644)
    places = {kind: _INFO / f"{prefix}.{kind}" for kind in _CONTROL_FILES}
    control = {kind: place.read_bytes() for kind, place in places.items() if place.is_file()}
    kept = [line.split()[0] for line in fields.get("Conffiles", "").splitlines() if line and "obsolete" not in line]
    control["conffiles"] = "".join(f"{path}\n" for path in kept if Path(path).is_file()).encode()
    return _deb({key: value for key, value in fields.items() if key not in _DROPPED}, tree, control)


def _installed() -> dict[str, dict[str, str]]:
    """Return the control fields of every package of this host by name."""
    found = {}
    for stanza in _STATUS.read_text().split("\n\n"):
        fields = dict(re.findall(r"(?m)^([A-Za-z-]+):[ ]?(.*(?:\n[ \t].*)*)", stanza))
        if fields.get("Status", "").endswith(" installed"):
            found.setdefault(fields["Package"], fields)
    return found


def _closure(installed: Mapping[str, Mapping[str, str]], names: Iterable[str]) -> set[str]:
    provided: dict[str, list[str]] = {}
    for name, fields in installed.items():
        for each in _NAME.findall(re.sub(r"\(.*?\)", "", fields.get("Provides", ""))):
            provided.setdefault(each, []).append(name)
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in installed:
            left += [each for each in provided.get(name, ()) if each not in found]
        elif name not in found:
            found.add(name)
            left += _needed(installed[name])
    return found


def _needed(fields: Mapping[str, str]) -> list[str]:
    """Return every name in what a package needs, each of several that would do among them."""
    said = f"{fields.get('Depends', '')},{fields.get('Pre-Depends', '')}"
    return [_NAME.findall(each)[0] for each in re.split(r"[,|]", re.sub(r"\(.*?\)", "", said)) if each.strip()]
