"""Where secret files wait for their run: in memory, of root alone, and gone with the run."""

import tempfile
import threading
from pathlib import Path

import pytest

from api.types.job_file import JobFile
from controller.job.memory_place import MemoryPlace, NoMemoryPlace
from controller.job.run_dirs import RunDirs
from controller.linux.removal import remove_tree
from support.host import directory_on_disk
from support.secret_objects import PASSWORD, b64, files_with


@pytest.fixture
def memory():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory) / "place"


@pytest.fixture
def on_disk():
    """Not of pytest, which makes its own where there may be memory only."""
    directory = directory_on_disk("runwright-test-")
    yield directory
    remove_tree(directory)


def secret_file(path="conf/key"):
    reference = {"name": "db", "key": "password"}
    return JobFile.model_validate({"path": path, "secretKeyRef": reference}).model_copy(
        update={"base64": b64(PASSWORD)}
    )


@pytest.mark.invariant("J20")
def test_where_one_file_is_secret_none_is_on_the_disk_and_all_are_in_memory_for_root_alone(on_disk, memory):
    dirs = RunDirs(on_disk / "runs", MemoryPlace((on_disk / "run", memory)))
    dirs.make("u", 1)

    staged = dirs.stage("u", 1, (secret_file(), JobFile(path="own", text="x")))

    assert staged.is_relative_to(memory)
    assert (staged / "conf/key").read_text() == PASSWORD
    assert (staged / "own").read_text() == "x"
    assert files_with(on_disk) == []
    assert memory.stat().st_mode & 0o777 == 0o700
    dirs.remove("u", 1)
    assert not memory.exists()
    assert not dirs.path("u", 1).exists()


def test_files_that_are_not_secret_are_staged_beside_the_records(tmp_path, memory):
    dirs = RunDirs(tmp_path / "runs", MemoryPlace((memory,)))
    dirs.make("u", 1)
    assert dirs.stage("u", 1, (JobFile(path="own", text="x"),)) == dirs.path("u", 1) / "files"
    assert not memory.exists()


@pytest.mark.invariant("J20")
def test_without_a_place_in_memory_nothing_is_written_anywhere(on_disk):
    dirs = RunDirs(on_disk / "runs", MemoryPlace((on_disk / "run",)))
    dirs.make("u", 1)
    with pytest.raises(NoMemoryPlace, match="cannot keep secret files off the disk: none of .* mount a tmpfs there"):
        dirs.stage("u", 1, (secret_file(),))
    assert files_with(on_disk) == []


@pytest.mark.parametrize("make", [lambda place: place.mkdir(mode=0o755), lambda place: place.symlink_to("/dev/shm")])
def test_a_place_that_somebody_else_made_is_not_used(memory, make):
    make(memory)
    with pytest.raises(NoMemoryPlace, match="somebody else made it: remove it"):
        MemoryPlace((memory,)).make("u", 1)


def test_places_of_other_runs_stay_and_runs_that_come_and_go_at_once_have_theirs(memory):
    place = MemoryPlace((memory,))
    kept = place.make("kept", 1)
    place.make("u", 1)
    place.remove("u", 1)
    assert kept.is_dir()
    place.remove("kept", 1)
    failed = []

    def come_and_go(uid):
        for attempt in range(100):
            if not place.make(uid, attempt).is_dir():
                failed.append(attempt)
            place.remove(uid, attempt)

    threads = [threading.Thread(target=come_and_go, args=(f"u{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert not memory.exists()
