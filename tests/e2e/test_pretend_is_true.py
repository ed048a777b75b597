"""Keeps `support.steps.pretend` honest: each step of a job's plan is done for real, and what is observed is compared."""

import os
import select
import shutil
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from api.meta import ObjectKey
from controller.cgroup import choose
from controller.contents.store import Contents
from controller.daemon.host_devices import FilesOfHost
from controller.daemon.volumes_for_jobs import AutoCreate, VolumesForJobs
from controller.devices.inventory import Inventory
from controller.engine.clock import SystemClock
from controller.job.act import Actor
from controller.job.announce import JobMetrics
from controller.job.capacity import Capacity
from controller.job.devices import Devices
from controller.job.host_files import HostFiles
from controller.job.logs import log_directory
from controller.job.memory_place import MemoryPlace
from controller.job.observe import Observer
from controller.job.observed import RuntimeMissing, RuntimeReady
from controller.job.queue_rules import QueueRules
from controller.job.run_dirs import RunDirs, run_id
from controller.job.run_spec import RunDefaults
from controller.job.run_watch import RunWatch
from controller.job.steps import (
    AbandonRun,
    BeginRun,
    DeleteJob,
    FreezeRun,
    KillRun,
    RemoveLogs,
    RemoveRun,
    RequestRuntime,
    SetDeadline,
    StartRun,
    StopRun,
    TakeBackRun,
    ThawRun,
)
from controller.job.waiters import Waiters
from controller.launcher.client import LauncherClient
from controller.launcher.host_claims import HostClaims
from controller.launcher.records import Exited, Lost, Running
from controller.sandbox.legacy import legacy_binds
from controller.volume.backing import Backing
from support import host
from support.builders import BOOT, UID, a_job
from support.contents import LIMITS, open_artifacts
from support.steps import pretend

pytestmark = pytest.mark.needs_root

SLEEPER = {"command": ["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done"]}
MiB = 1 << 20


class World:
    """One job on this host: real launcher, cgroups, directories; the store and the runtimes are the test's."""

    def __init__(self, root: Path, cgroups_parent: str) -> None:
        for name in ("runs", "logs", "launcher"):
            (root / name).mkdir()
        self.ended = threading.Event()
        self.deleted: list[ObjectKey] = []
        self.wanted: list[tuple[str, str]] = []
        self.clock = SystemClock()
        self.dirs = RunDirs(root / "runs", MemoryPlace(()))
        self.logs = root / "logs"
        self.launcher = LauncherClient(root / "l.sock", root / "launcher", root / "launcher.log")
        self.launcher.ensure_running()
        self.cgroups = choose.open_lifecycle(choose.hierarchies_of_host(), cgroups_parent)
        self.watch = RunWatch(lambda _key: self.ended.set())
        self.watch.start()
        binds, symlinks = legacy_binds(links("/"), links("/etc"))
        defaults = RunDefaults(64, None, 4 * MiB, 4 * MiB, 4 * MiB, MiB, 2, cgroups_parent, binds, symlinks)
        self.capacity = Capacity(
            lambda: {"cpu": 10_000, "memory": 1 << 40, "ephemeral-storage": 1 << 40, "pods": 10},
            self, self.dirs, self.clock, lambda _key: None, QueueRules(),
        )  # fmt: skip
        claims = HostClaims(str(root / "claims"))
        devices = Devices(Inventory, FilesOfHost(), self, self.dirs, lambda _key: None, claims, str(root))
        self.artifacts = open_artifacts(root / "artifacts")
        contents = Contents(root / "contents", self.clock, LIMITS)
        backing = Backing(root)
        volumes = VolumesForJobs(self, None, self.dirs, backing, {}, AutoCreate(False, 0), lambda _key: None)
        self.backing = backing
        self.observer = Observer(
            self.clock, BOOT, self.dirs, self.logs, self, self.watch, self.capacity, devices, volumes,
            look=self.get, waiters=Waiters(self.get), contents=contents, artifacts=self.artifacts,
            host_files=HostFiles({}, BOOT, 0),
        )  # fmt: skip
        self.actor = Actor(
            self.clock, self, self.launcher, self.cgroups, self.dirs, self.logs, self, self, defaults,
            JobMetrics(CollectorRegistry()), devices, self.capacity, volumes, contents, self.artifacts, HostFiles({}, BOOT, 0),
        )  # fmt: skip

    # The parts of it that are not the Job kind's: a runtime is there once it was asked for, and a store that deletes.

    def find(self, spec, *, may_install):
        if self.wanted:
            return RuntimeReady(*self.wanted[-1])
        return RuntimeMissing("RuntimeNotReady", f"{spec} is not installed", ("python-3.11", "1.0.0"))

    def request(self, name, version):
        self.wanted.append((name, version))

    def get(self, key):
        return None

    def each(self, kind, *, words=()):
        return ()

    def delete(self, key, *, uid, revision):
        assert (uid, revision) == (UID, 1)
        self.deleted.append(key)

    def observed(self, job):
        return self.observer.observe(job)

    def until_ended(self):
        assert self.ended.wait(20)
        self.ended.clear()

    def close(self):
        for attempt in self.dirs.attempts(UID):
            self.actor.act(a_job(), ThawRun(attempt, None)) if self.dirs.may_be_frozen(UID, attempt) else None
            self.actor.act(a_job(), KillRun(attempt))
            self.actor.act(a_job(), RemoveRun(attempt))
        self.backing.close()
        self.watch.stop()
        self.launcher.shutdown()
        self.cgroups.remove_parent()
        self.cgroups.close()


