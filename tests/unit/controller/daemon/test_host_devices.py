"""The host's files as devices need them, on this very host."""

import os
import shutil
import stat
import sys
from pathlib import Path

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


def test_a_library_that_is_cut_off_while_it_is_read_ends_nobody(tmp_path):
    """The last page of it is gone: where it was mapped, that is a signal to the one who reads it."""
    library = tmp_path / "libcut.so"
    content = bytearray(Path(libc()).read_bytes()[: 1 << 16])
    start, size, count = (int.from_bytes(content[at : at + n], "little") for at, n in ((32, 8), (54, 2), (56, 2)))
    for header in range(start, start + size * count, size):
        if content[header] == 2:  # PT_DYNAMIC; it lies where no page of the file is any more.
            content[header + 8 : header + 16] = (3 << 20).to_bytes(8, "little")
    library.write_bytes(content)
    os.truncate(library, 4 << 20)
    child = os.fork()
    if not child:
        os._exit(0 if name_of_one_that_is_cut_off(library) == "" else 1)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


def name_of_one_that_is_cut_off(library):
    """Ask for the name of a library that is cut off as soon as its beginning was looked at."""

    def cut(frame, event, _arg):
        if event == "call" and frame.f_code.co_name == "_segments":
            os.truncate(library, 1 << 16)

    sys.setprofile(cut)
    try:
        return FilesOfHost().soname(str(library))
    finally:
        sys.setprofile(None)


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert FilesOfHost().soname(str(tmp_path / "pipe")) == ""
    assert FilesOfHost().soname("/dev/zero") == ""
