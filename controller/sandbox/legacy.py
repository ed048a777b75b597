"""What a job without a runtime sees of the host: its programs and libraries, read-only, and little else. Pure.

Never here: looking at the host. Invariant: nothing of /home, /root, /opt, /var, /run, and no account or password file.
"""

from collections.abc import Mapping

from controller.sandbox.spec import Bind

_PROGRAMS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
_SETTINGS = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki",
    "ssl",
)


def legacy_binds(
    root: Mapping[str, str | None], etc: Mapping[str, str | None]
) -> tuple[tuple[Bind, ...], tuple[tuple[str, str], ...]]:
    """Return the binds and the symbolic links that show the host's programs.

    Args:
        root: the names in the host's `/`, each with what it points to if it is a symbolic link, else None.
        etc: the same of `/etc`.

    >>> legacy_binds({"usr": None, "bin": "usr/bin", "home": None}, {"ssl": None, "shadow": None})[1]
    (('/bin', 'usr/bin'),)
    """
    binds = [Bind(f"/{name}", f"/{name}") for name in _PROGRAMS if name in root and root[name] is None]
    links = [(f"/{name}", points_to) for name in _PROGRAMS if (points_to := root.get(name)) is not None]
    binds += [Bind(f"/etc/{name}", f"/etc/{name}") for name in _SETTINGS if name in etc and etc[name] is None]
    links += [(f"/etc/{name}", points_to) for name in _SETTINGS if (points_to := etc.get(name)) is not None]
    return tuple(binds), tuple(links)
