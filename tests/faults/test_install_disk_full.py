"""A disk that fills up while a runtime is unpacked."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from controller.engine.errors import TransientError
from controller.runtime.trees import install, remembered, store
from support.registry_fixtures import RegistryOnDisk, a_file, a_host, a_package, snapshot


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.needs_root
def test_a_full_disk_is_told_leaves_nothing_and_is_no_end(tmp_path: Path, small_disk: Path):
    registry = RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0")
    registry.add("big", "1.0.0", a_package("big", "1.0.0", a_file("zeros", b"\0" * (1 << 20))))
    with a_host(small_disk / "root") as host:
        install.install(registry.package("a"), host)
        before = snapshot(small_disk / "root" / "a-1.0.0")
        with pytest.raises(TransientError, match="No space left on device") as caught:
            install.install(registry.package("big"), host)

        assert caught.value.reason == "InsufficientSpace"
        assert os.listdir(small_disk / "root" / ".staging") == []
        assert snapshot(small_disk / "root" / "a-1.0.0") == before
        assert install.remove(small_disk / "root", "a", "1.0.0")


@pytest.mark.needs_root
@pytest.mark.invariant("I11")
def test_a_version_is_removed_from_a_full_disk_and_what_it_held_is_remembered(tmp_path: Path, small_disk: Path):
    registry = RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0")
    with a_host(small_disk / "root") as host:
        digest = install.install(registry.package("a"), host).origin.digest
        with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 4096)
        assert install.remove(host.root, "a", "1.0.0")

        assert not (host.root / "a-1.0.0").exists()
        store.collect(host.root)
        known = remembered.read(host.root, "a", "1.0.0")
        assert known is not None
        assert known.digest == digest
