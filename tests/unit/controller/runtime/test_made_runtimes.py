"""Runtimes that are made: archives, recipes refused here, templates and other runtimes, pass by pass, with real trees."""

import hashlib
import os

import pytest

from api.errors import Invalid
from api.kinds import RUNTIME
from api.meta import API_VERSION, ObjectKey
from api.objects.verbs import WriteOptions
from api.ports import Change, ChangeType
from controller.engine.errors import TerminalError
from controller.job.observed import RuntimeMissing, RuntimeReady
from controller.runtime.build.sandbox import BuildHost
from controller.runtime.choosing import Dependents, Sources
from controller.runtime.trees.records import Records
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
        assert "spec.archive promised sha256:0000" in world.ready("a")["message"]

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


class TestTemplateOfAnotherRuntime:
    @pytest.mark.invariant("I33")
    def test_a_cycle_by_way_of_templates_is_refused_and_named(self, world):
        world.template("t", parameters=[{"name": "from"}], build={"base": {"from": "${from}"}})
        declare(world, "c", template={"name": "t", "parameters": {"from": "d@1.0.0"}})
        declare(world, "d", extends={"runtimes": ["c"]})
        for name in ("c", "d"):
            world.pass_over(name)
            assert world.ready(name)["reason"] == "ExtendsCycle", world.ready(name)
        assert "d is made of itself: d from c from d" in world.ready("d")["message"]

    def test_those_that_are_made_of_it_by_a_template_look_again_when_it_changes(self, world):
        world.template("t", build={"base": {"from": "p"}})
        world.template("u", parameters=[{"name": "v"}], build={"base": {"from": "p"}})
        declare(world, "c", template={"name": "t"})
        for name, of in {"d": {"name": "t", "parameters": {"no": "1"}}, "e": {"name": "u"}, "f": {"name": "x"}}.items():
            declare(world, name, template=of)
        declare(world, "p", archive=an_archive_at(world, "p", "one"))
        new = world.get("Runtime", "p")
        change = Change(ChangeType.ADDED, 1, ObjectKey("Runtime", "", "p"), new, None)

        assert Dependents(world.store).of_runtime(change) == (ObjectKey("Runtime", "", "c"),)

    def test_what_a_long_line_of_runtimes_waits_for_is_told_in_few_words(self, world):
        names = [f"r{number}" for number in range(20)]
        for name, parent in zip(names, [*names[1:], "nowhere"], strict=True):
            declare(world, name, extends={"runtimes": [parent]})
        for _ in range(3):
            for name in reversed(names):
                world.pass_over(name)
                world.clock.advance(100)

        told = [world.ready(name)["message"] for name in names]
        assert told[0] == "waiting for runtime/r1 to install r1: it is ParentNotReady: see rnx describe runtime/r1"
        assert max(map(len, told)) < 200


@pytest.mark.invariant("I34")
class TestAskedForInPassing:
    @pytest.mark.parametrize("asked", ["latest", "1.0.0", "2.0.0", "^1"])
    @pytest.mark.parametrize("versions", [{}, {"versions": ["1.0.0"]}])
    def test_what_jobs_asked_for_before_gives_way_to_its_author(self, world, asked, versions):
        world.requests.request("a", asked)
        world.requests.request("a", "latest")
        declare(world, "a", archive=an_archive_at(world, "a", "one"), **versions)

        assert world.get("Runtime", "a")["spec"].get("versions", []) == versions.get("versions", [])
        world.pass_over("a")
        assert world.ready("a")["reason"] == "Installed"
        assert isinstance(world.jobs.find("a", may_install=True), RuntimeReady)

    def test_a_child_may_be_declared_before_its_parent(self, world):
        declare(world, "c", extends={"runtimes": ["a"]})
        world.pass_over("c")
        assert world.get("Runtime", "a")["spec"]["versions"] == ["latest"]

        declare(world, "a", archive=an_archive_at(world, "a", "one"))
        world.pass_over("a")
        world.pass_over("c")
        assert world.ready("c")["reason"] == "Installed"

    def test_what_another_manager_asked_for_too_stays_and_is_refused(self, world):
        world.requests.request("a", "latest")
        world.verbs.apply(*other_managers_request())
        with pytest.raises(Invalid, match=r"the one exact version that spec\.archive makes"):
            declare(world, "a", archive=an_archive_at(world, "a", "one"))

    def test_a_range_that_what_is_made_is_in_waits_for_it(self, world):
        declare(world, "a", archive=an_archive_at(world, "a", "one"))

        assert "waiting for runtime/a" in world.jobs.find("a@^1", may_install=True).message
        assert "runtime/a makes 1.0.0" in world.jobs.find("a@^2", may_install=True).message

    def test_a_made_runtime_has_nothing_to_roll_back_to_and_is_told_what_to_do(self, world):
        declare(world, "a", archive=an_archive_at(world, "a", "one"))
        world.pass_over("a")

        told = "it is made by spec.archive, and has no version before: apply what spec.archive was before"
        assert world.ask("a", "rollback", "now") == f"cannot roll back: {told}"

    def test_nothing_is_asked_of_a_runtime_that_is_made(self, world):
        declare(world, "a", archive=an_archive_at(world, "a", "one"))
        before = world.store.revision()
        world.requests.request("a", "2.0.0")

        assert world.store.revision() == before

    def test_a_parent_that_is_made_says_what_there_is_of_it(self, world):
        declare(world, "a", archive=an_archive_at(world, "a", "one"))
        declare(world, "c", extends={"runtimes": ["a@^2"]})
        world.pass_over("c")

        assert "runtime/a makes 1.0.0 by its archive, not a@^2: ask for a" in world.ready("c")["message"]


