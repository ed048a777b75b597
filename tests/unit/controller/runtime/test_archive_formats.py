"""The formats that an archive may have, told by what is in it."""

import gzip
import hashlib
import io
import lzma
import os
import tarfile
import zlib
from pathlib import Path

import pytest

from controller.engine.errors import TerminalError, TransientError
from controller.runtime.archives import archive, compression
from controller.runtime.archives.archive import Limits, Unpacked
from controller.runtime.archives.compression import Torn, zstd
from support.registry_fixtures import a_package, snapshot
from support.zip_builders import PACKINGS, a_zip, a_zip_file, a_zip_link

PLAIN = gzip.decompress(a_package("a", "1.2.3"))
NOISE = os.urandom(700_000)
PACKED = [name for name in PACKINGS if name != "tar"]


def unpack(data: bytes, into: Path, limits: Limits | None = None) -> Unpacked:
    into.mkdir(exist_ok=True)
    directory = os.open(into, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return archive.unpack(io.BytesIO(data), directory, limits)
    finally:
        os.close(directory)


def plain_of(data: bytes, piece: int = 65536) -> bytes:
    packed = compression.sniff(data[: compression.HEAD_BYTES])
    assert packed is not None
    stream, found = compression.plain(io.BytesIO(data), packed), b""
    while got := stream.read(piece):
        assert len(got) <= piece
        found += got
    return found


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_tar_is_unpacked_however_it_is_packed(tmp_path: Path, packing: str):
    unpack(PACKINGS["gzip"](PLAIN), tmp_path / "expected")
    unpacked = unpack(PACKINGS[packing](PLAIN), tmp_path / "tree")

    assert unpacked.entries == 6
    assert snapshot(tmp_path / "tree") == snapshot(tmp_path / "expected")


def test_a_tar_from_before_posix_is_known_by_its_sum(tmp_path: Path):
    info = tarfile.TarInfo("old")
    info.size = 3
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    unpack(bytes(header) + b"abc".ljust(512, b"\0") + bytes(1024), tmp_path / "tree")

    assert (tmp_path / "tree" / "old").read_bytes() == b"abc"


def test_a_zip_is_unpacked(tmp_path: Path):
    unpacked = unpack(
        a_zip(
            a_zip_file("w/", b"", 0o40755),
            a_zip_file("w/bin/tool", b"#!" * 1000, 0o100755),
            a_zip_link("w/bin/alias", "tool"),
            a_zip_file("w/from-windows", b"text", create_system=0, external_attr=0x20),
            a_zip_file("w/stored", NOISE, compress_type=0),
        ),
        tmp_path / "tree",
    )

    tree = tmp_path / "tree" / "w"
    assert unpacked.wrapper == "w"
    assert (tree / "bin" / "tool").read_bytes() == b"#!" * 1000
    assert [path.stat().st_mode & 0o777 for path in (tree / "bin" / "tool", tree / "from-windows")] == [0o755, 0o644]
    assert os.readlink(tree / "bin" / "alias") == "tool"
    assert (tree / "stored").read_bytes() == NOISE
    assert (tree / "stored").stat().st_mtime == 1_700_000_000
    assert os.listdir(tmp_path / "tree") == ["w"]


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("data", [b"", b"x", NOISE, b"\0" * 5_000_000], ids=["nothing", "x", "noise", "zeros"])
def test_several_members_and_padding_are_read_through_and_never_more_than_asked_for(packing: str, data: bytes):
    pack = PACKINGS[packing]

    assert plain_of(pack(data) + bytes(8) + pack(b"more") + bytes(1024)) == data + b"more"
    assert plain_of(pack(b"abc"), piece=1) == b"abc"


def test_a_frame_of_zstd_that_is_to_be_skipped_is(tmp_path: Path):
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"

    assert unpack(skippable + zstd.compress(PLAIN), tmp_path / "tree").entries == 6


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("cut", [1, 4, 100, 100_000])
def test_a_stream_that_ends_in_the_middle_is_torn(packing: str, cut: int):
    with pytest.raises(Torn):
        plain_of(PACKINGS[packing](NOISE)[:-cut])


@pytest.mark.parametrize("packing", PACKED)
def test_a_changed_byte_is_found(packing: str):
    fields = {"options": {zstd.CompressionParameter.checksum_flag: 1}} if packing == "zstd" else {}
    data = bytearray(PACKINGS[packing](NOISE, **fields))
    data[len(data) // 2] ^= 1

    with pytest.raises(Torn):
        plain_of(bytes(data))


def test_an_xz_that_wants_too_much_memory_is_torn():
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    data = bytearray(compressor.compress(b"x") + compressor.flush())
    # In the header of its block the size of the dictionary, now 512 MiB, and the header's sum.
    data[16] = 34
    data[20:24] = zlib.crc32(data[12:20]).to_bytes(4, "little")

    with pytest.raises(Torn, match="[Mm]emory"):
        plain_of(bytes(data))


def test_a_zstd_that_wants_too_much_memory_is_torn():
    options = {zstd.CompressionParameter.window_log: 28}
    compressor = zstd.ZstdCompressor(options=options)
    data = compressor.compress(b"x") + compressor.flush()

    with pytest.raises(Torn, match="memory|window"):
        plain_of(data)


@pytest.mark.parametrize(
    "data", [b"<html>", b"\x7fELF" + bytes(600), b"BZh91AY&SY" + bytes(600), b"Rar!\x1a\x07\x00" + bytes(600)]
)
def test_anything_else_is_no_archive_whatever_it_is_called(tmp_path: Path, data: bytes):
    with pytest.raises(TransientError, match=r"neither a \.tar.*nor a \.zip") as caught:
        unpack(data, tmp_path / "tree")
    assert caught.value.reason == "DamagedArchive"


@pytest.mark.parametrize("keep", [4, 30, 100, -30, -1])
def test_a_torn_zip_is_damaged_and_leaves_no_file_beside_the_tree(tmp_path: Path, keep: int):
    data = a_zip(a_zip_file("a", NOISE[:5000]), a_zip_file("b"))

    with pytest.raises(TransientError, match="it is not whole"):
        unpack(data[:keep], tmp_path / "tree")
    assert os.listdir(tmp_path / "tree") == []


def test_a_zip_with_a_changed_byte_is_damaged(tmp_path: Path):
    data = bytearray(a_zip(a_zip_file("a", NOISE[:5000], compress_type=0)))
    data[2000] ^= 1

    with pytest.raises(TransientError, match="CRC"):
        unpack(bytes(data), tmp_path / "tree")


def test_a_zip_is_looked_at_only_when_it_was_verified(tmp_path: Path):
    def verify() -> None:
        raise TerminalError("Wrong", "it is another one")

    (tmp_path / "tree").mkdir()
    directory = os.open(tmp_path / "tree", os.O_RDONLY)
    try:
        with pytest.raises(TerminalError, match="it is another one"):
            archive.unpack(io.BytesIO(a_zip(a_zip_file("a"))), directory, None, verify)
    finally:
        os.close(directory)
    assert os.listdir(tmp_path / "tree") == []


def test_the_digests_are_those_of_the_files(tmp_path: Path):
    for name, data in {"zip": a_zip(a_zip_file("w/a", NOISE)), "tar": a_package("a", wrapper="w")}.items():
        unpacked = unpack(data, tmp_path / name)
        files = {
            p.relative_to(tmp_path / name / "w"): p
            for p in (tmp_path / name / "w").rglob("*")
            if p.is_file() and not p.is_symlink()
        }
        found = {str(path): hashlib.sha256(file.read_bytes()).digest() for path, file in files.items()}
        known = unpacked.digests_in_wrapper()
        assert {path: known.get(path) for path in (*found, "missing")} == {**found, "missing": None}
