"""Whether trees are bound to one content, by their real sources and what these made."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from api.types.runtime_sources import BuildLimits, BuildSource, ExtendsSource
from controller.runtime.bound import BoundBySource
from controller.runtime.build import lock
from controller.runtime.build.declared import DeclaredBuild
from controller.runtime.build.lock import Package
from controller.runtime.build.recipe import RecipeSource
from controller.runtime.build.sandbox import BuildHost
from controller.runtime.sources.composition import Composition, Layer
from controller.runtime.trees import install, origin, tree
from controller.runtime.trees.source import Made, TreeSource
from support.building import a_recipe
from support.registry_fixtures import RegistryOnDisk, a_file, a_host, a_package
from support.runtime_world import a_runtime_world

LIBC = Package("libc6", "2.36", "sha256:ab", "amd64")


def look(source: TreeSource, payload: Path, *, root: Path = Path("/nowhere"), **made: object) -> tuple[str, str]:
    bound = BoundBySource(root)(source, Made(payload, **made))
    return bound.reason, bound.message


def a_build(layer: Layer | None = None, **build: object) -> DeclaredBuild:
    return DeclaredBuild("a", "1.0.0", BuildSource.model_validate(build), layer, BuildHost("none", Path("/nowhere")))


def with_lock(path: Path, *debian: Package, python: tuple[Package, ...] = ()) -> Path:
    path.mkdir(exist_ok=True)
    groups = {"debian_packages": debian, "python_packages": python}
    (path / lock.NAME).write_text(lock.text("a", "1.0.0", "ubuntu-amd64", "", groups))
    return path


@pytest.fixture
def package(tmp_path):
    return RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0").package("a")


class TestArchives:
    def test_a_tree_from_an_archive_is_bound_by_its_checksum(self, package, tmp_path):
        assert look(package, tmp_path, sha256="ab") == ("Pinned", "bound to one content by its archive, sha256:ab")

    @pytest.mark.invariant("I12")
    def test_what_a_script_of_the_archive_made_is_not(self, package, tmp_path):
        assert look(package, tmp_path, sha256="ab", scripted=True)[0] == "InputsUnknown"
        recipe = RecipeSource("a", "1.0.0", "/x", "ab", (), BuildLimits())
        assert look(recipe, tmp_path, sha256="ab")[0] == "InputsUnknown"

    @pytest.mark.invariant("I12")
    @pytest.mark.parametrize("scripted", [True, False])
    def test_a_lock_that_is_not_true_comes_first(self, package, tmp_path, scripted):
        payload = with_lock(tmp_path / "tree", python=(Package("six", "1"),))
        reason, message = look(package, payload, sha256="ab", scripted=scripted)

        assert (reason, message) == ("LockDisagrees", "versions.lock is not true: six 1 is not in the tree")


class TestBuilds:
    def test_a_build_whose_packages_all_have_versions_is_bound(self, tmp_path):
        payload = with_lock(tmp_path / "tree", LIBC)

        assert look(a_build(apt=["libc6=2.36"]), payload) == ("Pinned", "bound to one content by each of its inputs")

    @pytest.mark.invariant("I12")
    def test_the_first_few_that_are_not_pinned_are_named(self, tmp_path):
        payload = with_lock(tmp_path / "tree", LIBC, *(Package(f"lib{n}", "1") for n in range(4)))
        reason, message = look(a_build(apt=["libc6"]), payload)

        assert reason == "InputsUnpinned"
        assert message.startswith(
            "not pinned: apt lib0 1, apt lib1 1, apt lib2 1 and 2 more: pin them, or pack it once"
        )

    @pytest.mark.invariant("I12")
    def test_commands_may_fetch_what_nobody_knows(self, tmp_path):
        reason, message = look(a_build(run=["true"], apt=["libc6=2.36"]), with_lock(tmp_path / "tree", LIBC))

        assert (reason, "(run)" in message) == ("InputsUnknown", True)

    @pytest.mark.invariant("I12")
    def test_what_the_package_managers_said_is_loose_counts_whatever_the_lock_says(self, tmp_path):
        payload = with_lock(tmp_path / "tree", LIBC)
        reason, message = look(a_build(apt=["libc6=2.36"]), payload, loose=("npm git 3.0.0, which has no hash",))

        assert (reason, "not pinned: npm git 3.0.0, which has no hash: " in message) == ("InputsUnpinned", True)

    @pytest.mark.invariant("I12")
    def test_scripts_of_packages_may_fetch_what_nobody_knows(self, tmp_path):
        payload = with_lock(tmp_path / "tree", LIBC)
        reason, message = look(a_build(apt=["libc6=2.36"]), payload, scripts=("npm scripted 1.0.0",))

        assert (reason, "the install scripts of npm scripted 1.0.0 fetch" in message) == ("InputsUnknown", True)

    @pytest.mark.invariant("I12")
    def test_what_a_tree_says_makes_no_message_long_or_unprintable(self, tmp_path):
        long = "x\x1b" * 100_000
        payload = with_lock(tmp_path / "tree", Package(long, "1"))
        hostile = with_lock(tmp_path / "hostile", python=(Package(long, long),))
        (tmp_path / "torn").mkdir()
        (tmp_path / "torn" / lock.NAME).write_text(f"{long}: [")

        for path in (payload, hostile, tmp_path / "torn"):
            _, message = look(a_build(apt=[]), path, loose=(long,) * 9)
            assert (len(message) <= 1000, message.isprintable()) == (True, True)


class TestMadeOfOthers:
    def a_layer(self, host, tmp_path, bound: str, name: str = "p") -> Layer:
        source = RegistryOnDisk(tmp_path / name).add(name, "1.0.0").package(name)
        done = install.install(source, host)
        known = origin.read(host.root, name, "1.0.0")
        origin.write(host.root, replace(known, bound=bound, bound_message="why"))
        return Layer(f"{name}@1.0.0", done.path, known.digest, tree.inspect(done.path).manifest)

    def of(self, host, tmp_path, *layers: Layer, asked: tuple[str, ...] = ("p@1.0.0",)) -> tuple[str, str]:
        extends = ExtendsSource.model_validate({"runtimes": asked})
        return look(Composition("c", "1.0.0", extends, layers), tmp_path, root=host.root)

    @pytest.mark.invariant("I12")
    @pytest.mark.parametrize(
        ("parent", "child"),
        [
            ("Pinned", "Pinned"), ("InputsUnpinned", "InputsUnpinned"), ("LockDisagrees", "InputsUnpinned"),
            ("InputsUnknown", "InputsUnknown"), ("", "InputsUnknown"),
        ],
    )  # fmt: skip
    def test_they_are_bound_as_what_they_are_made_of_is(self, host, tmp_path, parent, child):
        layer = self.a_layer(host, tmp_path, parent)

        assert self.of(host, tmp_path, layer)[0] == child
        build = look(a_build(layer, base={"from": "p@1.0.0"}), with_lock(tmp_path / "tree"), root=host.root)
        assert build[0] == child

    @pytest.mark.invariant("I12")
    def test_the_worst_parent_counts_and_is_named(self, host, tmp_path):
        layers = [
            self.a_layer(host, tmp_path, bound, name)
            for bound, name in (("InputsUnknown", "p"), ("InputsUnpinned", "q"))
        ]
        found = self.of(host, tmp_path, *layers, asked=("p@1.0.0", "q@1.0.0"))

        assert found == ("InputsUnpinned", "it is made of q@1.0.0: why")

    @pytest.mark.invariant("I12")
    def test_the_message_of_a_chain_of_parents_does_not_grow_with_it(self, host, tmp_path):
        layer = self.a_layer(host, tmp_path, "InputsUnpinned")
        known = origin.read(host.root, "p", "1.0.0")
        origin.write(host.root, replace(known, bound_message="why " * 10_000))

        assert len(self.of(host, tmp_path, layer)[1]) == 1000

    @pytest.mark.parametrize("asked", ["p", "p@latest", "p@^1.0"])
    def test_a_parent_by_a_range_is_not_pinned(self, host, tmp_path, asked):
        reason, message = self.of(host, tmp_path, self.a_layer(host, tmp_path, "Pinned"), asked=(asked,))

        assert (reason, f"the version of {asked}" in message) == ("InputsUnpinned", True)

    def test_a_parent_of_somebody_else_is_of_unknown_making(self, host, tmp_path):
        layer = self.a_layer(host, tmp_path, "Pinned")
        origin.record_path(host.root, "p", "1.0.0").unlink()

        assert self.of(host, tmp_path, layer)[0] == "InputsUnknown"


class TestInTheKind:
    """Real passes: what is looked at on install is in the record, the conditions and the status."""

    @pytest.fixture
    def world(self, tmp_path):
        with a_runtime_world(tmp_path / "world") as world:
            world.declare_registry()
            yield world

    def test_what_a_registry_has_is_reproducible(self, world):
        world.registry.add("a", "1.0.0")
        world.declare("a", "1.0.0")
        world.pass_over("a")

        assert (world.condition("a", "Reproducible")["status"], world.condition("a", "Reproducible")["reason"]) == (
            "True",
            "Pinned",
        )
        (version,) = world.status("a")["versions"]
        assert version["reproducible"] == "True"
        assert version["reproducibleMessage"].startswith("bound to one content by its archive, sha256:")

    @pytest.mark.invariant("I11")
    def test_a_version_that_comes_back_as_another_is_told_until_it_is_accepted(self, world):
        world.registry.add("a", "1.0.0")
        world.declare("a", "1.0.0")
        world.pass_over("a")
        first = world.status("a")["versions"][0]["digest"]
        world.delete("a")
        world.pass_over("a")

        world.registry.add("a", "1.0.0", a_package("a", "1.0.0", a_file("isolated/etc/more")))
        world.declare("a", "1.0.0")
        world.clock.advance(10)
        world.pass_over("a")
        told = world.condition("a", "DigestMismatch")
        assert (told["status"], f"it had sha256:{first} since" in told["message"]) == ("True", True)

        assert world.ask("a", "accept", "now") == "accepted 1.0.0"
        assert world.condition("a", "DigestMismatch")["status"] == "False"
        assert world.ask("a", "accept", "again") == "nothing is to be accepted: each version holds what it held before"

    @pytest.mark.invariant("I12")
    def test_the_words_of_a_small_archive_do_not_make_a_large_object(self, world):
        long = b"Name: " + b"x" * 1_000_000 + b"\nVersion: 1\n"
        info = a_file("isolated/usr/lib/python3/dist-packages/x-1.dist-info/METADATA", long)
        world.registry.add("a", "1.0.0", a_package("a", "1.0.0", info, a_file(lock.NAME, b"python_packages: []\n")))
        world.declare("a", "1.0.0")
        world.pass_over("a")

        assert world.condition("a", "Reproducible")["reason"] == "LockDisagrees"
        assert len(json.dumps(world.get("Runtime", "a"))) < 20_000


@pytest.mark.parametrize("script", ["setup.sh", "setup-ubuntu.sh"])
def test_a_recipe_of_a_registry_is_told_from_a_tree(tmp_path, script):
    def build(package: Path, name: str, version: str, staging: Path, log: object, **more: object) -> Path:
        return install_tree(staging / "made", name)

    data = a_package_of_a_recipe(tmp_path, script)
    source = RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0", data).package("a")
    with a_host(tmp_path / "root", build_recipe=build) as host:
        made = source.make(install.fresh_directory(tmp_path / "staging"), host, None, print)

    assert made.scripted


def install_tree(path: Path, name: str) -> Path:
    path.mkdir()
    (path / "runtime.yml").write_text(f"name: {name}\n")
    return path


def a_package_of_a_recipe(tmp_path: Path, script: str) -> bytes:
    import io
    import tarfile

    a_recipe(tmp_path / "recipe", "true", script)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(tmp_path / "recipe", ".")
    return packed.getvalue()
