"""Verifying and testing in the background, and what a plan makes of it, with real trees."""

import shutil
import threading
from dataclasses import replace

import pytest

from api.runtime_requests import Request
from controller.engine.clock import SystemClock
from controller.runtime.health.check import ProbeResult
from controller.runtime.health.of_runtimes import HealthOfRuntimes
from controller.runtime.inspections import AGAIN_SECONDS, Inspections, Pace
from controller.runtime.kind import TEST_AGAIN_SECONDS
from controller.runtime.plan import GOING_CHECK_SECONDS, HealVersions, Inspect, RemoveRetired, plan
from controller.runtime.trees import origin, records
from controller.runtime.trees.origin import Origin
from controller.runtime.trees.records import Records
from support.registry_fixtures import a_host
from support.runtime_builders import a_runtime, a_tree_of, observed, there
from support.runtime_world import RuntimeWorld, a_runtime_world


def asking(**requests: str):
    runtime = a_runtime("1.0.0")
    annotations = {f"requests.runwright.dev/{name}": value for name, value in requests.items()}
    return runtime.model_copy(update={"metadata": runtime.meta.model_copy(update={"annotations": annotations})})


HERE = observed(a_tree_of("1.0.0"), a_tree_of("2.0.0"), wanted=(there("1.0.0"), there("2.0.0")))


def changed(**fields):
    return replace(HERE, **fields)


class TestPlan:
    def test_what_is_asked_for_is_looked_at_all_or_the_version_that_is_named(self):
        found = plan(asking(verify="now", test="1.0.0 now"), HERE)

        assert found.steps == (
            Inspect(Request.VERIFY, ("1.0.0", "2.0.0"), "now"), Inspect(Request.TEST, ("1.0.0",), "1.0.0 now"),
        )  # fmt: skip
        assert found.check_again_seconds == GOING_CHECK_SECONDS

    def test_several_versions_may_be_named_as_a_range_has_several(self):
        found = plan(asking(verify="1.0.0 1.1.0 now"), HERE)

        assert found.steps == (Inspect(Request.VERIFY, ("1.0.0",), "1.0.0 1.1.0 now"),)

    def test_what_is_being_looked_at_is_not_begun_again_and_asked_after_soon(self):
        found = plan(asking(verify="now"), changed(going=("verify=now",)))

        assert (found.steps, found.check_again_seconds) == ((), GOING_CHECK_SECONDS)

    def test_what_was_not_compared_for_too_long_is_but_not_while_something_else_is_going_on(self):
        assert plan(a_runtime(), changed(due=("2.0.0",))).steps[0] == Inspect(Request.VERIFY, ("2.0.0",))
        assert not any(isinstance(s, Inspect) for s in plan(a_runtime(), changed(due=("2.0.0",), going=("x",))).steps)

    def test_what_is_to_be_tested_by_itself_is_one_version_after_another_and_after_all_else(self):
        assert plan(a_runtime(), changed(untested=("2.0.0", "1.0.0"))).steps[0] == Inspect(Request.TEST, ("2.0.0",))
        for more in ({"going": ("x",)}, {"due": ("1.0.0",)}):
            steps = plan(a_runtime(), changed(untested=("2.0.0",), **more)).steps
            assert not any(isinstance(s, Inspect) and s.request is Request.TEST for s in steps)
        asked = plan(asking(test="now"), changed(untested=("2.0.0",)))
        assert asked.steps == (Inspect(Request.TEST, ("1.0.0", "2.0.0"), "now"),)

    def test_what_drifted_is_healed_and_what_lies_aside_removed(self):
        source = there("1.0.0")
        assert plan(a_runtime(), changed(healing=(source,))).steps == (HealVersions((source,)),)
        assert plan(a_runtime("1.0.0", "2.0.0"), changed(retired=1)).steps == (RemoveRetired(),)


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path) as world:
        world.declare_registry()
        yield world


