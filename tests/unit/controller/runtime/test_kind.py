"""The Runtime kind with a real store, real registries and real trees, pass by pass."""

import itertools
import os
import shutil

import pytest

from controller.engine.errors import TransientError
from controller.runtime.kind import released_by, users_by_version
from controller.runtime.trees import origin
from support.registry_fixtures import RegistryOnDisk, a_file, a_package, a_tree, an_archive
from support.runtime_world import RuntimeWorld, a_runtime_world


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path) as world:
        world.declare_registry()
        yield world


def trees(world: RuntimeWorld) -> set[str]:
    return {name for name in os.listdir(world.root) if not name.startswith(".")} if world.root.exists() else set()


def test_what_is_wanted_is_installed_in_one_pass(world):
    world.registry.add("a", "1.0.0").add("a", "2.0.0")
    world.declare("a", "1.0.0", "latest")

    assert world.pass_over("a").requeue_after_seconds == 60
    assert trees(world) == {"a-1.0.0", "a-2.0.0"}
    assert world.states("a") == {"1.0.0": "Installed", "2.0.0": "Installed"}
    assert world.ready("a")["message"] == "1.0.0, 2.0.0 installed"


def test_a_pass_over_what_is_as_it_should_be_writes_nothing(world):
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0", "7.0.0")
    world.pass_over("a")
    before = world.store.revision()
    for _ in range(5):
        world.clock.advance(100)
        world.pass_over("a")

    assert world.store.revision() == before


@pytest.mark.invariant("I5")
def test_a_failure_is_remembered_retried_later_and_later_and_forgotten_when_it_worked(world):
    world.registry.add("a", "1.0.0", checksum="sha256:" + "0" * 64)
    world.declare("a", "1.0.0")
    waits = []
    for _ in range(8):
        result = world.pass_over("a")
        waits.append(round(result.requeue_after_seconds))
        world.clock.advance(result.requeue_after_seconds)

    assert all(later >= 1.2 * earlier for earlier, later in itertools.pairwise(waits[:6])), waits
    assert max(waits) <= 60
    assert world.ready("a")["reason"] == "ChecksumMismatch"
    assert world.metrics.installs.labels("failed")._value.get() == 8

    world.registry.add("a", "1.0.0")
    world.clock.advance(2)
    world.pass_over("a")
    assert world.ready("a")["reason"] == "Installed"


def test_what_cannot_work_is_tried_again_only_when_the_package_or_the_spec_changes(world):
    world.registry.add("a", "1.0.0", platforms=["plan9-mips"]).add("a", "2.0.0")
    world.declare("a", "1.0.0")

    def tries() -> float:
        world.clock.advance(3600)
        world.pass_over("a")
        return world.metrics.installs.labels("failed")._value.get()

    assert (tries(), tries()) == (1, 1)
    world.declare("a", "1.0.0", "2.0.0")
    assert (tries(), tries()) == (2, 2)
    assert world.states("a") == {"1.0.0": "Failed", "2.0.0": "Installed"}
    assert {v["version"]: v["reason"] for v in world.status("a")["versions"]} == {
        "1.0.0": "PlatformUnsupported", "2.0.0": ""
    }  # fmt: skip
    world.registry.add("a", "1.0.0")
    assert tries() == 2
    assert world.states("a") == {"1.0.0": "Installed", "2.0.0": "Installed"}


def test_what_was_published_a_moment_ago_is_found_though_the_catalogue_is_young(world):
    world.declare_registry(cacheSeconds=3600)
    world.declare("a", "1.0.0")
    soonest = world.pass_over("a").requeue_after_seconds
    assert world.ready("a")["reason"] == "RuntimeNotFound"

    world.registry.add("a", "1.0.0")
    world.clock.advance(5)
    world.pass_over("a")
    assert soonest == 2
    assert world.ready("a")["reason"] == "Installed"


