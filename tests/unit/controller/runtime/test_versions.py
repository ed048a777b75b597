"""Ranges, updates, rollbacks, health and what is kept, with a real store, real registries and real trees."""

import os
from pathlib import Path

import pytest

from controller.job.observed import RuntimeMissing, RuntimeReady
from controller.runtime.trees.source import HealthReport
from support.registry_fixtures import a_file, a_package
from support.runtime_world import RuntimeWorld, a_runtime_world

SICK = a_file("isolated/etc/sick", b"it does not start")


def sick_if_it_says_so(payload: Path, manifest: object, source: object) -> HealthReport:
    why = payload / "isolated/etc/sick"
    return HealthReport(not why.exists(), why.read_text() if why.exists() else "")


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path, health=sick_if_it_says_so) as world:
        world.declare_registry()
        yield world


def sick(version: str) -> bytes:
    return a_package("a", version, SICK)


def there(world: RuntimeWorld) -> set[str]:
    return set(world.states("a"))


def warnings(world: RuntimeWorld) -> list[tuple[str, str]]:
    world.kind._recorder.flush()
    return [(e["reason"], e["message"]) for e in world.store.each("Event") if e["type"] == "Warning"]


def job_gets(world: RuntimeWorld, spec: str) -> str:
    found = world.jobs.find(spec, may_install=False)
    return found.version if isinstance(found, RuntimeReady) else found.message


def later(world: RuntimeWorld, seconds: float = 2) -> None:
    world.clock.advance(seconds)
    world.pass_over("a")


def test_a_range_means_its_highest_version_and_moves_up_within_it(world):
    world.registry.add("a", "1.2.0").add("a", "1.3.0").add("a", "2.0.0").add("a", "1.4.0-rc.1")
    world.declare("a", "^1.2")
    world.pass_over("a")
    assert there(world) == {"1.3.0"}
    assert world.means("a") == [("^1.2", "1.3.0", "first")]

    world.registry.add("a", "1.10.0")
    later(world)
    assert world.means("a")[1:] == [("^1.2", "1.10.0", "update")]
    assert job_gets(world, "a@^1.2") == job_gets(world, "a@~1.10.0") == job_gets(world, "a") == "1.10.0"
    assert "not installed" in job_gets(world, "a@^2")


def test_a_range_that_nobody_offers_says_what_there_is(world):
    world.registry.add("a", "1.2.0")
    world.declare("a", ">=2 <3")
    world.pass_over("a")

    assert world.ready("a")["reason"] == "RuntimeNotFound"
    assert "1.2.0" in world.ready("a")["message"]


def test_a_job_may_ask_for_a_range_and_so_have_it_installed(world):
    world.registry.add("a", "1.2.0").add("a", "1.3.0").add("a", "2.0.0")
    missing = world.jobs.find("a@^1.2", may_install=True)
    assert isinstance(missing, RuntimeMissing)
    assert missing.request == ("a", "^1.2")
    world.job_that_waits("a@^1.2")
    world.requests.request(*missing.request)
    world.pass_over("a")

    assert job_gets(world, "a@^1.2") == "1.3.0"


def test_the_version_before_is_kept_for_a_rollback_and_one_more_if_asked_for(world):
    for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
        world.registry.add("a", version)
        world.declare("a", "latest", retain=2)
        later(world)

    assert there(world) == {"1.1.0", "1.2.0", "1.3.0"}
    kept = {v["version"]: v["keptBecause"] for v in world.status("a")["versions"]}
    assert kept["1.3.0"] == "it is what latest means"
    assert kept["1.2.0"] == "kept for a rollback of latest; it goes when the disk is full, or at rnx runtime gc"


def test_nothing_is_kept_of_what_was_asked_for_exactly_and_is_not_any_more(world):
    world.registry.add("a", "1.0.0").add("a", "1.1.0")
    world.declare("a", "1.0.0")
    world.pass_over("a")
    world.declare("a", "1.1.0")
    world.pass_over("a")

    assert there(world) == {"1.1.0"}


