"""Where a registry is: from the ways people write it to the URL of its registry.json, and from there to archives.

    file:///srv/runtimes        a directory with a registry.json, or the file itself
    https://host/registry.json
    owner/repo                  on GitHub, branch main; so is https://github.com/owner/repo

Pure. Invariant: what a registry on the network names stays on the network: it never reaches a local file.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit

from api import urls
from controller.engine.errors import TerminalError

CATALOGUE = "registry.json"
_SHORTHAND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*")
_RAW = "https://raw.githubusercontent.com/{}/main/" + CATALOGUE
_GITHUB = frozenset({"github.com", "www.github.com"})
_HOW = "write file:///DIRECTORY, https://HOST/registry.json or OWNER/REPO"


@dataclass(frozen=True, slots=True)
class Location:
    """The URL of a registry.json; `path` is set where it is a local file."""

    url: str
    path: Path | None = None


def locate(text: str) -> Location:
    """Return where the registry written as `text` has its catalogue. A file:// directory is looked for on disk later.

    >>> locate("myorg/runtimes").url
    'https://raw.githubusercontent.com/myorg/runtimes/main/registry.json'

    Raises:
        TerminalError: InvalidLocation, it is not written in a way that we know.
    """
    written = text.strip()
    if written.startswith("/"):
        written = "file://" + quote(written, safe="/@:+~")
    if _SHORTHAND.fullmatch(written) and ".." not in written:
        return Location(_RAW.format(written.removesuffix(".git")))
    parts = urlsplit(written)
    if parts.scheme == "file":
        return _locate_file(text, written)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _invalid(text, "it is neither a URL nor OWNER/REPO")
    if urls.names_somebody(written):
        raise _invalid(text, "it carries a password, which messages would show")
    repository = parts.path.strip("/").removesuffix(".git")
    if parts.hostname in _GITHUB and _SHORTHAND.fullmatch(repository):
        return Location(_RAW.format(repository))
    return Location(written + CATALOGUE if parts.path.endswith("/") else written)


def archive_url(registry: Location, download_url: str) -> str:
    """Return the URL of an archive that the registry names, relative names counted from its registry.json.

    Raises:
        TerminalError: InvalidLocation, the scheme is unknown or leads from the network to a file.
    """
    try:
        url = urljoin(registry.url, download_url)
        parts = urlsplit(url)
    except ValueError as error:
        raise TerminalError(
            "InvalidLocation", f"cannot download {urls.redacted(download_url)[:200]}: {error}"
        ) from None
    if urls.names_somebody(url):
        raise TerminalError("InvalidLocation", "cannot download an archive: its address has a password in it")
    if parts.scheme not in ("http", "https", "file"):
        raise TerminalError("InvalidLocation", f"cannot download {url}: its scheme is none of file, http and https")
    if parts.scheme == "file" and registry.path is None:
        raise TerminalError(
            "InvalidLocation", f"cannot download {url}: the registry {registry.url} may not name local files"
        )
    return url


def mirrored_url(registry: Location, mirror: Location, url: str) -> str | None:
    """Return where `mirror` should have what `registry` has at `url`: at the same place, seen from registry.json.

    What the registry has elsewhere, the mirror has under its file name, beside its registry.json. None is nowhere.

    >>> mirrored_url(locate("https://a.org/r/"), locate("https://b.org/m/"), "https://a.org/r/x/y.tar.gz")
    'https://b.org/m/x/y.tar.gz'
    """
    beside = registry.url.rpartition("/")[0] + "/"
    below = url.removeprefix(beside) if url.startswith(beside) else urlsplit(url).path.rpartition("/")[2]
    steps = unquote(urlsplit(f"./{below}").path).split("/")
    if not below or ".." in steps or "\0" in unquote(below):
        return None
    return urljoin(mirror.url, f"./{below}")


def local_path(url: str) -> Path | None:
    """Return the file that a file:// URL names, or None for other URLs."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _locate_file(text: str, url: str) -> Location:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise _invalid(text, "a file is on this host and its path absolute")
    path = Path(unquote(parts.path))
    if path.suffix != ".json":
        path /= CATALOGUE
    return Location("file://" + quote(str(path), safe="/@:+~"), path)


def _invalid(text: str, why: str) -> TerminalError:
    return TerminalError("InvalidLocation", f'cannot use "{urls.redacted(text)[:200]}" as a registry: {why}: {_HOW}')