def links(directory):
    return {e.name: os.readlink(e) if e.is_symlink() else None for e in os.scandir(directory)}


@pytest.fixture
def world(host_is_clean):
    root = host.directory_on_disk("runwright-test-")
    world = World(root, f"runwright-test-{os.getpid()}-pretend")
    yield world
    world.close()
    shutil.rmtree(root)


def alike(observed):
    """What of an observation a model can foretell: all but pids, moments, and the words of messages."""
    runs = []
    for run in observed.runs:
        match run.record:
            case Running():
                record = "Running"
            case Exited(record=exit_record):
                record = f"Exited {exit_record.reason}"
            case Lost():
                record = "Lost"
            case _:
                record = "Unclaimed"
        runs.append((run.attempt, record, run.frozen))
    runtime = observed.runtime if isinstance(observed.runtime, RuntimeReady) else "missing"
    return runs, str(runtime), observed.logs_present


def check_step(world, job, step):
    """Do a step for real; what is observed then must be what `pretend` says."""
    foretold = pretend(world.observed(job), step)
    if isinstance(step, BeginRun):
        world.capacity.ask(job, {})
    world.actor.act(job, step)
    if isinstance(step, StopRun | TakeBackRun | KillRun):
        world.until_ended()
    assert alike(world.observed(job)) == alike(foretold)
    return world.observed(job)


def started(world, job, attempt=1):
    check_step(world, job, BeginRun(attempt))
    return check_step(world, job, StartRun(attempt, None))


def test_a_run_that_is_held_is_taken_back_as_is_pretended(world):
    job = a_job(**SLEEPER)

    check_step(world, job, BeginRun(1))
    held = check_step(world, job, StartRun(1, None, world.clock.now() + timedelta(hours=1)))
    taken_back = check_step(world, job, TakeBackRun(1))

    assert held.run(1).record.is_held
    assert taken_back.run(1).record.record.started_at == ""


def test_begin_start_stop_and_remove_do_what_is_pretended(world):
    job = a_job(**SLEEPER)

    started(world, job)
    check_step(world, job, StartRun(1, None))  # Asked twice, it is started once.
    check_step(world, job, BeginRun(1))
    settled(world, job)
    check_step(world, job, StopRun(1, "Stopped", 10))
    stopped = check_step(world, job, RemoveRun(1))

    assert stopped.runs == ()
    assert run_id(UID, 1) not in world.cgroups.names()


