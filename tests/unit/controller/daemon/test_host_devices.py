"""The host's files as devices need them, on this very host."""

import os
import shutil
import stat
import sys

from controller.daemon.host_devices import FilesOfHost


def test_a_node_has_its_numbers():
    found = FilesOfHost().look("/dev/full")

    assert (stat.S_ISCHR(found.mode), found.major, found.minor) == (True, 1, 7)


def test_what_is_not_there_is_nothing(tmp_path):
    assert FilesOfHost().look(str(tmp_path / "none")) is None


def libc():
    with open("/proc/self/maps") as maps:
        return next(line.split()[-1] for line in maps if "libc.so.6" in line or "libc-" in line)


def test_a_library_has_the_name_it_is_asked_for_by(tmp_path):
    shutil.copy(libc(), tmp_path / "libc-2.99.so")

    assert FilesOfHost().soname(str(tmp_path / "libc-2.99.so")) == "libc.so.6"


def test_what_is_no_library_has_none(tmp_path):
    (tmp_path / "text").write_text("no library")
    (tmp_path / "empty").touch()

    assert [FilesOfHost().soname(str(tmp_path / name)) for name in ("text", "empty", "none")] == ["", "", ""]
    assert FilesOfHost().soname(os.path.realpath(sys.executable)) == os.path.basename(os.path.realpath(sys.executable))
