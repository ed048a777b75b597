"""An archive of Debian packages in a directory, signed with a key of its own, and the configuration that names it.

apt is told by the variable APT_CONFIG, by which an administrator gives it other sources than those of /etc/apt.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from support.debs import Deb
from support.openpgp import SigningKey


@dataclass
class AptArchive:
    """An archive in `directory`, signed by `key`, that apt finds there, or at `url`."""

    directory: Path
    key: SigningKey = field(default_factory=SigningKey)
    url: str = ""

    def write(self, debs: Iterable[Deb], **lines: str) -> None:
        """Write the packages, their index, what is signed, and the configuration of apt, which trusts `key`.

        Args:
            lines: more fields of the Release file.
        """
        pool = self.directory / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        stanzas = []
        for deb in debs:
            (pool / deb.file).write_bytes(deb.data)
            stanzas.append(_stanza(deb))
        index = "\n".join(stanzas).encode()
        (self.directory / "Packages").write_bytes(index)
        (self.directory / "InRelease").write_bytes(self.key.clear_signed(_release(self.key, index, lines)))
        self.configure()

    def copy_to(self, directory: Path, url: str = "") -> "AptArchive":
        """Return the same archive at another place, whose packages are the same files as here."""
        shutil.copytree(self.directory / "pool", directory / "pool", copy_function=os.link)
        for name in ("Packages", "InRelease"):
            shutil.copy(self.directory / name, directory)
        other = AptArchive(directory, self.key, url)
        other.configure()
        return other

    def configure(self, trusted: SigningKey | None = None) -> None:
        """Write the configuration of apt, which trusts one key: that of this archive, if it is not another's."""
        etc = self.directory / "apt"
        for name in ("trusted.gpg.d", "sources.list.d", "apt.conf.d", "preferences.d", "auth.conf.d"):
            (etc / name).mkdir(parents=True, exist_ok=True)
        (etc / "trusted.gpg.d/test.asc").write_bytes((trusted or self.key).public)
        (etc / "sources.list").write_text(f"deb {self.url or f'file:{self.directory}'} ./\n")
        (etc / "apt.conf").write_text(f'Dir::Etc "{etc}";\n')

    @property
    def environment(self) -> dict[str, str]:
        """What a daemon is started with whose host uses this archive."""
        return {"APT_CONFIG": str(self.directory / "apt/apt.conf")}


def architecture() -> str:
    """Return what Debian calls this host's processor."""
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _stanza(deb: Deb) -> str:
    fields = {**deb.fields, "Filename": f"./pool/{deb.file}", "Size": str(len(deb.data)), "SHA256": deb.sha256}
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def _release(key: SigningKey, index: bytes, lines: Mapping[str, str]) -> str:
    fields = {
        "Origin": "a test", "Label": "a test", "Suite": "test", "Codename": "test",
        "Date": formatdate(key.signed, usegmt=True).replace("GMT", "UTC"), "Architectures": architecture(),
        **{name.replace("_", "-"): value for name, value in lines.items()},
    }  # fmt: skip
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return f"{text}SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