class TestHealth:
    def test_a_version_that_does_not_work_is_not_switched_to(self, world):
        world.registry.add("a", "1.0.0")
        world.declare("a", "latest")
        world.pass_over("a")
        world.registry.add("a", "1.1.0", sick("1.1.0"))
        later(world)

        assert there(world) == {"1.0.0", "1.1.0"}
        assert [m[1] for m in world.means("a")] == ["1.0.0"]
        assert job_gets(world, "a") == job_gets(world, "a@latest") == job_gets(world, "a@^1") == "1.0.0"
        assert job_gets(world, "a@1.1.0") == "1.1.0"
        assert world.ready("a")["status"] == "True"
        healthy = world.condition("a", "Healthy")
        assert (healthy["status"], healthy["reason"]) == ("False", "Unhealthy")
        assert "1.1.0 does not work: it does not start" in healthy["message"]
        said = "latest goes on to mean 1.0.0: 1.1.0 does not work: it does not start"
        assert world.ready("a")["message"] == f"1.1.0 installed; {said}"
        assert warnings(world) == [("Unhealthy", said)]
        kept = {v["version"]: v["keptBecause"] for v in world.status("a")["versions"]}
        assert kept == {"1.0.0": "it is what latest means", "1.1.0": "it is what latest is to mean as soon as it works"}
        later(world, 100)
        assert len(warnings(world)) == 1

        world.registry.add("a", "1.2.0")
        later(world)
        assert job_gets(world, "a") == "1.2.0"
        assert world.condition("a", "Healthy")["status"] == "True"
        assert world.means("a")[-1] == ("latest", "1.2.0", "update")

    def test_where_nothing_works_jobs_are_told_why_and_the_runtime_is_not_ready(self, world):
        world.registry.add("a", "1.0.0", sick("1.0.0"))
        world.declare("a", "latest")
        world.pass_over("a")

        assert (world.ready("a")["status"], world.ready("a")["reason"]) == ("False", "Unhealthy")
        assert "cannot use a@1.0.0: it is Unhealthy: it does not start" in job_gets(world, "a")

    def test_the_same_holds_for_an_idle_host_without_a_write(self, world):
        world.registry.add("a", "1.0.0").add("a", "1.1.0", sick("1.1.0"))
        world.declare("a", "latest", "1.0.0")
        world.pass_over("a")
        before = world.store.revision()
        for _ in range(4):
            later(world, 100)

        assert world.store.revision() == before


class TestRollback:
    def test_an_update_after_it_means_the_newest_that_works_and_takes_nothing_away(self, world):
        for version in ("1.0.0", "1.1.0"):
            world.registry.add("a", version)
            world.declare("a", "^1.0")
            later(world)
        world.registry.add("a", "1.2.0", sick("1.2.0"))
        later(world)
        assert world.ask("a", "rollback", "now") == "^1.0 means 1.0.0 again, after 1.1.0"
        later(world)

        said = world.ask("a", "update", "then")

        assert said == "^1.0 means 1.1.0; 1.2.0 does not work: it does not start"
        assert there(world) == {"1.0.0", "1.1.0", "1.2.0"}
        assert job_gets(world, "a@^1.0") == "1.1.0"

    def test_a_version_that_is_in_use_and_kept_for_one_says_both(self, updated):
        updated.job_in("a@1.0.0")
        later(updated)
        kept = {v["version"]: v["keptBecause"] for v in updated.status("a")["versions"]}

        assert kept["1.0.0"] == "in use by job/default/etl; it is kept for a rollback of latest too"

    @pytest.fixture
    def updated(self, world):
        for version in ("1.0.0", "1.1.0"):
            world.registry.add("a", version)
            world.declare("a", "latest", retain=2)
            later(world)
        return world

    def test_the_entry_means_the_version_before_until_a_newer_one_appears(self, updated):
        world = updated
        assert world.ask("a", "rollback", "now") == "latest means 1.0.0 again, after 1.1.0"
        for _ in range(3):
            later(world, 100)
        assert job_gets(world, "a") == job_gets(world, "a@^1") == "1.0.0"
        assert job_gets(world, "a@1.1.0") == "1.1.0"

        world.registry.add("a", "1.2.0")
        later(world)
        assert job_gets(world, "a") == "1.2.0"
        assert [m[2] for m in world.means("a")] == ["first", "update", "rollback", "update"]

    def test_an_update_that_is_asked_for_ends_it(self, updated):
        world = updated
        world.ask("a", "rollback", "now")
        assert world.ask("a", "update", "now") == "latest means 1.1.0"
        assert job_gets(world, "a") == "1.1.0"
        assert world.ask("a", "update", "again") == "there is nothing newer"

    def test_a_version_that_is_gone_is_installed_again(self, updated):
        world = updated
        world.ask("a", "gc", "now")
        assert there(world) == {"1.1.0"}
        world.ask("a", "rollback", "1.0.0 now")

        assert there(world) == {"1.0.0", "1.1.0"}
        assert job_gets(world, "a") == "1.0.0"

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ("0.1.0 now", None),
            ("0.0.1 now", "cannot roll back: 0.0.1 is unknown: it is not installed, and no registry offers it"),
            ("2.0.0 now", "2.0.0 is unknown"),
            ("1.1.0 now", "1.1.0 is not earlier than 1.1.0"),
        ],
    )
    def test_what_cannot_be_rolled_back_to_is_refused_or_looked_for(self, updated, value, why):
        if why is None:  # Nobody can tell whether there is such a version.
            updated.declare_registry("gone", url="file:///nowhere")
            updated.declare("a", "latest", retain=2, registry="gone")
        result = updated.ask("a", "rollback", value)
        if why is None:
            assert result == "latest means 0.1.0 again, after 1.1.0"
            assert updated.ready("a")["reason"] == "RegistryUnavailable"
            assert job_gets(updated, "a") == "1.1.0"  # Until there is what it is to mean.
            return
        assert why in result
        assert job_gets(updated, "a") == "1.1.0"

    def test_exact_versions_have_nothing_to_roll_back(self, world):
        world.registry.add("a", "1.0.0")
        world.declare("a", "1.0.0")
        world.pass_over("a")

        assert "names exact versions only" in world.ask("a", "rollback", "now")

    def test_a_request_is_heard_once(self, updated):
        world = updated
        world.ask("a", "rollback", "now")
        world.ask("a", "update", "now")
        for _ in range(3):
            later(world)

        assert job_gets(world, "a") == "1.1.0"


