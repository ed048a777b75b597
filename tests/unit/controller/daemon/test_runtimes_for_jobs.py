"""What a job's runtime means: a tree, a wait, or a request for one; without asking any registry."""

import shutil

import pytest

from controller.daemon.package_caches import PackageCaches
from controller.daemon.runtimes_for_jobs import RuntimesForJobs
from controller.job.observed import PackageCache, RuntimeMissing, RuntimeReady
from support.registry_fixtures import a_tree
from support.runtime_world import RuntimeWorld, a_runtime_world


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path) as world:
        world.declare_registry()
        yield world


def missing(world: RuntimeWorld, spec: str, *, may_install: bool = True) -> RuntimeMissing:
    found = world.jobs.find(spec, may_install=may_install)
    assert isinstance(found, RuntimeMissing), found
    return found


def found(world: RuntimeWorld, spec: str) -> RuntimeReady:
    ready = world.jobs.find(spec, may_install=True)
    assert isinstance(ready, RuntimeReady), ready
    return ready


def test_an_installed_version_is_ready_with_its_mounts_and_environment(world):
    a_tree(
        world.root / "a-1.0.0", "a", "environment: {PATH_PREPEND: /opt/x, V: 3.10}\nrequirements: {min_memory: 16MB}\n"
    )

    ready = found(world, "a@1.0.0")

    assert (str(ready), ready.path) == ("a@1.0.0", str(world.root / "a-1.0.0"))
    assert [(m.source, m.target, m.read_only) for m in ready.mounts] == [("isolated/bin", "/bin", True)]
    assert ready.environment == {"V": "3.10", "PATH_PREPEND": "/opt/x"}
    assert ready.min_memory_bytes == 16_000_000


@pytest.mark.parametrize("layout", ["a", "x/a", "a-1.0.0", "x/a-1.0.0", "a/1.0.0"])
def test_every_layout_is_noticed_when_it_appears_changes_and_goes(world, layout):
    assert missing(world, "a").reason == "RuntimeNotReady"
    path = a_tree(world.root / layout, "a", "environment: {V: one}\n")
    assert found(world, "a").environment == {"V": "one"}
    text = (path / "runtime.yml").read_text().replace("one", "two")
    (path / "runtime.yml").write_text(text)
    assert found(world, "a").environment == {"V": "two"}
    shutil.rmtree(path)
    assert missing(world, "a").request == ("a", "latest")


@pytest.mark.parametrize("layout", ["a-1.0.0", "a/1.0.0"])
def test_a_tree_that_is_broken_deep_down_is_told_at_once_and_used_when_it_is_whole_again(world, layout):
    path = a_tree(world.root / layout, "a")
    found(world, "a@1.0.0")
    (path / "isolated/bin").rename(path / "isolated/away")
    assert "it is not in the tree" in missing(world, "a@1.0.0").message
    assert missing(world, "a@1.0.0").reason == "RuntimeBroken"
    (path / "isolated/away").rename(path / "isolated/bin")
    assert str(found(world, "a@1.0.0")) == "a@1.0.0"


def test_a_name_that_nobody_declared_is_asked_for(world):
    assert missing(world, "a@1.2.3").request == ("a", "1.2.3")
    assert missing(world, "a").request == ("a", "latest")


def test_a_version_beside_those_declared_is_asked_for_and_theirs_are_kept(world):
    world.declare("a", "1.0.0")
    assert missing(world, "a@1.0.0").request is None
    world.requests.request(*missing(world, "a@2.0.0").request)
    world.requests.request("a", "3.0.0")

    assert sorted(world.get("Runtime", "a")["spec"]["versions"]) == ["1.0.0", "2.0.0", "3.0.0"]