class Prober:
    """Says of every tree what the file `sick` in it says; waits before it does if it is told to."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.breaks = False

    def run(self, tree, manifest, argv, timeout_seconds) -> ProbeResult:
        assert self.may_go_on.wait(30)
        if self.breaks:
            raise RuntimeError("it broke")
        sick = tree / "isolated/etc/sick"
        return ProbeResult(1, sick.read_text()) if sick.exists() else ProbeResult(0, "Python 3.11.2")


def until(holds) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it does not come to that")


def verified(world: RuntimeWorld, value: str) -> str:
    world.ask("a", "verify", value)
    until(lambda: world.pass_over("a") and world.status("a").get("requestsHeard", {}).get("verify") == value)
    return str(world.status("a")["requestResults"]["verify"])


def test_a_verification_finds_what_differs_and_has_it_installed_again(world):
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0")
    world.pass_over("a")
    assert verified(world, "1") == "1.0.0 is what was installed"
    assert world.condition("a", "Verified")["status"] == "True"

    (world.root / "a-1.0.0/isolated/bin/python3").write_text("changed")
    world.job_in("a@1.0.0")
    assert "isolated/bin/python3 (changed)" in verified(world, "2")
    world.pass_over("a")
    assert (world.root / "a-1.0.0/isolated/bin/python3").read_bytes().startswith(b"\x7fELF")
    assert len(list((world.root / ".runwright/retired").iterdir())) == 1
    assert verified(world, "3") == "1.0.0 is what was installed"

    world.job_in("a@1.0.0", state="Ended", phase="Succeeded")
    world.pass_over("a")
    assert list((world.root / ".runwright/retired").iterdir()) == []


def test_a_version_is_verified_by_itself_when_that_was_too_long_ago(world):
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0")
    world.pass_over("a")
    assert "verifiedAt" not in world.status("a")["versions"][0]
    world.clock.advance(90_000)
    until(lambda: world.pass_over("a") and "verifiedAt" in world.status("a")["versions"][0])

    assert world.status("a").get("requestsHeard", {}) == {}


def test_what_cannot_be_looked_at_is_told_and_not_tried_again_at_once(world):
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0")
    world.pass_over("a")
    world.clock.advance(90_000)
    digest = world.root / ".runwright/a-1.0.0.files"
    digest.unlink()
    blocked = world.root / ".runwright/a-1.0.0.found"
    (blocked / "in the way").mkdir(parents=True)
    until(lambda: world.pass_over("a") and world.condition("a", "Verified"))
    assert (world.condition("a", "Verified")["status"], world.condition("a", "Verified")["reason"]) == (
        "Unknown", "NotChecked",
    )  # fmt: skip
    assert "1.0.0: cannot" in world.condition("a", "Verified")["message"]
    obj = world.kind.kind.type.model_validate(world.get("Runtime", "a"))
    assert world.kind.observe(obj).due == ()

    shutil.rmtree(blocked)
    world.clock.advance(AGAIN_SECONDS + 1)
    until(lambda: world.pass_over("a") and world.condition("a", "Verified").get("status") == "True")
    assert world.kind.observe(obj).unseen == {}


def of_a():
    runtime = a_runtime(healthCheck={"command": ["/bin/true"]})
    return runtime.model_copy(update={"metadata": runtime.meta.model_copy(update={"name": "a"})})


class TestTesting:
    @pytest.fixture
    def prober(self) -> Prober:
        return Prober()

    @pytest.fixture
    def tested(self, world, prober) -> Inspections:
        world.registry.add("a", "1.0.0")
        world.declare("a", "1.0.0")
        world.pass_over("a")
        with a_host(world.root, clock=world.clock) as host:
            yield Inspections(host, HealthOfRuntimes(host, prober), Pace(), world.kind._recorder)

    def test_what_drifted_is_told_with_its_files_and_whose_it_is(self, world, tested, caplog):
        (world.root / "a-1.0.0/runtime.yml").chmod(0o600)
        tested.start(of_a(), Inspect(Request.VERIFY, ("1.0.0",)))
        until(lambda: not tested.going("a"))
        world.kind._recorder.flush()

        told = [e for e in world.store.each("Event") if e["reason"] == "Drifted"]
        assert [(e["type"], e["involvedObject"]["name"]) for e in told] == [("Warning", "a")]
        assert "1.0.0 does not hold what was installed: 1 entry differs: runtime.yml" in told[0]["message"]

    def test_one_look_at_a_time_and_each_asked_for_once(self, world, prober, tested):
        prober.may_go_on.clear()
        runtime = of_a()
        step = Inspect(Request.TEST, ("1.0.0",), "1")
        tested.start(runtime, step)
        tested.start(runtime, step)
        tested.start(runtime, Inspect(Request.VERIFY, ("1.0.0",), "1"))
        assert tested.going("a") == ("test=1", "verify=1")
        assert tested.going("b") == ()
        prober.may_go_on.set()
        until(lambda: not tested.going("a"))

        assert tested.done("a")[Request.VERIFY].message == "1.0.0 is what was installed"
        assert tested.done("a")[Request.TEST].value == "1"

    def test_somebody_who_waits_comes_before_what_nobody_waits_for(self, world, prober):
        world.registry.add("a", "1.0.0")
        world.declare("a", "1.0.0")
        world.pass_over("a")
        with a_host(world.root, clock=SystemClock()) as host:
            tested = Inspections(host, HealthOfRuntimes(host, prober), Pace(bytes_per_second=1), world.kind._recorder)
            tested.start(of_a(), Inspect(Request.VERIFY, ("1.0.0",)))
            tested.start(of_a(), Inspect(Request.VERIFY, ("1.0.0",), "now"))
            until(lambda: Request.VERIFY in tested.done("a"))

            assert tested.done("a")[Request.VERIFY].message == "1.0.0 is what was installed"
            assert tested.going("a") == ("verify=",)
            tested.stop()
            until(lambda: not tested.going("a"))

    def test_what_nobody_thought_of_is_told_and_ends_nothing_else(self, tested, prober, world):
        prober.breaks = True
        tested.start(of_a(), Inspect(Request.TEST, ("1.0.0",), "1"))
        until(lambda: not tested.going("a"))
        told = "1.0.0: cannot look at it: RuntimeError: it broke"
        assert tested.done("a")[Request.TEST].message == told
        assert tested.unseen("a") == {"1.0.0": "cannot look at it: RuntimeError: it broke"}

        prober.breaks = False
        tested.start(of_a(), Inspect(Request.TEST, ("1.0.0",), "2"))
        until(lambda: not tested.going("a"))
        assert tested.done("a")[Request.TEST].message == "1.0.0 works"
        assert tested.unseen("a") == {}

    def test_what_is_stopped_looks_at_nothing_more(self, tested):
        tested.stop()
        tested.start(a_runtime(), Inspect(Request.TEST, ("1.0.0",), "1"))

        assert tested.going("python-3.11") == ()


class TestByItself:
    @pytest.fixture
    def prober(self) -> Prober:
        return Prober()

    @pytest.fixture
    def world(self, tmp_path, prober):
        with a_runtime_world(tmp_path, prober) as world:
            world.declare_registry()
            world.registry.add("a", "1.0.0")
            world.declare("a", "1.0.0", healthCheck={"command": ["/bin/true"]})
            world.pass_over("a")
            yield world
            world.kind.stop()

    def untested(self, world) -> tuple[str, ...]:
        world.pass_over("a")
        until(lambda: not world.kind._inspections.going("a"))
        return world.kind.observe(world.kind.kind.type.model_validate(world.get("Runtime", "a"))).untested

    def on_record(self, world, **changed: str) -> None:
        origin.write(world.root, replace(origin.read(world.root, "a", "1.0.0"), **changed))

    def health(self, world) -> str:
        return str(origin.read(world.root, "a", "1.0.0").health)

    def test_a_version_that_works_is_not_looked_at_again_on_the_same_kernel(self, world):
        assert self.health(world) == "Healthy"
        world.clock.advance(10 * TEST_AGAIN_SECONDS)

        assert self.untested(world) == ()

    @pytest.mark.invariant("I14")
    def test_another_kernel_has_each_version_looked_at_once_and_the_condition_says_what_is_found(self, world):
        self.on_record(world, checked_on="5.12.0-before")
        (world.root / "a-1.0.0/isolated/etc/sick").write_text("it needs what this kernel has not")
        assert self.untested(world) == ()
        world.pass_over("a")

        assert world.condition("a", "Healthy")["reason"] == "Unhealthy"
        assert world.status("a").get("requestsHeard", {}) == {}

    @pytest.mark.invariant("I14")
    def test_what_did_not_work_is_looked_at_again_after_a_while_and_used_if_it_works(self, world):
        self.on_record(world, health="Unhealthy", health_message="the host was out of memory")
        assert self.untested(world) == ()
        assert self.health(world) == "Unhealthy"
        world.clock.advance(TEST_AGAIN_SECONDS + 1)
        self.untested(world)
        world.pass_over("a")

        assert world.condition("a", "Healthy")["status"] == "True"
        assert world.ready("a")["status"] == "True"

    def test_a_record_of_an_earlier_runwright_is_left_until_somebody_asks(self, world):
        self.on_record(world, checked_on="")
        world.clock.advance(TEST_AGAIN_SECONDS + 1)

        assert self.untested(world) == ()


def a_record(version: str, health: str) -> Origin:
    return Origin("a", version, "tests", "http://x", "0" * 64, 1, 1, 1, "2026-01-01T00:00:00Z", health=health)


class TestRecords:
    def test_a_record_counts_from_the_moment_it_is_written(self, world):
        found = Records(world.root)
        assert found.unhealthy("a") == {}
        world.registry.add("a", "1.0.0", None)
        world.declare("a", "1.0.0")
        world.pass_over("a")
        tree = world.jobs._trees.scan()[0]

        assert found.of(tree).digest == world.status("a")["versions"][0]["digest"]

    def test_what_changed_is_noticed_and_the_rest_stays_known(self, world):
        root, found = world.root, Records(world.root)
        (root / ".runwright").mkdir(parents=True)
        for number in range(4):
            origin.write(root, a_record(f"1.{number}.0", "Unhealthy"))
        assert sorted(found.unhealthy("a")) == ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]

        origin.write(root, a_record("1.1.0", "Healthy"))
        origin.forget(root, "a-1.2.0")
        before = found.unhealthy("a")
        assert sorted(before) == ["1.0.0", "1.3.0"]
        origin.write(root, a_record("1.4.0", "Unhealthy"))
        assert sorted(found.unhealthy("a")) == ["1.0.0", "1.3.0", "1.4.0"]
        assert found.unhealthy("b") == {}

    def test_a_record_that_is_coming_counts_once_its_tree_is_in_its_place(self, world):
        root, found = world.root, Records(world.root)
        (root / ".runwright").mkdir(parents=True)
        (root / ".staging").mkdir(exist_ok=True)
        payload = root / ".staging" / "a"
        payload.mkdir()
        origin.announce(root, replace(a_record("1.0.0", "Unhealthy"), inode=payload.stat().st_ino))
        assert found.unhealthy("a") == {}

        payload.rename(root / "a-1.0.0")
        assert list(found.unhealthy("a")) == ["1.0.0"]
        origin.settle(root, "a-1.0.0")
        assert list(found.unhealthy("a")) == ["1.0.0"]

    def test_a_use_is_noted_and_goes_with_the_version(self, world):
        world.registry.add("a", "1.0.0").add("a", "2.0.0")
        world.declare("a", "1.0.0")
        world.pass_over("a")
        assert records.last_used(world.root, "a", "1.0.0") is None
        world.jobs.find("a", may_install=False)
        assert records.last_used(world.root, "a", "1.0.0") is not None
        world.declare("a", "2.0.0")
        world.pass_over("a")

        assert records.last_used(world.root, "a", "1.0.0") is None
