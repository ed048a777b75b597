"""What jobs ask for in passing is taken back when none wants it any more and it never came; nothing else ever is."""

import pytest

from api.kinds import JOB, RUNTIME
from api.meta import ObjectKey
from api.objects.verbs import WriteOptions
from controller.runtime.choosing import Dependents
from controller.runtime.kind import released_by
from controller.runtime.pressure import DiskLimits
from support.runtime_world import RuntimeWorld, a_runtime_world

WAITING = ObjectKey(JOB.name, "default", "waits")


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path) as world:
        world.declare_registry()
        yield world


def end(world: RuntimeWorld, phase: str = "Failed") -> None:
    job = world.store.get(WAITING)
    world.store.update_status(job | {"status": {"phase": phase}})


def ask(world: RuntimeWorld, version: str) -> None:
    """Have a job ask for a version of `a` that no registry has, and look at the runtime once."""
    world.job_that_waits(f"a@{version}")
    world.requests.request("a", version)
    world.pass_over("a")


def asked(world: RuntimeWorld) -> list[str]:
    return sorted(world.get(RUNTIME.name, "a")["spec"]["versions"])


def test_a_runtime_that_only_a_job_asked_for_goes_with_the_job(world):
    ask(world, "9.9.9")
    assert world.states("a") == {"9.9.9": "Failed"}

    end(world)
    for _ in range(2):
        world.pass_over("a")

    assert world.get(RUNTIME.name, "a") == {}


@pytest.mark.parametrize("how", ["ends", "is deleted", "asks for another"])
def test_a_version_is_taken_back_and_what_was_declared_stays(world, how):
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0")
    ask(world, "9.9.9")
    assert asked(world) == ["1.0.0", "9.9.9"]

    match how:
        case "ends":
            end(world)
        case "is deleted":
            world.store.delete(WAITING)
        case _:
            job = world.store.get(WAITING)
            world.store.update(job | {"spec": job["spec"] | {"runtime": "a@1.0.0"}})
    for _ in range(2):
        world.pass_over("a")

    assert asked(world) == ["1.0.0"]
    assert world.ready("a")["status"] == "True"
    world.kind._recorder.flush()
    assert [e["message"] for e in world.store.each("Event") if e["reason"] == "Withdrawn"] == [
        "9.9.9 was asked for only by jobs or runtimes that have gone"
    ]


@pytest.mark.parametrize("status", [{}, {"phase": "Pending"}, {"phase": "Running", "resolvedRuntime": "a@9.9.9"}])
def test_while_a_job_wants_it_it_stays(world, status):
    ask(world, "9.9.9")
    job = world.store.get(WAITING)
    world.store.update_status(job | {"status": status})

    world.pass_over("a")

    assert asked(world) == ["9.9.9"]


def test_what_a_language_may_mean_stays_while_a_job_asks_by_language(world):
    world.job_that_waits("python:3.11")
    world.requests.request("a", "latest")
    world.requests.request("a", "9.9.9")

    world.pass_over("a")

    assert asked(world) == ["latest"]


class TestInstalled:
    """What came for a job that has ended is kept for the next one, while the disk has room."""

    @pytest.fixture
    def idle(self, world):
        world.registry.add("a", "1.0.0").add("a", "2.0.0")
        world.declare("a", "2.0.0")
        ask(world, "1.0.0")
        self.look(world)
        assert world.states("a") == {"1.0.0": "Installed", "2.0.0": "Installed"}
        assert self.kept(world) == dict.fromkeys(("1.0.0", "2.0.0"), "spec.versions names it")
        return world

    def look(self, world: RuntimeWorld) -> None:
        """Look twice."""
        for _ in range(2):
            world.pass_over("a")

    def kept(self, world: RuntimeWorld) -> dict[str, str]:
        return {v["version"]: v["keptBecause"] for v in world.status("a")["versions"]}

    def test_it_stays_and_says_for_how_long(self, idle):
        end(idle)
        self.look(idle)

        assert asked(idle) == ["1.0.0", "2.0.0"]
        said = "jobs asked for it that have ended; it goes when the disk is full, or at rnx runtime gc"
        assert self.kept(idle) == {"1.0.0": said, "2.0.0": "spec.versions names it"}

    def test_a_collection_takes_it_and_what_asked_for_it(self, idle):
        end(idle)

        assert idle.ask("a", "gc", "now") == "removed 1.0.0"
        assert (idle.ready("a")["status"], idle.states("a")) == ("True", {"2.0.0": "Installed"})
        idle.pass_over("a")

        assert asked(idle) == ["2.0.0"]
        assert idle.states("a") == {"2.0.0": "Installed"}

    def test_a_collection_leaves_what_a_job_wants_that_came_a_moment_ago(self, idle):
        end(idle)
        self.look(idle)
        idle.job_that_waits("a@1.0.0", name="another")

        assert idle.ask("a", "gc", "now") == "nothing was to be removed"
        assert asked(idle) == ["1.0.0", "2.0.0"]

    def test_a_full_disk_takes_it(self, idle):
        end(idle)
        self.look(idle)
        idle.kind._pressure._limits = DiskLimits(least_free_bytes=1 << 62)
        for _ in range(3):
            idle.pass_over("a")

        assert asked(idle) == ["2.0.0"]
        assert idle.states("a") == {"2.0.0": "Installed"}

    def test_what_is_meant_by_another_entry_too_is_not_for_nobody(self, idle):
        idle.declare("a", "2.0.0", "^1")
        self.look(idle)
        end(idle)

        assert idle.ask("a", "gc", "now") == "nothing was to be removed"


