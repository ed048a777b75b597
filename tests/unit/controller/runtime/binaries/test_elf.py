"""What ELF files and ld.so.cache say, compared with what the loader itself says."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.runtime.binaries import elf, ldcache
from controller.runtime.binaries.closure import MissingLibrary, closure
from controller.runtime.binaries.elf import NotElf

SHELL = Path("/bin/sh").resolve()
CACHE = Path("/etc/ld.so.cache")


def libraries_by_ldd(program: Path) -> dict[str, str]:
    """Ask the loader itself."""
    output = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"^\s*(\S+) => (/\S+)", output, re.MULTILINE))


def test_a_program_names_its_interpreter_and_its_libraries():
    found = elf.parse(SHELL.read_bytes())

    assert Path(found.interpreter).exists()
    assert "libc.so.6" in found.needed


@pytest.mark.parametrize("program", [SHELL, Path("/usr/bin/env").resolve(), Path(sys.executable).resolve()])
def test_a_closure_is_what_the_loader_would_load(program: Path):
    found = closure([program], [Path(sys.base_prefix) / "lib"])

    wanted = libraries_by_ldd(program)
    assert {name: path.resolve() for name, path in found.libraries.items() if name in wanted} == {
        name: Path(path).resolve() for name, path in wanted.items()
    }


def test_files_that_are_no_programs_need_nothing(tmp_path: Path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")

    assert closure([script]).libraries == {}


def test_a_missing_library_is_named_with_who_needs_it(tmp_path: Path):
    program = tmp_path / "program"
    program.write_bytes(SHELL.read_bytes().replace(b"libc.so.6\0", b"libx.so.6\0"))

    with pytest.raises(MissingLibrary, match=rf"cannot find libx\.so\.6, which {program} needs"):
        closure([program])


def test_origin_in_a_search_path_is_where_the_file_lies(tmp_path: Path):
    program = tmp_path / "bin" / "program"
    program.parent.mkdir()
    program.write_bytes(a_program("libown.so", "$ORIGIN/../lib"))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libown.so").write_bytes(a_program("", ""))

    assert closure([program]).libraries["libown.so"].resolve() == tmp_path / "lib" / "libown.so"


def test_a_library_of_another_machine_is_passed_over(tmp_path: Path):
    program = tmp_path / "program"
    program.write_bytes(a_program("libown.so", f"{tmp_path}/arm:{tmp_path}/ours"))
    for directory, machine in (("arm", 183), ("ours", 62)):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "libown.so").write_bytes(a_program("", "", machine))

    assert closure([program]).libraries["libown.so"] == tmp_path / "ours" / "libown.so"


@pytest.mark.parametrize(
    "data", [b"", b"#!/bin/sh", b"\x7fELF", b"\x7fELF" + b"\x09" * 60, b"\x7fELF\x02\x01" + b"\xff" * 60]
)
def test_what_is_no_elf_file_is_refused(data: bytes):
    with pytest.raises(NotElf):
        elf.parse(data)


@settings(max_examples=200)
@given(st.data())
def test_a_broken_elf_file_is_read_or_refused_and_nothing_else(data: st.DataObject):
    content = bytearray(a_program("libown.so", "/a:/b"))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(4, len(content)))
    try:
        found = elf.parse(bytes(content[:cut]))
    except NotElf:
        return
    assert all(isinstance(name, str) for name in found.needed)


def test_the_cache_of_this_machine_knows_its_libc():
    found = ldcache.parse(CACHE.read_bytes())

    assert any(Path(path).exists() for path in found["libc.so.6"])


def test_a_cache_behind_entries_of_the_old_format_is_found():
    old = b"ld.so-1.7.0\0" + struct.pack("=I", 2) + b"\0" * 24

    assert ldcache.parse(old + CACHE.read_bytes()) == ldcache.parse(CACHE.read_bytes())


@given(st.binary(max_size=200), st.integers(0, 500))
def test_any_bytes_as_a_cache_give_paths_or_nothing(junk: bytes, cut: int):
    for data in (junk, b"glibc-ld.so.cache1.1" + junk, CACHE.read_bytes()[:cut]):
        assert all(isinstance(path, str) for paths in ldcache.parse(data).values() for path in paths)


def a_program(needs: str, runpath: str, machine: int = 62) -> bytes:
    """Return a 64-bit little-endian ELF file with one load segment and a dynamic section."""
    strings = b"\0" + needs.encode() + b"\0" + runpath.encode() + b"\0"
    entries = [(5, 0x1000)] + ([(1, 1)] if needs else []) + ([(29, len(needs) + 2)] if runpath else [])
    headers_end = 64 + 2 * 56
    strings_at = headers_end + 16 * (len(entries) + 1)
    entries[0] = (5, strings_at)
    total = strings_at + len(strings)
    header = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, total, total, 4096)
    size = 16 * (len(entries) + 1)
    dynamic = struct.pack("<IIQQQQQQ", 2, 4, headers_end, headers_end, headers_end, size, size, 8)
    section = b"".join(struct.pack("<qQ", *entry) for entry in [*entries, (0, 0)])
    return header + load + dynamic + section + strings
