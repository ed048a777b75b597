"""Notes about installs in a runtime's status: true, few, and never in the way of the install."""

import pytest

from controller.runtime.progress import InstallProgress, NoLongerWanted
from support.runtime_world import RuntimeWorld, a_runtime_world


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path) as world:
        world.declare_registry()
        world.registry.add("a", "1.0.0").add("a", "2.0.0")
        world.declare("a", "1.0.0", "2.0.0")
        yield world


def progress(world: RuntimeWorld) -> InstallProgress:
    return InstallProgress(world.store, world.kind.kind.type.model_validate(world.get("Runtime", "a")).key, world.clock)


def told(world: RuntimeWorld) -> dict[str, int]:
    return {v["version"]: v["doneBytes"] for v in world.get("Runtime", "a")["status"]["versions"]}


def test_all_installs_under_way_are_told_together(world):
    notes = progress(world)
    first = notes.of(world.registry.package("a", "1.0.0"))
    second = notes.of(world.registry.package("a", "2.0.0"))
    first(10, 100)
    world.clock.advance(1)
    second(20, None)

    assert told(world) == {"1.0.0": 10, "2.0.0": 20}
    assert world.ready("a") | {"lastTransitionTime": ""} == {
        "type": "Ready", "status": "False", "reason": "Installing", "lastTransitionTime": "",
        "message": "1.0.0, 2.0.0 is being installed",
    }  # fmt: skip


def test_at_most_four_notes_a_second_are_written_and_none_that_says_nothing_new(world):
    note = progress(world).of(world.registry.package("a", "1.0.0"))
    before = world.store.revision()
    for done in range(100):
        note(done, 100)
        world.clock.advance(0.05)
    written = world.store.revision() - before
    for _ in range(100):
        note(99, 100)
        world.clock.advance(0.05)

    assert 15 <= written <= 20
    assert world.store.revision() - before <= written + 1


@pytest.mark.parametrize("versions", [("2.0.0",), None])
def test_an_install_that_nobody_wants_any_more_is_ended(world, versions):
    note = progress(world).of(world.registry.package("a", "1.0.0"))
    note(1, 100)
    if versions is None:
        world.delete("a")
    else:
        world.declare("a", *versions)
    world.clock.advance(1)

    with pytest.raises(NoLongerWanted, match=r"a@1.0.0 is no longer wanted"):
        note(2, 100)


def test_a_change_of_the_spec_that_still_wants_it_ends_nothing(world):
    note = progress(world).of(world.registry.package("a", "1.0.0"))
    note(1, 100)
    world.declare("a", "1.0.0", "latest")
    world.clock.advance(1)
    note(2, 100)

    assert told(world) == {"1.0.0": 2}
