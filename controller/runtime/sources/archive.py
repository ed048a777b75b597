"""The way of a packed tree to its place: an archive at a URL or a path, of a known checksum.

Never here: unpacking (`archive.py`), and downloading in several tries (`controller/registry/resume.py`).
Invariant: without a checksum there is no source: nothing is taken on trust.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from controller.registry.access import ANYONE, Access
from controller.runtime.archives.download import Archive, Progress
from controller.runtime.sources.registry import downloaded
from controller.runtime.trees.source import LogLine, Made

if TYPE_CHECKING:
    from controller.runtime.trees.install import Host


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """An archive. `location` is /PATH, file:///PATH or http(s)://HOST/PATH; `access` goes to its own origin only."""

    name: str
    version: str
    location: str
    sha256: str
    size_bytes: int | None = None
    access: Access = ANYONE

    @property
    def kind(self) -> str:
        """What kind of source it is."""
        return "archive"

    @property
    def offered_by(self) -> str:
        """Nobody: it is named by the Runtime itself."""
        return ""

    @property
    def fingerprint(self) -> str:
        """The checksum: another archive under the same version is installed anew."""
        return f"sha256:{self.sha256}"

    @property
    def url(self) -> str:
        """Its address as a URL."""
        is_path = self.location.startswith("/")
        return "file://" + quote(self.location, safe="/@:+~") if is_path else self.location

    def refuse(self, platform: str) -> str:
        """Say why it cannot be used on `platform`: its own manifest says that, once it is unpacked."""
        return ""

    def make(self, staging: Path, host: "Host", progress: Progress | None, log: LogLine) -> Made:
        """Download and unpack it into `staging`, and run its recipe if that is what it is."""
        wanted = Archive(self.url, self.sha256, self.size_bytes, access=self.access, promised_by="spec.archive")
        return downloaded(self, wanted, staging, host, progress, log)