def test_why_a_declared_runtime_is_not_there_is_passed_on(world):
    world.registry.add("a", "1.0.0", checksum="sha256:" + "0" * 64)
    world.declare("a", "1.0.0", "^1")
    world.pass_over("a")

    for asked in ("a@1.0.0", "a@^1"):
        said = missing(world, asked)
        assert said.reason == "RuntimeNotReady"
        assert said.message.startswith("waiting for runtime/a: ChecksumMismatch: ")


def test_a_job_is_told_of_the_version_it_asks_for_and_not_of_what_else_is_missing(world):
    world.registry.add("a", "1.0.0")
    world.declare("a", "7.0.0", "8.0.0", "^9")
    world.pass_over("a")

    for asked in ("a@8.0.0", "a@^9"):
        said = missing(world, asked)
        own = asked.partition("@")[2]
        assert said.reason == "RuntimeNotFound"
        assert said.message.startswith(f"cannot install a@{own}: ")
        assert "7.0.0" not in said.message
    assert "(available: 1.0.0)" in missing(world, "a@8.0.0").message


def test_a_runtime_that_is_being_deleted_is_waited_out(world):
    world.declare("a", "1.0.0")
    world.pass_over("a")
    world.delete("a")

    said = missing(world, "a@1.0.0")
    assert (said.request, said.message) == (None, "waiting for runtime/a to be removed, to install it anew")


def test_never_installs_nothing(world):
    said = missing(world, "a", may_install=False)

    assert (said.reason, said.request) == ("RuntimeNotFound", None)
    assert "installPolicy is Never" in said.message


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("python:3.11", "python-3.11"),
        ("python:3.11+ml", "python-3.11-ml"),
        ("java:17", "openjdk-17"),
        ("java:21", None),
    ],
)
def test_a_language_is_looked_for_among_the_names_of_the_catalogues(world, spec, name):
    for offered in ("python-3.11", "python-3.11-ml", "python-3.11-ml-gpu", "openjdk-17", "graalvmjdk-17"):
        world.registry.add(offered, "1.0.0")
    world.look_at_registry()

    said = missing(world, spec)

    assert said.request == (name and (name, "latest"))
    if name is None:
        assert said.reason == "RuntimeNotFound"
        assert said.message == "no registry offers java:21: available: graalvmjdk-17, openjdk-17"


def test_a_language_that_may_mean_several_is_told_with_them(world):
    for offered in ("temurin-17-a", "temurin-17-b"):
        world.registry.add(offered, "1.0.0")
    world.look_at_registry()

    said = missing(world, "temurin:17")
    assert (said.reason, said.request) == ("RuntimeNotFound", None)
    assert "may mean temurin-17-a, temurin-17-b" in said.message


def test_a_language_waits_while_no_catalogue_was_read(world):
    said = missing(world, "python:3.11")

    assert (said.reason, said.request) == ("RuntimeNotReady", None)
    assert "registry/tests cannot be read" in said.message


@pytest.mark.needs_root
def test_a_runtime_with_a_package_manager_comes_with_its_cache(world, tmp_path):
    a_tree(world.root / "a-1.0.0", "a", "package_manager: {type: pip, cache_volume: wheels}\n")
    a_tree(world.root / "b-1.0.0", "b")
    caches = PackageCaches(tmp_path / "caches", 1 << 20)
    jobs = RuntimesForJobs(world.jobs._trees, world.store, world.offers, caches, enabled=True)

    ready = [jobs.find(f"{name}@1.0.0", may_install=False) for name in "ab"]
    caches.close()

    directory = tmp_path / "caches/runtimes/a/wheels"
    assert [found.cache for found in ready] == [PackageCache("pip", "wheels", str(directory)), None]
    assert directory.is_dir()


def test_with_runtimes_disabled_every_spec_is_refused(world):
    a_tree(world.root / "a-1.0.0", "a")
    disabled = RuntimesForJobs(world.jobs._trees, world.store, world.offers, enabled=False)

    said = disabled.find("a@1.0.0", may_install=True)
    assert isinstance(said, RuntimeMissing)
    assert said.reason == "RuntimesDisabled"