def test_a_superseded_run_says_so_as_is_pretended(world):
    job = a_job(**SLEEPER)
    started(world, job)
    settled(world, job)

    observed = check_step(world, job, StopRun(1, "Superseded", 10))

    assert observed.run(1).record.record.exit_code == 9


def test_kill_does_what_is_pretended(world):
    """It is for a supervisor that does not heed a stop: such as one that hangs, as this one is made to."""
    job = a_job(**SLEEPER)
    supervisor = started(world, job).run(1).record.pid
    settled(world, job)
    os.kill(supervisor, signal.SIGSTOP)

    check_step(world, job, KillRun(1))
    check_step(world, job, RemoveRun(1))

    assert world.observed(job).runs == ()


def test_freeze_thaw_and_deadlines_do_what_is_pretended(world):
    job = a_job(**SLEEPER)
    started(world, job)
    settled(world, job)

    check_step(world, job, FreezeRun(1))
    check_step(world, job, FreezeRun(1))
    check_step(world, job, ThawRun(1, 60))
    check_step(world, job, SetDeadline(1, 50))

    check_step(world, job, StopRun(1, "Stopped", 10))


def test_abandon_does_what_is_pretended(world):
    job = a_job(**SLEEPER)
    check_step(world, job, BeginRun(1))

    check_step(world, job, AbandonRun(1, "Superseded", "the job's spec was changed"))
    check_step(world, job, StartRun(1, None))  # Never any more.
    check_step(world, job, RemoveRun(1))

    assert world.observed(job).runs == ()


def test_a_run_that_is_running_is_not_abandoned(world):
    job = a_job(**SLEEPER)
    started(world, job)

    observed = check_step(world, job, AbandonRun(1, "Stopped", "too late"))

    assert isinstance(observed.run(1).record, Running)


def test_steps_on_an_attempt_touch_no_other(world):
    job = a_job(**SLEEPER)
    started(world, job, 1)
    settled(world, job)
    check_step(world, job, StopRun(1, "Stopped", 10))

    started(world, job, 2)
    check_step(world, job, RemoveRun(1))

    assert [run.attempt for run in world.observed(job).runs] == [2]


def test_asking_for_a_runtime_does_what_is_pretended(world):
    job = a_job(runtime="python-3.11")

    observed = check_step(world, job, RequestRuntime("python-3.11", "1.0.0"))

    assert str(observed.runtime) == "python-3.11@1.0.0"


def test_removing_logs_and_deleting_do_what_is_pretended(world):
    job = a_job()
    deleting = a_job(meta={"deletionTimestamp": "2026-01-02T03:04:05Z"})
    check_step(world, job, BeginRun(1))
    world.actor.act(job, StartRun(1, None))
    if isinstance(world.observed(job).run(1).record, Running):  # It may be over before anybody could look.
        world.until_ended()
    check_step(world, deleting, RemoveRun(1))
    assert world.observed(deleting).logs_present

    check_step(world, deleting, RemoveLogs())
    check_step(world, job, DeleteJob())

    assert not world.observed(deleting).logs_present
    assert world.deleted == [ObjectKey("Job", "default", "etl")]


def settled(world, job):
    """Wait until the run's command has set its trap and said so."""
    log = log_directory(world.logs, {"namespace": "default", "name": "etl", "uid": UID})
    poll = select.poll()
    for _ in range(1000):
        files = list((log / str(world.observed(job).runs[-1].attempt)).glob("0.log"))
        if files and b"ready" in files[0].read_bytes():
            return
        poll.poll(10)
    raise AssertionError("the run did not get going")


def test_the_model_knows_every_step():
    import controller.job.steps as steps
    from support import steps as model

    kinds = [value for value in vars(steps).values() if getattr(value, "__module__", "") == steps.__name__]
    source = Path(model.__file__).read_text()
    assert [kind.__name__ for kind in kinds if f"{kind.__name__}(" not in source] == []