def test_what_a_recipe_may_use_makes_no_other_tree_and_another_variable_does(world):
    marks = []
    for more in ({}, {"resources": {"timeoutSeconds": 60}}, {"env": {"A": "1"}}):
        spec = {"recipe": {"url": "/recipes/a", **more}}
        runtime = RUNTIME.type.model_validate({"kind": "Runtime", "metadata": {"name": "a"}, "spec": spec})
        marks.append(Sources(world.store, Records(world.root), world.offers).of(runtime, ()).fingerprint)

    assert marks[0] == marks[1] != marks[2]


def other_managers_request():
    document = {"apiVersion": API_VERSION, "kind": "Runtime", "metadata": {"name": "a"}}
    return RUNTIME, "", "a", document | {"spec": {"versions": ["latest"]}}, WriteOptions("somebody")


class TestHeldBack:
    """While the host could not be protected from what runs in a build."""

    @pytest.fixture
    def why(self):
        return ["cannot cap all that runs here together: busy"]

    @pytest.fixture
    def made(self):
        return []

    @pytest.fixture
    def world(self, tmp_path, why, made):
        def build_recipe(package, name, version, staging, log, **_options):
            made.append(name)
            raise TerminalError("BuildFailed", "it began")

        builds = BuildHost("none", tmp_path / "logs", why_not=lambda: why[0])
        with a_runtime_world(tmp_path, builds=builds, build_recipe=build_recipe) as world:
            world.declare_registry()
            yield world

    def test_what_runs_nobodys_commands_is_installed(self, world):
        declare(world, "a", archive=an_archive_at(world, "a", "one"))
        world.pass_over("a")

        assert world.ready("a")["reason"] == "Installed"

    @pytest.mark.parametrize(
        "spec", [{"recipe": {"url": "PACKAGE"}}, {"build": {"base": {"from": "host"}, "run": ["true"]}}]
    )
    def test_a_build_waits_says_why_and_begins_when_it_may(self, world, why, spec, tmp_path):
        (tmp_path / "package").mkdir()
        (tmp_path / "package/setup.sh").write_text("true")
        if "recipe" in spec:
            spec = {"recipe": {"url": str(tmp_path / "package")}}
        declare(world, "a", **spec)
        (words,) = why

        result = world.pass_over("a")
        held = world.ready("a")
        why[0] = ""
        world.pass_over("a")

        assert (held["status"], held["reason"], held["message"]) == ("False", "LimitUnenforceable", words)
        assert result.requeue_after_seconds == 60
        assert world.ready("a")["reason"] != "LimitUnenforceable"

    def test_a_build_that_was_changed_waits_while_what_was_built_serves(self, world, why, made, tmp_path):
        why[0] = ""
        declare(world, "a", archive=an_archive_at(world, "a", "one"))
        world.pass_over("a")
        why[0] = "busy"
        (tmp_path / "package").mkdir()
        declare(world, "a", archive=None, recipe={"url": str(tmp_path / "package")})
        world.pass_over("a")

        assert (world.ready("a")["status"], made, content(world, "a")) == ("True", [], "one")