def test_what_somebody_declared_too_stays(world):
    ask(world, "9.9.9")
    world.declare("a", "9.9.9")
    end(world)

    world.pass_over("a")

    assert asked(world) == ["9.9.9"]


def test_a_runtime_that_somebody_labelled_stays_without_a_version(world):
    ask(world, "9.9.9")
    labelled = {"apiVersion": RUNTIME.api_version, "kind": "Runtime", "metadata": {"name": "a", "labels": {"x": "y"}}}
    world.verbs.apply(RUNTIME, "", "a", labelled, WriteOptions("somebody"))
    end(world)

    for _ in range(2):
        world.pass_over("a")

    assert world.get(RUNTIME.name, "a")["spec"].get("versions") == []
    assert world.ready("a")["reason"] == "NothingWanted"


def test_several_are_taken_back_one_after_the_other(world):
    world.requests.request("a", "7.0.0")
    ask(world, "8.0.0")
    assert asked(world) == ["8.0.0"]

    for name, version in (("a", "7.0.0"), ("nothing", "1.0.0")):
        world.requests.withdraw(name, (version,))
    assert asked(world) == ["8.0.0"]


class TestParents:
    @pytest.fixture
    def child(self, world):
        world.registry.add("child", "1.0.0")
        self.extend(world, "a@9.9.9")
        world.pass_over("child")
        world.pass_over("a")
        assert asked(world) == ["9.9.9"]
        return world

    def extend(self, world, *runtimes: str) -> None:
        world.declare("child", "1.0.0", extends={"runtimes": list(runtimes)})

    def test_a_runtime_stays_while_another_is_to_be_made_of_it(self, child):
        child.pass_over("a")

        assert asked(child) == ["9.9.9"]

    @pytest.mark.parametrize("how", ["goes", "is made of another"])
    def test_it_goes_with_what_was_to_be_made_of_it(self, child, how):
        if how == "goes":
            child.delete("child")
        else:
            self.extend(child, "b@1.0.0")

        for _ in range(2):
            child.pass_over("a")

        assert child.get(RUNTIME.name, "a") == {}

    def test_it_stays_for_a_job_that_asks_for_the_same_and_goes_with_that(self, child):
        child.job_that_waits("a@9.9.9")
        child.requests.request("a", "9.9.9")
        child.delete("child")
        child.pass_over("a")
        assert asked(child) == ["9.9.9"]

        end(child)
        for _ in range(2):
            child.pass_over("a")

        assert child.get(RUNTIME.name, "a") == {}

    def test_what_it_is_made_of_no_more_looks_again(self, child):
        since = child.store.revision()
        self.extend(child, "b@1.0.0")
        (change,) = child.store.changes(since, kind="Runtime")

        assert [str(key) for key in Dependents(child.store).parents(change)] == ["runtime/a"]


@pytest.mark.parametrize(("runtime", "woken"), [("a@9.9.9", ["runtime/a"]), ("a", ["runtime/a"]), ("python:3.11", [])])
def test_the_end_of_a_job_that_never_ran_wakes_the_runtime_it_asked_for(world, runtime, woken):
    world.job_that_waits(runtime)
    since = world.store.revision()
    end(world)
    (change,) = world.store.changes(since, kind="Job")

    assert [str(key) for key in released_by(change)] == woken
