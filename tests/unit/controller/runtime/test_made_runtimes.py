"""Runtimes that are made: archives, recipes refused here, templates and other runtimes, pass by pass, with real trees."""

import hashlib
import os

import pytest

from api.meta import ObjectKey
from api.ports import Change, ChangeType
from controller.job.observed import RuntimeMissing, RuntimeReady
from controller.runtime.sources import Dependents
from support.registry_fixtures import a_file, a_package
from support.runtime_world import RuntimeWorld, a_runtime_world


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path) as world:
        world.declare_registry()
        yield world


def declare(world: RuntimeWorld, name: str, **spec: object) -> None:
    """Without versions, as a person would."""
    world._apply("Runtime", name, spec)


def an_archive_at(world: RuntimeWorld, name: str, content: str) -> dict[str, str]:
    data = a_package(name, "1.0.0", a_file("isolated/etc/content", content.encode()))
    path = world.directory / f"{name}-{content}.tar.gz"
    path.write_bytes(data)
    return {"url": str(path), "checksum": f"sha256:{hashlib.sha256(data).hexdigest()}"}


def content(world: RuntimeWorld, name: str) -> str:
    return (world.root / f"{name}-1.0.0/isolated/etc/content").read_text()


class TestArchive:
    def test_it_is_installed_as_its_one_version(self, world):
        declare(world, "a", archive=an_archive_at(world, "a", "one"))
        world.pass_over("a")

        assert world.ready("a")["reason"] == "Installed"
        (version,) = world.status("a")["versions"]
        assert (version["version"], version["source"], version["keptBecause"]) == (
            "1.0.0", "archive", "spec.versions names it",
        )  # fmt: skip
        assert len(version["digest"]) == 64

    def test_another_archive_of_the_same_version_takes_its_place_when_nothing_uses_it(self, world):
        declare(world, "a", archive=an_archive_at(world, "a", "one"))
        world.pass_over("a")
        world.job_in("a@1.0.0")
        declare(world, "a", archive=an_archive_at(world, "a", "two"))
        world.pass_over("a")
        assert content(world, "a") == "one"
        assert (world.ready("a")["status"], world.ready("a")["reason"]) == ("True", "Outdated")

        world.job_in("a@1.0.0", state="Ended", phase="Succeeded")
        world.pass_over("a")
        world.pass_over("a")
        assert content(world, "a") == "two"
        assert world.ready("a")["reason"] == "Installed"
        assert os.listdir(world.root / ".runwright/retired") == []
        assert any("again, made by its archive" in event["message"] for event in events(world))

    def test_what_cannot_be_made_again_leaves_what_is_there_in_use(self, world):
        declare(world, "a", archive=an_archive_at(world, "a", "one"))
        world.pass_over("a")
        declare(world, "a", archive=an_archive_at(world, "a", "two") | {"checksum": "sha256:" + "0" * 64})
        world.pass_over("a")

        assert content(world, "a") == "one"
        assert world.ready("a")["status"] == "True"
        assert "1.0.0 is outdated and cannot be made anew" in world.ready("a")["message"]

    def test_a_job_that_asks_for_another_version_is_told_what_it_makes(self, world):
        declare(world, "a", archive=an_archive_at(world, "a", "one"))
        missing = world.jobs.find("a@2.0.0", may_install=True)

        assert isinstance(missing, RuntimeMissing)
        assert missing.request is None
        assert "runtime/a makes 1.0.0 by its archive" in missing.message
        assert "waiting for runtime/a" in world.jobs.find("a", may_install=True).message


def events(world: RuntimeWorld) -> list[dict[str, str]]:
    world.kind._recorder.flush()
    return [dict(item) for item in world.store.list("Event").items]


class TestExtends:
    @pytest.fixture
    def parents(self, world):
        more = a_file("isolated/bin/tool", b"tool", 0o755)
        world.registry.add("p", "1.0.0").add("q", "1.0.0", a_package("q", "1.0.0", more))
        return world

    def test_parents_are_asked_for_and_then_it_is_made_of_them(self, parents):
        world = parents
        declare(world, "c", extends={"runtimes": ["p", "q@^1"]})
        world.pass_over("c")
        assert world.ready("c")["reason"] == "ParentNotReady"
        assert world.get("Runtime", "p")["spec"]["versions"] == ["latest"]

        world.pass_over("p")
        world.pass_over("c")
        assert world.get("Runtime", "q")["spec"]["versions"] == ["^1"]
        world.pass_over("q")
        world.pass_over("c")
        assert world.ready("c")["reason"] == "Installed"
        child = world.root / "c-1.0.0/isolated/bin"
        assert (child / "tool").samefile(world.root / "q-1.0.0/isolated/bin/tool")
        found = world.jobs.find("c", may_install=False)
        assert isinstance(found, RuntimeReady)
        assert len(found.digest) == 64

    def test_another_version_of_a_parent_makes_it_anew(self, parents):
        world = parents
        declare(world, "c", extends={"runtimes": ["p"], "environment": {"A": "1"}})
        for name in ("c", "p", "c"):
            world.pass_over(name)
        before = world.status("c")["versions"][0]["digest"]
        revision = world.store.revision()
        world.pass_over("c")
        assert world.store.revision() == revision

        world.registry.add("p", "1.1.0")
        world.clock.advance(2)
        for name in ("p", "c", "c"):
            world.pass_over(name)
        assert world.status("c")["versions"][0]["digest"] != before
        assert world.ready("c")["reason"] == "Installed"

    def test_a_cycle_is_refused_and_named(self, world):
        declare(world, "c", extends={"runtimes": ["d"]})
        declare(world, "d", extends={"runtimes": ["c"]})
        world.pass_over("c")

        assert world.ready("c")["reason"] == "ExtendsCycle"
        assert "c is made of itself: c from d from c" in world.ready("c")["message"]

    def test_those_that_are_made_of_it_look_again_when_it_changes(self, parents):
        world = parents
        declare(world, "c", extends={"runtimes": ["p@^1"]})
        world.declare("p", "latest")
        before = world.get("Runtime", "p")
        world.pass_over("p")
        after = world.get("Runtime", "p")
        dependents = Dependents(world.store)

        def change(old, new):
            return Change(ChangeType.MODIFIED, 1, ObjectKey("Runtime", "", "p"), new, old)

        assert dependents.of_runtime(change(before, after)) == (ObjectKey("Runtime", "", "c"),)
        assert dependents.of_runtime(change(after, after)) == ()


class TestTemplate:
    def test_what_is_wrong_with_a_template_is_said_by_the_runtime(self, world):
        declare(world, "a", template={"name": "t"})
        world.pass_over("a")
        assert world.ready("a")["reason"] == "TemplateNotFound"

        world.template("t", parameters=[{"name": "v"}])
        world.clock.advance(100)
        world.pass_over("a")
        assert world.ready("a")["reason"] == "InvalidTemplate"
        assert 'parameter "v" is required' in world.ready("a")["message"]

    def test_a_host_that_builds_nothing_says_so(self, world):
        world.template("t")
        declare(world, "a", template={"name": "t"})
        world.pass_over("a")

        assert world.ready("a")["reason"] == "SourceUnsupported"
