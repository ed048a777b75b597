"""Python packages and an index of them (PEP 503) on this machine: wheels, and sources that make a wheel of themselves.

The sources bring their build backend (PEP 517, `backend-path`), so that building them needs nothing from anywhere.
"""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.hostile_server import Exchange, HostileServer, hostile_server

_TIME = 946684800
_BACKEND = """
import zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    {first}
    name = "{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(directory + "/" + name, "w") as wheel:
        for path, text in {files!r}.items():
            wheel.writestr(path, text)
    return name
"""
_PROJECT = """
[build-system]
requires = []
build-backend = "own_backend"
backend-path = ["."]
"""


@dataclass(frozen=True)
class Distribution:
    """A file of an index."""

    project: str
    file: str
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def a_wheel(name: str, version: str, *needs: str, more: str = "") -> Distribution:
    """Return a wheel with one module, called as it is, that knows its version; `more` is another's file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in _wheel_files(name, version, needs, more).items():
            archive.writestr(zipfile.ZipInfo(path, (2000, 1, 1, 0, 0, 0)), content)
    return Distribution(name, f"{name}-{version}-py3-none-any.whl", buffer.getvalue())


def a_source(name: str, version: str, first: str = "pass") -> Distribution:
    """Return a source archive of what `a_wheel` makes; its backend does `first` before it builds."""
    files = _wheel_files(name, version, ())
    texts = {
        "pyproject.toml": _PROJECT,
        "own_backend.py": _BACKEND.format(name=name, version=version, files=files, first=first),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in texts.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size, entry.mtime = len(content), _TIME
            archive.addfile(entry, io.BytesIO(content.encode()))
    return Distribution(name, f"{name}-{version}.tar.gz", buffer.getvalue())


@contextmanager
def a_python_index(*offered: Distribution) -> Iterator[HostileServer]:
    """Serve them as an index below /simple for as long as the block runs."""
    pages = {f"/simple/{project}/": _page(offered, project) for project in {each.project for each in offered}}
    files = {f"/files/{each.file}": each.data for each in offered}
    with serving({**pages, **files}) as server:
        yield server


@contextmanager
def serving(answers: Mapping[str, bytes]) -> Iterator[HostileServer]:
    """Answer requests for these paths."""

    def behave(exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0]
        if path in answers:
            kind = "application/json" if answers[path].startswith(b"{") else "text/html"
            exchange.answer(answers[path], Content_Type=kind)
        else:
            exchange.answer(b"no", status=404)

    with hostile_server(behave) as server:
        yield server


def index(server: HostileServer, login: str = "") -> dict[str, str]:
    """Return what a daemon is started with whose host uses this index alone."""
    return {"PIP_INDEX_URL": f"{server.url.replace('://', f'://{login}')}/simple", "PIP_RETRIES": "0"}


def _page(offered: Iterable[Distribution], project: str) -> bytes:
    links = [f'<a href="/files/{each.file}">{each.file}</a>' for each in offered if each.project == project]
    return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()


def _wheel_files(name: str, version: str, needs: Iterable[str], more: str = "") -> dict[str, str]:
    about = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{name}.py": f'VERSION = "{version}"\n',
        **({more: ""} if more else {}),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    return {**files, f"{about}/RECORD": "".join(f"{path},,\n" for path in (*files, f"{about}/RECORD"))}
