"""What runtimes are made of others: of the very content that was installed, or not at all."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from api.packages.manifest import Mount
from api.types.runtime_sources import ExtendsSource
from controller.engine.errors import TransientError
from controller.runtime.build import fill
from controller.runtime.sources.composition import Composition, Layer
from controller.runtime.trees import install, locks, origin, tree
from controller.runtime.trees.inventory import Inventory
from support.registry_fixtures import RegistryOnDisk, a_host, a_tree
from support.runtime_world import RuntimeWorld, a_runtime_world
from support.tree_digests import digest_of

PARENT = "p@1.0.0"
TOOL = "isolated/bin/python3"


@pytest.fixture
def host(tmp_path):
    with a_host(tmp_path / "root") as host:
        registry = RegistryOnDisk(tmp_path / "registry").add("p", "1.0.0")
        install.install(registry.package("p"), host)
        yield host


def a_layer(host: install.Host) -> Layer:
    found = install.find(host.root, "p", "1.0.0")
    known = origin.read(host.root, "p", "1.0.0")
    assert found is not None
    assert found.manifest is not None
    return Layer(PARENT, found.path, known.digest if known else "", found.manifest)


def a_child(layer: Layer, **extends: object) -> Composition:
    return Composition("c", "1.0.0", ExtendsSource.model_validate({"runtimes": ["p"], **extends}), (layer,))


def overwrite(path: Path, content: bytes = b"evil") -> None:
    """Change it in place, as only somebody else does."""
    with path.open("r+b") as file:
        file.write(content)


def change_target(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


CHANGES = {
    "changed": lambda at: overwrite(at / TOOL),
    "mode": lambda at: (at / TOOL).chmod(0o644),
    "missing": lambda at: (at / TOOL).unlink(),
    "added": lambda at: (at / "isolated/bin/more").write_text("more"),
    "link": lambda at: change_target(at / "isolated/bin/python"),
}


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("how", CHANGES)
def test_nothing_is_made_of_a_tree_that_was_changed_and_its_record_says_so(host, how):
    layer = a_layer(host)
    CHANGES[how](layer.path)

    with pytest.raises(
        TransientError, match=f"cannot use p@1.0.0: '.*' is not as it was installed .{how}.: "
    ) as caught:
        install.install(a_child(layer), host)

    assert caught.value.reason == "ParentNotReady"
    assert not (host.root / "c-1.0.0").exists()
    known = origin.read(host.root, "p", "1.0.0")
    assert f"({how})" in known.drift
    assert known.verified_at


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("how", CHANGES)
def test_nothing_is_copied_into_a_build_of_a_tree_that_was_changed(host, tmp_path, how):
    layer = a_layer(host)
    stock = Inventory.of(host, PARENT, layer.path, layer.digest)
    CHANGES[how](layer.path)
    (tmp_path / "build").mkdir()

    with pytest.raises(TransientError, match=f"not as it was installed .{how}."):
        fill.copy(stock, (Mount("isolated/bin", "/bin"),), tmp_path / "build", lambda path: path)


def test_a_change_that_jobs_do_not_see_does_not_keep_a_build_from_copying_what_they_do(host, tmp_path):
    layer = a_layer(host)
    overwrite(layer.path / "isolated/etc/version")
    (tmp_path / "build").mkdir()
    stock = Inventory.of(host, PARENT, layer.path, layer.digest)

    written = fill.copy(stock, (Mount("isolated/bin", "/bin"),), tmp_path / "build", lambda path: path)

    assert written == {"bin/python3", "bin/python"}


def test_the_manifest_counts_as_well(host):
    layer = a_layer(host)
    overwrite(layer.path / tree.MANIFEST, b"name: x")

    with pytest.raises(TransientError, match="'runtime.yml' is not as it was installed"):
        install.install(a_child(layer), host)


def test_a_parent_on_record_as_changed_or_replaced_is_refused_before_anything_is_read(host):
    layer = a_layer(host)
    with pytest.raises(TransientError, match="cannot use p@1.0.0: it was replaced meanwhile"):
        Inventory.of(host, PARENT, layer.path, "another")

    known = origin.read(host.root, "p", "1.0.0")
    origin.write(host.root, replace(known, drift="1 entry differs: x (changed)"))
    with pytest.raises(TransientError, match=r"cannot use p@1.0.0: 1 entry differs: x \(changed\)"):
        install.install(a_child(layer), host)


def test_a_parent_whose_list_is_gone_is_to_be_verified_first(host):
    layer = a_layer(host)
    for path in origin.lists(host.root, "p", "1.0.0"):
        path.unlink(missing_ok=True)

    with pytest.raises(TransientError, match="rnx runtime verify p@1.0.0"):
        install.install(a_child(layer), host)


def test_a_parent_that_is_being_changed_is_refused_without_waiting_for_that(host):
    layer = a_layer(host)
    overwrite(layer.path / TOOL)
    with locks.exclusive(host.root, "p-1.0.0", wait=False), pytest.raises(TransientError) as caught:
        install.install(a_child(layer), host)

    assert caught.value.reason == "ParentNotReady"
    assert origin.read(host.root, "p", "1.0.0").drift == ""


def test_a_tree_that_others_put_there_is_believed(tmp_path):
    with a_host(tmp_path / "root") as host:
        found = tree.inspect(a_tree(tmp_path / "root/p-1.0.0", "p"))
        done = install.install(a_child(Layer(PARENT, found.path, "", found.manifest)), host)

    assert (done.path / TOOL).read_text() == "#!"


LOSSES = {
    "gone": lambda record: record.unlink(),
    "cut off": lambda record: record.write_text(record.read_text()[:40]),
    "empty": lambda record: record.write_text(""),
    "a directory": lambda record: (record.unlink(), record.mkdir()),
}


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("how", LOSSES)
def test_nothing_is_made_of_a_tree_that_lost_its_record_and_the_way_out_is_told(host, tmp_path, how):
    before = a_layer(host)
    LOSSES[how](origin.record_path(host.root, "p", "1.0.0"))
    (tmp_path / "build").mkdir()

    for layer in (before, a_layer(host)):
        with pytest.raises(TransientError, match="its record .* is gone, or cannot be read: .* move that") as caught:
            install.install(a_child(layer), host)
        assert caught.value.reason == "RecordLost"
        with pytest.raises(TransientError, match="cannot use p@1.0.0"):
            fill.copy(Inventory.of(host, PARENT, layer.path, layer.digest), (), tmp_path / "build", lambda path: path)


def test_what_is_moved_away_as_was_told_is_installed_again_and_can_be_used(host, tmp_path):
    origin.record_path(host.root, "p", "1.0.0").unlink()
    (host.root / "p-1.0.0").rename(tmp_path / "away")
    install.install(RegistryOnDisk(tmp_path / "registry").add("p", "1.0.0").package("p"), host)

    assert (install.install(a_child(a_layer(host)), host).path / TOOL).is_file()


def test_what_somebody_put_where_a_removed_version_was_is_believed(host, tmp_path):
    install.remove(host.root, "p", "1.0.0")
    found = tree.inspect(a_tree(host.root / "p-1.0.0", "p"))

    assert install.install(a_child(Layer(PARENT, found.path, "", found.manifest)), host).path.is_dir()


def test_a_child_lists_what_it_holds_with_its_own_files_over_its_parents(host):
    child = a_child(a_layer(host), files=[{"path": "/bin/python3", "text": "mine"}])
    done = install.install(child, host)

    assert (done.path / TOOL).read_text() == "mine"
    assert done.origin.digest == digest_of(done.path)


def test_of_two_parents_the_list_has_the_later_ones_file(tmp_path, host):
    registry = RegistryOnDisk(tmp_path / "more").add("q", "1.0.0")
    more = install.install(registry.package("q"), host)
    found = tree.inspect(more.path)
    both = (a_layer(host), Layer("q@1.0.0", more.path, more.origin.digest, found.manifest))
    child = replace(a_child(both[0], runtimes=["p", "q"]), layers=both)

    done = install.install(child, host)

    assert (done.path / TOOL).samefile(more.path / TOOL)
    assert done.origin.digest == digest_of(done.path)


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path / "world") as world:
        world.declare_registry()
        yield world


def passes(world: RuntimeWorld, *names: str) -> None:
    for name in names:
        world.clock.advance(100)
        world.pass_over(name)


@pytest.mark.invariant("I10")
def test_a_parent_found_changed_is_healed_and_then_the_child_is_made(world):
    world.registry.add("p", "1.0.0")
    world.declare("p", "1.0.0")
    passes(world, "p")
    whole = (world.root / f"p-1.0.0/{TOOL}").read_bytes()
    overwrite(world.root / f"p-1.0.0/{TOOL}")
    world._apply("Runtime", "c", {"extends": {"runtimes": ["p"]}})
    passes(world, "c")
    assert world.ready("c")["reason"] == "ParentNotReady"
    assert not os.path.lexists(world.root / "c-1.0.0")

    passes(world, "p", "p", "c", "c")

    assert (world.root / f"p-1.0.0/{TOOL}").read_bytes() == whole
    assert (world.root / f"c-1.0.0/{TOOL}").read_bytes() == whole
    assert world.ready("c")["reason"] == "Installed"
