"""Which blocks a mount of an ext4 reads, as the file system's own tool tells it."""

import re
import subprocess

import pytest

from controller.volume import image
from controller.volume.read_ahead import ask, blocks_of_mount
from support.volumes import MIB


@pytest.mark.parametrize("size_bytes", [MIB, 1 << 30])
def test_the_blocks_are_those_that_hold_what_is_read(tmp_path, size_bytes):
    image.make(tmp_path / "image", size_bytes)

    def told(request, pattern):
        command = ["debugfs", "-R", request, str(tmp_path / "image")]
        found = re.search(pattern, subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return int(found[1])

    with (tmp_path / "image").open("rb") as stream:
        blocks = blocks_of_mount(stream.fileno())
        assert ask(stream.fileno(), blocks) is None
    table, journal = told("imap <2>", r"at block (\d+)"), told("stat <8>", r"\(0-\d+\):(\d+)")
    assert blocks == (0, 1, table, journal, told("stat <2>", r"\(0\):(\d+)"))


@pytest.mark.parametrize("content", [b"", bytes(8192)])
def test_of_what_is_no_ext4_no_more_is_told_than_where_it_would_begin(tmp_path, content):
    (tmp_path / "image").write_bytes(content)

    with (tmp_path / "image").open("rb") as stream:
        assert set(blocks_of_mount(stream.fileno())) == {0, 1}
