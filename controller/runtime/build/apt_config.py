"""What apt on this host is configured to read that builds do not see anyway: its own /etc/apt, archives on local disks.

An administrator names another configuration in APT_CONFIG, archives by `file:` and `copy:`, keys by `signed-by`.
What lies below /etc and /usr every build sees. Never here: how it is mounted; archives on the network.
Invariant: a directory of the system itself is never given: what is mounted there would take the build's own place.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

VARIABLE = "APT_CONFIG"
_ETC = re.compile(r'(?im)^[ \t]*Dir::Etc(?:::[\w-]+)?[ \t]+"(/[^"\n]+)"')
_FILES = re.compile(r'(?im)^[ \t]*Acquire::https?::(?:\S+::)?(?:CAInfo|CAPath|SslCert|SslKey)[ \t]+"(/[^"\n]+)"')
_COMMENT = re.compile(r"(?m)^[ \t]*#.*$")
_ARCHIVE = re.compile(r"(?:^|[\s:])(?:file|copy):(?://)?(/[^\s\]]+)")
_KEYS = re.compile(r"(?i)signed-by[ \t]*[=:][ \t]*((?:/[^\s,\]]+[ \t,]*)+)")
_SEEN = ("/etc", "/usr")
_NEVER = frozenset({
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/media", "/mnt", "/opt", "/proc",
    "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64",
    "/usr/local", "/usr/sbin", "/usr/share", "/var", "/var/cache", "/var/lib", "/var/log", "/var/spool", "/var/tmp",
})  # fmt: skip


def directories(text: str) -> tuple[Path, ...]:
    """Return what the configuration file `text` names in the place of /etc/apt and of what is in it.

    It is read as `apt-config dump` writes it: one option a line.

    >>> directories('Dir::Etc "/srv/apt";')
    (PosixPath('/srv/apt'),)
    """
    return tuple(Path(found) for found in _ETC.findall(text))


def shares(environment: Mapping[str, str], base: Path = Path("/")) -> tuple[tuple[Path, str], ...]:
    """Return what of this host a build is to see besides, for apt to work as configured, and where.

    Args:
        base: the root of the host.
    """
    text = read(base, environment.get(VARIABLE, ""))
    own = directories(text)
    named = {*(str(path) for path in own), *_FILES.findall(text)}
    for source in _sources(base, own or (Path("/etc/apt"),)):
        plain = _COMMENT.sub("", source)
        named.update(_ARCHIVE.findall(plain))
        named.update(key for keys in _KEYS.findall(plain) for key in re.split(r"[\s,]+", keys) if key)
    wanted = sorted({_plain(name) for name in named})
    return tuple((real, name) for name in wanted if (real := _real(base, name)) is not None)


def read(base: Path, name: str) -> str:
    """Return a configuration file; "" if it is not there, or not named by its whole path."""
    try:
        return (base / name.lstrip("/")).read_text(errors="replace") if name.startswith("/") else ""
    except OSError:
        return ""


def _sources(base: Path, places: Iterable[Path]) -> Iterable[str]:
    """Yield the lists of archives in `places`, which are directories of apt's, or lists themselves."""
    for place in places:
        at = base / str(place).lstrip("/")
        found = [at] if at.is_file() else [at / "sources.list", *at.glob("*.list"), *at.glob("*.sources")]
        found += [*at.glob("sources.list.d/*.list"), *at.glob("sources.list.d/*.sources")]
        for path in sorted(set(found)):
            yield read(Path("/"), str(path))


def _plain(name: str) -> str:
    """Return the one way to write the path `name`, links and `..` left alone.

    >>> _plain("//srv/./a/"), _plain("/./")
    ('/srv/a', '/')
    """
    return "/" + "/".join(part for part in name.split("/") if part not in ("", "."))


def _real(base: Path, name: str) -> Path | None:
    """Return what `name` is, if it is there, builds do not see it by themselves, and it is not the system's own."""
    if name in _NEVER or ".." in name.split("/") or any(name == top or name.startswith(f"{top}/") for top in _SEEN):
        return None
    host = base.resolve()
    found = (host / name.lstrip("/")).resolve()
    if not found.is_relative_to(host) or f"/{found.relative_to(host)}".removesuffix("/.") in {*_NEVER, ""}:
        return None
    return found if found.is_dir() or found.is_file() else None
