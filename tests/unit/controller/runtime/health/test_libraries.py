"""What is said of the libraries of a real runtime: the tools of this machine, with parts taken away."""

import shutil
from pathlib import Path

import pytest

from controller.runtime.health import libraries
from controller.runtime.trees import tree as trees
from support.shell_runtime import shell_tree


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    return shell_tree(tmp_path / "tools-1.0.0", "tools", "1.0.0")


def missing(runtime: Path) -> tuple[str, ...]:
    manifest = trees.inspect(runtime).manifest
    assert manifest is not None
    return libraries.missing(runtime, manifest)


def libc_of(runtime: Path) -> Path:
    return next(runtime.rglob("libc.so.6"))


def test_a_whole_runtime_lacks_nothing(runtime: Path):
    assert missing(runtime) == ()


def test_a_library_that_is_gone_is_named_with_each_that_needs_it(runtime: Path):
    libc_of(runtime).unlink()
    said = missing(runtime)
    assert "/bin/cat needs libc.so.6, which is not in the runtime" in said
    assert "/bin/ls needs libc.so.6, which is not in the runtime" in said


def test_a_loader_that_is_gone_is_named(runtime: Path):
    for loader in runtime.rglob("ld-linux*"):
        loader.unlink()
    assert any("/bin/cat needs the loader /lib" in line for line in missing(runtime))


def test_a_library_elsewhere_in_the_tree_counts_as_found_by_its_name(runtime: Path):
    libc = libc_of(runtime)
    aside = runtime / "isolated/etc/private"
    aside.mkdir()
    libc.rename(aside / "libc.so.6")
    assert missing(runtime) == ()


def test_a_library_of_another_machine_does_not_serve(runtime: Path):
    libc = libc_of(runtime)
    other = bytearray(libc.read_bytes())
    other[18] ^= 0xFF  # e_machine
    libc.unlink()
    libc.write_bytes(other)
    assert "/bin/cat needs libc.so.6, which is not in the runtime" in missing(runtime)


def test_a_link_of_another_name_serves_where_the_loader_looks(runtime: Path):
    libc = libc_of(runtime)
    hidden = libc.with_name("real.bin")
    data = libc.read_bytes().replace(b"libc.so.6\0", b"libz.so.6\0")  # So that its soname gives nothing away.
    libc.unlink()
    hidden.write_bytes(data)
    libc.symlink_to("real.bin")
    assert not any("/bin/cat needs libc.so.6" in line for line in missing(runtime))


def test_the_host_is_never_looked_at(runtime: Path):
    libc = libc_of(runtime)
    host = Path("/") / libc.relative_to(runtime / "isolated")
    assert host.exists()
    libc.unlink()
    libc.symlink_to(host)
    assert "/bin/cat needs libc.so.6, which is not in the runtime" in missing(runtime)


def test_broken_and_short_elf_files_are_no_ones_need(runtime: Path):
    (runtime / "isolated/bin/short").write_bytes(b"\x7fELF")
    (runtime / "isolated/bin/broken").write_bytes(b"\x7fELF" + b"\xff" * 4096)
    shutil.copy(runtime / "isolated/bin/cat", runtime / "isolated/bin/torn")
    with (runtime / "isolated/bin/torn").open("r+b") as file:
        file.truncate(200)
    assert missing(runtime) == ()
