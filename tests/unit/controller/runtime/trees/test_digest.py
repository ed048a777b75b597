"""The list of a tree and its digest."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.trees import digest
from controller.runtime.trees.digest import Line

PATHS = st.binary(min_size=1, max_size=40).filter(lambda path: b"\0" not in path)


def paths(tree: Path) -> list[bytes]:
    return [path for path, _ in digest.walk(os.fsencode(tree))]


def test_a_line_says_kind_content_and_path_and_nothing_in_it_is_left_open():
    assert digest.render(Line("d", b"a b/c")) == b"d a%20b/c\n"
    assert digest.render(Line("f", b"x\n%", "ab" * 32)) == b"f " + b"ab" * 32 + b" x%0A%25\n"
    assert digest.render(Line("x", "é".encode(), "0" * 64)) == b"x " + b"0" * 64 + b" %C3%A9\n"
    assert digest.render(Line("l", b"bin/python", digest.link_target(b"python 3"))) == b"l bin/python python%203\n"


@given(PATHS, PATHS, st.sampled_from("dfxl"))
def test_a_line_reads_back_as_it_was(path: bytes, target: bytes, kind: digest.Kind):
    content = {"d": "", "l": digest.link_target(target)}.get(kind, "0" * 64)
    line = Line(kind, path, content)

    text = digest.render(line)

    assert digest.parse(text) == line
    assert text.count(b"\n") == 1


@pytest.mark.parametrize("text", [b"", b"\n", b"q a\n", b"\xff\n"])
def test_what_is_no_line_is_refused(text: bytes):
    with pytest.raises(ValueError, match=r"no line of a list|ascii"):
        digest.parse(text)


def test_names_of_one_directory_follow_in_the_order_of_their_bytes_and_their_contents_come_with_them(tmp_path: Path):
    for path in ("a/b", "a-b", "Z", "a/a/c", "ä"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")

    found = paths(tmp_path)

    assert found == [b"Z", b"a", b"a/a", b"a/a/c", b"a/b", b"a-b", "ä".encode()]
    assert found == sorted(found, key=lambda path: Line("f", path).order)


def test_links_to_directories_are_not_followed(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to(".")

    assert paths(tmp_path) == [b"link", b"loop", b"real", b"real/file"]


def test_a_deep_tree_is_walked(tmp_path: Path):
    os.makedirs(tmp_path.joinpath(*"a" * 400))

    assert len(paths(tmp_path)) == 400


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 5])
def test_a_file_of_any_size_is_hashed_to_its_end_and_paid_for_before_it_is_read(tmp_path: Path, size: int):
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    paid: list[int] = []

    assert digest.hash_file(os.fsencode(tmp_path / "file"), paid.append) == hashlib.sha256(content).hexdigest()
    assert sum(paid) >= size


def test_what_is_no_file_is_not_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")

    with pytest.raises(OSError, match="no regular file"):
        digest.hash_file(os.fsencode(tmp_path / "pipe"))
    with pytest.raises(OSError, match="symbolic links"):
        digest.hash_file(os.fsencode(tmp_path / "link"))
