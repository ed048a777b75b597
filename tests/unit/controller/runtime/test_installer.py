"""What the installer tells of what it installed."""

import pytest

from support.registry_fixtures import a_file, a_manifest, an_archive
from support.runtime_world import RuntimeWorld, a_runtime_world


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path) as world:
        world.declare_registry()
        yield world


def warnings(world: RuntimeWorld) -> list[tuple[str, str]]:
    world.kind._recorder.flush()
    items = world.store.list("Event").items
    return [(item["reason"], item["message"]) for item in items if item["type"] == "Warning"]


def test_what_is_doubtful_in_a_manifest_is_an_event_with_its_place(world):
    manifest = a_manifest("a", "package_manager: {type: pip, cache_volume: ../c}\n")
    archive = an_archive(a_file("runtime.yml", manifest), a_file("isolated/bin/python3", b"x", 0o755))
    world.registry.add("a", "1.0.0", archive)
    world.declare("a", "1.0.0")

    world.pass_over("a")

    assert world.states("a") == {"1.0.0": "Installed"}
    ((reason, message),) = warnings(world)
    assert reason == "ManifestWarning"
    assert message.startswith('a@1.0.0: runtime.yml:5:44: package_manager.cache_volume: "../c" is no name of a volume')


def test_a_manifest_without_doubts_is_no_event(world):
    world.registry.add("a", "1.0.0")
    world.declare("a", "1.0.0")

    world.pass_over("a")

    assert (world.states("a"), warnings(world)) == ({"1.0.0": "Installed"}, [])
