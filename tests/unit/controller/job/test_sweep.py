import threading

import pytest

from api.meta import ObjectKey
from controller.cgroup.limits import Limits
from controller.job.memory_place import MemoryPlace
from controller.job.run_dirs import RunDirs
from controller.job.run_watch import RunWatch
from controller.job.sweep import adopt, sweep
from controller.launcher.recording import place_claim
from controller.launcher.records import Claim
from controller.linux import process
from support.cgroups import own_cgroups

pytestmark = pytest.mark.needs_root

KNOWN = "0b0a1ea8-6f4d-4a52-9a5f-0f6c5a1f0001"
UNKNOWN = "0b0a1ea8-6f4d-4a52-9a5f-0f6c5a1f0002"


@pytest.fixture
def cgroups():
    with own_cgroups() as lifecycle:
        yield lifecycle


@pytest.fixture
def dirs(tmp_path):
    (tmp_path / "runs").mkdir()
    return RunDirs(tmp_path / "runs", MemoryPlace((tmp_path / "memory",)))


@pytest.fixture
def logs(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def test_what_no_job_knows_is_removed_and_the_rest_stays(dirs, cgroups, logs):
    for uid in (KNOWN, UNKNOWN):
        dirs.make(uid, 1)
        cgroups.create(f"{uid}-1", Limits(None, None, None))
        (logs / f"default_etl_{uid}" / "1").mkdir(parents=True)

    swept = sweep({KNOWN}, dirs, cgroups, logs)

    assert set(swept) == {f"{UNKNOWN}-1", f"default_etl_{UNKNOWN}"}
    assert dirs.job_uids() == (KNOWN,)
    assert cgroups.names() == (f"{KNOWN}-1",)
    assert [path.name for path in logs.iterdir()] == [f"default_etl_{KNOWN}"]
    assert sweep({KNOWN}, dirs, cgroups, logs) == ()


def test_what_somebody_else_put_beside_runs_and_logs_is_left_alone(dirs, cgroups, logs, tmp_path):
    (tmp_path / "runs" / "note.txt").touch()
    (logs / "note.txt").touch()
    (logs / "copies_of_mine").mkdir()

    assert sweep({KNOWN}, dirs, cgroups, logs) == ()
    assert (logs / "copies_of_mine").is_dir()
    assert dirs.job_uids() == ()


def test_runs_that_are_running_are_watched_before_anything_begins(dirs):
    """This process stands in for the supervisor: it has a pid, a start time, and lives."""
    path = dirs.make(KNOWN, 3)
    claim = Claim(f"{KNOWN}-3", process.boot_id(), process.host_pid(), process.start_time(), "2026-01-02T03:04:05Z", "")
    import os

    directory_fd = os.open(path, os.O_RDONLY)
    os.close(place_claim(directory_fd, claim))
    os.close(directory_fd)
    (path / "junk").mkdir()
    (path.parent / "lost+found").mkdir()
    ended = threading.Event()
    watch = RunWatch(lambda _key: ended.set())
    watch.start()

    adopt({KNOWN: ObjectKey("Job", "default", "etl"), UNKNOWN: ObjectKey("Job", "default", "x")}, dirs, watch)

    assert [run_id for run_id, _ in watch.active()] == [f"{KNOWN}-3"]
    assert not ended.is_set()
    watch.stop()