class TestManual:
    @pytest.fixture
    def manual(self, world):
        world.registry.add("a", "1.0.0")
        world.declare("a", "latest", updatePolicy="Manual")
        world.pass_over("a")
        world.registry.add("a", "1.1.0")
        later(world)
        return world

    def test_an_entry_keeps_what_it_first_meant(self, manual):
        assert there(manual) == {"1.0.0"}
        assert manual.ready("a")["status"] == "True"

    def test_an_update_moves_it_once(self, manual):
        assert manual.ask("a", "update", "now") == "latest means 1.1.0"
        manual.registry.add("a", "1.2.0")
        later(manual)

        assert job_gets(manual, "a") == "1.1.0"

    def test_an_update_to_what_does_not_work_moves_nothing_and_says_why(self, manual):
        manual.registry.add("a", "1.1.0", sick("1.1.0"))
        later(manual)
        result = manual.ask("a", "update", "now")

        assert result == "there is nothing newer; 1.1.0 does not work: it does not start"
        assert job_gets(manual, "a") == "1.0.0"
        assert [m[1] for m in manual.means("a")] == ["1.0.0"]

    def test_an_update_that_cannot_be_had_is_heard_with_the_reason(self, manual):
        manual.registry.add("a", "1.1.0", checksum="sha256:" + "0" * 64)
        later(manual)
        result = manual.ask("a", "update", "now")

        assert "there is nothing newer" not in result
        assert "checksum" in result
        assert job_gets(manual, "a") == "1.0.0"
        later(manual)
        assert manual.ready("a")["status"] == "True"


class TestCollecting:
    def test_gc_removes_what_is_kept_for_a_rollback_only_and_never_what_is_in_use(self, world):
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            world.registry.add("a", version)
            world.declare("a", "latest", retain=5)
            later(world)
        world.job_in("a@1.0.0")
        assert there(world) == {"1.0.0", "1.1.0", "1.2.0"}

        assert world.ask("a", "gc", "now") == "removed 1.1.0"
        assert there(world) == {"1.0.0", "1.2.0"}

    def test_gc_with_nothing_to_do_says_so(self, world):
        world.registry.add("a", "1.0.0")
        world.declare("a", "latest")
        world.pass_over("a")

        assert world.ask("a", "gc", "now") == "nothing was to be removed"

    def test_what_a_version_was_used_for_is_told_to_the_minute(self, world):
        world.registry.add("a", "1.0.0")
        world.declare("a", "latest")
        world.pass_over("a")
        assert "lastUsedAt" not in world.status("a")["versions"][0]
        assert job_gets(world, "a") == "1.0.0"
        os.utime(world.root / ".runwright/a-1.0.0.used", (1_767_323_045, 1_767_323_045))
        world.pass_over("a")

        assert world.status("a")["versions"][0]["lastUsedAt"] == "2026-01-02T03:04:05Z"
