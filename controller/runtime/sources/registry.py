"""The registry's way to a tree: one entry of a catalogue, downloaded, unpacked and, if it is a recipe, built.

Never here: which entry is wanted (`offers.py`), and what becomes of the tree (`install.py`).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from api.packages.identity import SETUP
from controller.engine.errors import TerminalError
from controller.registry.access import ANYONE, Access
from controller.registry.catalogue import Entry, why_unsupported
from controller.registry.parts import Parts
from controller.runtime.archives import download
from controller.runtime.archives.download import Archive, Progress
from controller.runtime.trees import tree
from controller.runtime.trees.origin import Origin
from controller.runtime.trees.source import LogLine, Made, TreeSource, fresh_directory

if TYPE_CHECKING:
    from controller.runtime.trees.install import Host


@dataclass(frozen=True, slots=True)
class Package:
    """An entry of a catalogue, the URL of its archive in full, and who offers it.

    `mirrors` are URLs where the archive is too, `access` is the right with which the registry's server is asked.
    """

    entry: Entry
    url: str
    registry: str
    mirrors: tuple[str, ...] = ()
    access: Access = ANYONE

    @property
    def name(self) -> str:
        """The runtime's name."""
        return self.entry.name

    @property
    def version(self) -> str:
        """The exact version."""
        return self.entry.version

    @property
    def kind(self) -> str:
        """What kind of source it is."""
        return "registry"

    @property
    def offered_by(self) -> str:
        """The registry."""
        return self.registry

    @property
    def fingerprint(self) -> str:
        """Nothing: a version of a registry never changes."""
        return ""

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the archive, where the catalogue tells."""
        return self.entry.size_bytes

    def refuse(self, platform: str) -> str:
        """Say why it cannot be used on `platform`; empty if it can."""
        return why_unsupported(self.entry, platform)

    def changed_since(self, known: Origin) -> str:
        """Say how the registry's version is not any more what was installed as that version; empty if it is."""
        if not known.sha256 or known.sha256 == self.entry.sha256:
            return ""
        return (
            f"{self.registry} now offers {self.name}@{self.version} with checksum sha256:{self.entry.sha256}, "
            f"installed is sha256:{known.sha256} from {known.registry}: a version must not change; ask its owner"
        )

    def make(self, staging: Path, host: "Host", progress: Progress | None, log: LogLine) -> Made:
        """Download and unpack it into `staging`, and run its recipe if that is what it is."""
        wanted = Archive(self.url, self.entry.sha256, self.entry.size_bytes, self.mirrors, self.access)
        return downloaded(self, wanted, staging, host, progress, log)


def downloaded(
    source: TreeSource, wanted: Archive, staging: Path, host: "Host", progress: Progress | None, log: LogLine
) -> Made:
    """Download and unpack what is `wanted` of `source` into `staging`, and run its recipe if that is what it is."""
    package = fresh_directory(staging / "package")
    descriptor = os.open(package, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        received = download.fetch_into(
            descriptor, wanted, host.client, limits=host.limits, progress=progress, patience=host.patience,
            parts=Parts.below(host.root, host.clock, host.space_floor_bytes),
        )  # fmt: skip
    finally:
        os.close(descriptor)
    wrapper = received.unpacked.wrapper
    unpacked = package / wrapper if wrapper else package
    payload = built_if_recipe(source, unpacked, staging, host, log, progress)
    return Made(
        payload=payload,
        url=received.url,
        sha256=wanted.sha256,
        archive_bytes=received.archive_bytes,
        entries=received.unpacked.entries,
        expanded_bytes=received.unpacked.expanded_bytes,
        scripted=payload != unpacked,
        digests=received.unpacked.digests_in_wrapper() if payload == unpacked else {},
    )


def built_if_recipe(
    source: TreeSource, package: Path, staging: Path, host: "Host", log: LogLine, progress: Progress | None = None
) -> Path:
    """Return the tree of an unpacked `package`: itself, or what its recipe makes in `staging`.

    `progress` is called on while the recipe runs: what it raises, as when nobody wants the tree any more, ends it.

    Raises:
        TerminalError: InvalidRuntime, it is neither, or a recipe and `host` runs none.
    """
    names = os.listdir(package)
    if tree.MANIFEST in names:
        return package
    if not any(name == SETUP or (name.startswith("setup-") and name.endswith(".sh")) for name in names):
        raise _invalid(source, "Invalid runtime package: no runtime.yml or setup.sh found after extraction")
    if host.build_recipe is None:
        why = f"it is a recipe ({SETUP}), not a prebuilt tree: this host builds none"
        raise _invalid(source, why)
    size = sum(file.stat().st_size for file in package.iterdir() if file.is_file())

    def tick() -> None:
        if progress is not None:
            progress(size, size)

    built = fresh_directory(staging / "built")
    return host.build_recipe(package, source.name, source.version, built, log, tick=tick)


def _invalid(source: TreeSource, why: str) -> TerminalError:
    return TerminalError("InvalidRuntime", f"cannot install {source.name}@{source.version}: {why}")
