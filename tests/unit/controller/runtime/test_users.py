"""Who uses which versions: what stays aside until its last run has ended, and what a full disk cannot take."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest

from api.meta import Document, wire_time
from api.types.runtime import Runtime
from controller.runtime import users
from controller.runtime.pressure import DiskLimits, Pressure
from controller.runtime.trees import retired
from support.runtime_world import RuntimeWorld, a_runtime_world


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path) as world:
        world.declare_registry()
        yield world


def a_job(*runs: Document, phase: str = "Running", name: str = "etl") -> Document:
    status = {"phase": phase, "resolvedRuntime": "a@1.0.0", "runs": [{"runtime": "a@1.0.0", **run} for run in runs]}
    return {"kind": "Job", "metadata": {"name": name, "namespace": "default"}, "status": status}


def test_a_version_runs_since_its_oldest_run_that_has_not_ended():
    jobs = (
        a_job({"state": "Ended", "startedAt": "2026-01-01T00:00:00Z"}),
        a_job({"state": "Running", "startedAt": "2026-01-03T00:00:00Z"}, name="two"),
        a_job({"state": "Running", "startedAt": "2026-01-02T00:00:00Z"}, name="three"),
    )

    assert users.running_since("a", jobs) == {"1.0.0": datetime(2026, 1, 2, tzinfo=UTC)}
    assert users.running_since("b", jobs) == {}
    pending = a_job({"state": "Pending"}, name="four")
    assert users.running_since("a", (*jobs, pending))["1.0.0"].year == 1


class TestAside:
    """A tree that was replaced while a run used it."""

    @pytest.fixture
    def healed(self, world) -> RuntimeWorld:
        world.registry.add("a", "1.0.0")
        world.declare("a", "1.0.0")
        world.pass_over("a")
        payload = world.directory / "again"
        shutil.copytree(world.root / "a-1.0.0", payload)
        retired.exchange(world.root, "a-1.0.0", payload, world.root / "a-1.0.0")
        return world

    def runs(self, world: RuntimeWorld, *started: timedelta) -> None:
        (aside,) = retired.find(world.root)
        job = world.job_in("a@1.0.0")
        runs = [
            {"attempt": n, "state": "Running", "runtime": "a@1.0.0", "startedAt": wire_time(aside.at + after)}
            for n, after in enumerate(started, 1)
        ]
        world.store.update_status(job | {"status": job["status"] | {"runs": runs}})
        world.pass_over("a")

    @pytest.mark.invariant("I9")
    def test_it_stays_while_a_run_goes_on_that_may_have_started_before(self, healed):
        self.runs(healed, timedelta(hours=1), timedelta(seconds=-10))
        assert len(retired.find(healed.root)) == 1
        self.runs(healed, timedelta(hours=1), timedelta(seconds=10))
        assert len(retired.find(healed.root)) == 1

    def test_it_goes_though_later_runs_use_the_version(self, healed):
        self.runs(healed, timedelta(hours=1))

        assert retired.find(healed.root) == ()
        assert (healed.root / "a-1.0.0/runtime.yml").exists()

    def test_a_runtime_that_is_deleted_waits_for_it(self, healed):
        self.runs(healed, timedelta(seconds=-10))
        healed.declare("a")
        healed.delete("a")
        healed.pass_over("a")
        assert healed.ready("a")["reason"] == "InUse"

        healed.job_in("a@1.0.0", state="Ended", phase="Succeeded")
        healed.pass_over("a")
        assert healed.get("Runtime", "a") == {}
        assert retired.find(healed.root) == ()


@pytest.mark.invariant("I32")
def test_a_full_disk_takes_nothing_that_is_in_use_and_counts_on_none_of_it(world):
    world.declare("a", "latest", retain=2)
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        world.registry.add("a", version)
        world.clock.advance(2)
        world.pass_over("a")
    obj = Runtime.model_validate(world.get("Runtime", "a"))
    trees = world.kind.observe(obj).trees
    full = Pressure(world.root, world.store, DiskLimits(least_free_bytes=1 << 62), world.clock)
    assert full.on(obj, trees) == {"1.0.0", "1.1.0"}

    world.job_in("a@1.0.0")
    assert full.on(obj, trees) == {"1.1.0"}
    world.job_in("a@1.0.0", state="Ended", phase="Succeeded")
    assert full.on(obj, trees) == {"1.0.0", "1.1.0"}


def test_the_end_of_the_last_run_of_an_old_tree_makes_its_runtime_due_though_others_go_on(world):
    world.job_in("a@1.0.0", name="new")
    job = world.job_in("a@1.0.0", name="old")
    since = world.store.revision()
    runs = [
        {"attempt": 1, "state": "Ended", "runtime": "a@1.0.0"},
        {"attempt": 2, "state": "Running", "runtime": "a@1.0.0"},
    ]
    world.store.update_status(job | {"status": job["status"] | {"runs": runs}})
    (change,) = world.store.changes(since, kind="Job")

    assert [str(key) for key in users.released_by(change)] == ["runtime/a"]