def test_what_nobody_offers_is_looked_up_ever_more_rarely(world):
    world.declare("a", "1.0.0")
    waits = []
    for _ in range(8):
        waits.append(world.pass_over("a").requeue_after_seconds)
        world.clock.advance(waits[-1])

    assert waits == [2, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.invariant("I7")
def test_latest_never_goes_back_to_what_a_worse_registry_has(world):
    """The better one is down and nothing is kept of it: 2.0.0 stays, and nothing older comes in its place."""
    better = RegistryOnDisk(world.directory / "better").add("a", "2.0.0")
    world.registry.add("a", "1.0.0")
    world.declare_registry("better", url=better.url, priority=1)
    world.declare("a", "latest")
    world.pass_over("a")
    assert world.states("a") == {"2.0.0": "Installed"}

    shutil.rmtree(better.path)
    shutil.rmtree(world.directory / "cache")
    with_new_daemon = world.cache
    with_new_daemon._slots.clear()
    world.clock.advance(7200)
    world.pass_over("a")
    assert world.states("a") == {"2.0.0": "Installed"}
    assert trees(world) == {"a-2.0.0"}


def test_a_newer_latest_is_installed_and_the_one_before_it_removed(world):
    world.registry.add("a", "1.0.0")
    world.declare("a", "latest", retain=0)
    world.pass_over("a")
    world.registry.add("a", "1.1.0").add("a", "2.0.0-beta")
    world.clock.advance(2)
    world.pass_over("a")

    assert trees(world) == {"a-1.1.0"}


@pytest.mark.invariant("I4")
@pytest.mark.parametrize(("state", "phase", "stays"), [
    ("Running", "Running", True), ("Pending", "Pending", True), ("Ended", "Pending", True), ("Ended", "Failed", False),
])  # fmt: skip
def test_a_version_is_in_use_by_runs_and_by_jobs_that_retry_in_it(world, state, phase, stays):
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0")
    world.pass_over("a")
    world.job_in("a@1.0.0", state, phase)
    world.delete("a")
    world.pass_over("a")

    assert trees(world) == ({"a-1.0.0"} if stays else set())
    assert bool(world.get("Runtime", "a")) == stays
    if stays:
        assert world.ready("a")["message"] == "to be removed: 1.0.0 in use by job/default/etl"
        assert world.states("a") == {"1.0.0": "Removing"}


@pytest.mark.invariant("I4")
def test_a_run_that_begins_between_looking_and_removing_is_noticed(world):
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0")
    world.pass_over("a")
    world.delete("a")
    obj = world.kind.kind.type.model_validate(world.get("Runtime", "a"))
    (step,) = world.kind.plan(obj, world.kind.observe(obj)).steps
    world.job_in("a@1.0.0")

    with pytest.raises(TransientError, match="it is in use by job/default/etl") as caught:
        world.kind.act(obj, step)
    assert caught.value.reason == "InUse"
    assert trees(world) == {"a-1.0.0"}


def test_who_uses_a_version_is_read_from_jobs(world):
    jobs = (world.job_in("a@1.0.0", name="one"), world.job_in("b@1.0.0", name="two"), world.job_in("a", name="bare"))

    assert users_by_version("a", jobs) == {"1.0.0": ("job/default/one",)}


def test_the_end_of_a_run_makes_its_runtime_due(world):
    world.job_in("a@1.0.0")
    since = world.store.revision()
    world.job_in("a@1.0.0", "Ended", "Succeeded")
    (ended,) = world.store.changes(since, kind="Job")
    since = world.store.revision()
    world.job_in("a@1.0.0", "Ended", "Failed")
    (nothing_new,) = world.store.changes(since, kind="Job")

    assert [str(key) for key in released_by(ended)] == ["runtime/a"]
    assert released_by(nothing_new) == ()


@pytest.mark.invariant("I3")
def test_trees_of_others_are_used_listed_and_never_removed(world):
    world.registry.add("a", "1.0.0")
    a_tree(world.root / "a-1.0.0", "a")
    a_tree(world.root / "a" / "2.0.0", "a")
    world.declare("a", "1.0.0")
    world.pass_over("a")
    assert world.states("a") == {"1.0.0": "Installed", "2.0.0": "Installed"}

    world.delete("a")
    world.pass_over("a")
    assert world.get("Runtime", "a") == {}
    assert trees(world) == {"a-1.0.0", "a"}


def test_a_broken_tree_of_others_in_the_way_is_a_conflict_that_ends_when_it_is_gone(world):
    world.registry.add("a", "1.0.0")
    (world.root / "a-1.0.0").mkdir(parents=True)
    world.declare("a", "1.0.0")
    wait = world.pass_over("a").requeue_after_seconds
    assert world.ready("a")["reason"] == "Conflict"

    (world.root / "a-1.0.0").rmdir()
    world.clock.advance(wait)
    world.pass_over("a")
    assert world.ready("a")["reason"] == "Installed"


def test_a_broken_tree_of_ours_is_healed_when_it_is_looked_at(world):
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0")
    world.pass_over("a")
    shutil.rmtree(world.root / "a-1.0.0" / "isolated")
    world.pass_over("a")

    assert (world.root / "a-1.0.0" / "isolated/bin/python3").exists()
    assert world.ready("a")["reason"] == "Installed"


def test_an_install_of_what_is_dropped_from_the_spec_meanwhile_ends(world):
    """The server hands out the archive; before its end the runtime is deleted."""
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0")
    obj = world.kind.kind.type.model_validate(world.get("Runtime", "a"))
    (step,) = world.kind.plan(obj, world.kind.observe(obj)).steps
    world.store.delete(obj.key)
    world.kind.act(obj, step)

    assert trees(world) == set()
    assert world.metrics.installs.labels("failed")._value.get() == 0
    assert not (world.root / origin.STAGING).exists() or os.listdir(world.root / origin.STAGING) == []


def test_a_registry_object_that_cannot_be_read_harms_no_other(world):
    world.registry.add("a", "1.0.0")
    document = {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "Registry",
        "metadata": {"name": "odd"},
        "spec": {"url": 7},
    }
    world.store.create(document)
    world.declare("a", "1.0.0")
    world.pass_over("a")

    assert world.ready("a")["reason"] == "Installed"


def test_a_named_registry_that_is_not_there_is_told(world):
    world.declare("a", "1.0.0", registry="elsewhere")
    world.pass_over("a")

    assert "there is no enabled registry/elsewhere: declare one" in world.ready("a")["message"]
    (version,) = world.get("Runtime", "a")["status"]["versions"]
    assert (version["state"], version["reason"]) == ("Failed", world.ready("a")["reason"])


def test_a_runtime_root_that_is_no_directory_is_told(world):
    world.declare("a", "1.0.0")
    world.root.parent.mkdir(exist_ok=True)
    world.root.write_text("")
    world.pass_over("a")

    assert world.ready("a")["reason"] == "RuntimeRootUnavailable"


def test_a_changed_package_of_an_installed_version_changes_nothing(world):
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0")
    world.pass_over("a")
    world.registry.add("a", "1.0.0", a_package("a", "other"))
    world.clock.advance(3600)
    world.pass_over("a")

    assert (world.root / "a-1.0.0/isolated/etc/version").read_text() == "1.0.0"


@pytest.mark.invariant("I5")
def test_a_source_that_fails_as_nobody_expected_is_a_failure_as_any_other_and_keeps_no_other_from_it(tmp_path, caplog):
    def run(package, *_, **__):
        raise RecursionError("what the recipe left is nested too deep")

    with a_runtime_world(tmp_path, build_recipe=run) as world:
        world.declare_registry()
        recipe = an_archive(a_file("a/setup.sh", b"exit 0"), a_file("a/manifest.yaml", b"name: a\nversion: 1.0.0\n"))
        world.registry.add("a", "1.0.0", recipe).add("a", "2.0.0")
        world.declare("a", "1.0.0", "2.0.0")
        result = world.pass_over("a")

        assert world.states("a")["2.0.0"] == "Installed"
        assert world.ready("a")["reason"] == "InternalError"
        assert "RecursionError: what the recipe left is nested too deep" in world.ready("a")["message"]
        assert 0 < result.requeue_after_seconds <= 60
    assert "Traceback" in caplog.text
