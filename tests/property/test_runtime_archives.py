"""Any bytes as an archive, and any links in a tree."""

import gzip
import io
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from api.packages import links
from controller.engine.errors import TerminalError, TransientError
from controller.runtime.archives import archive
from support.registry_fixtures import a_package, snapshot
from support.zip_builders import PACKINGS, a_zip, a_zip_file, a_zip_link

PACKAGE = a_package("a")
PLAIN = gzip.decompress(PACKAGE)

ZIPPED = a_zip(
    a_zip_file("a/", b"", 0o40755), a_zip_file("a/b", b"b" * 500), a_zip_link("a/c", "b"), a_zip_file("d", b"d" * 50)
)

parts = st.sampled_from(["a", "b", "c", "..", "."])
targets = st.tuples(st.sampled_from(["", "/"]), st.lists(parts, min_size=1, max_size=4)).map(
    lambda pair: pair[0] + "/".join(pair[1])
)
paths = st.lists(st.sampled_from(["a", "b", "c", "isolated"]), min_size=1, max_size=3).map("/".join)


def unpacked_in(base: Path, data: bytes) -> None:
    tree = base / "tree"
    tree.mkdir()
    directory = os.open(tree, os.O_RDONLY)
    try:
        archive.unpack(io.BytesIO(data), directory)
    except (TransientError, TerminalError):
        pass
    finally:
        os.close(directory)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, len(PLAIN) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_tar_with_any_bytes_changed_is_unpacked_or_refused_and_writes_nowhere_else(changes: list[tuple[int, int]]):
    plain = bytearray(PLAIN)
    for at, byte in changes:
        plain[at % 4096 if at % 2 else at] = byte
    with tempfile.TemporaryDirectory() as directory:
        unpacked_in(Path(directory), gzip.compress(bytes(plain), 1))

        assert [name for name in snapshot(Path(directory)) if not name.startswith("tree")] == []


@settings(max_examples=60)
@given(st.integers(0, len(PACKAGE) - 1), st.binary(max_size=8))
def test_a_gzip_with_any_bytes_changed_is_unpacked_or_refused(at: int, junk: bytes):
    data = PACKAGE[:at] + junk + PACKAGE[at + len(junk) :]
    with tempfile.TemporaryDirectory() as directory:
        unpacked_in(Path(directory), data)

        assert os.listdir(directory) == ["tree"]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(ZIPPED) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_zip_with_any_bytes_changed_is_unpacked_or_refused_and_writes_nowhere_else(changes: list[tuple[int, int]]):
    data = bytearray(ZIPPED)
    for at, byte in changes:
        data[at] = byte
    with tempfile.TemporaryDirectory() as directory:
        unpacked_in(Path(directory), bytes(data))

        assert [name for name in snapshot(Path(directory)) if not name.startswith("tree")] == []


@settings(max_examples=60)
@given(st.sampled_from(sorted(PACKINGS)), st.data())
def test_any_packing_with_any_bytes_changed_is_unpacked_or_refused(packing: str, drawn: st.DataObject):
    data = bytearray(PACKINGS[packing](PLAIN))
    at = drawn.draw(st.integers(0, len(data) - 1))
    junk = drawn.draw(st.binary(max_size=8))
    with tempfile.TemporaryDirectory() as directory:
        unpacked_in(Path(directory), bytes(data[:at] + junk + data[at + len(junk) :]))

        assert os.listdir(directory) == ["tree"]


@settings(max_examples=200)
@given(st.dictionaries(paths, targets, max_size=5))
def test_links_that_are_accepted_stay_in_the_tree_for_the_kernel_too(found: dict[str, str]):
    """Compared with the kernel's own walk, for links that are not absolute."""
    relative = {path: target for path, target in found.items() if not target.startswith("/")}
    if links.first_escape(relative) is not None:
        return
    base = Path(os.path.realpath(tempfile.mkdtemp()))
    try:
        tree = base / "tree"
        tree.mkdir()
        for path, target in relative.items():
            where = tree / path
            if any(str(parent) in relative for parent in Path(path).parents) or os.path.lexists(where):
                continue
            where.parent.mkdir(parents=True, exist_ok=True)
            where.symlink_to(target)
        for path in relative:
            resolved = Path(os.path.realpath(tree / path))
            assert resolved == tree or tree in resolved.parents
    finally:
        shutil.rmtree(base)
