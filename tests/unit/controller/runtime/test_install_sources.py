"""Installing trees of any source: made anew when what was asked for changed, looked at before they are used."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from api.packages.manifest import Manifest
from controller.engine.errors import TerminalError, TransientError
from controller.runtime.trees import install, origin
from controller.runtime.trees.install import Host
from controller.runtime.trees.source import HealthReport, LogLine, Made, Progress, TreeSource
from support.registry_fixtures import RegistryOnDisk, a_file, a_host, a_package, a_tree, an_archive, snapshot


@dataclass(frozen=True, slots=True)
class Written:
    """A tree that is written on the spot."""

    text: str
    fingerprint: str = ""
    fails: str = ""
    name: str = "a"
    version: str = "1.0.0"
    kind: str = "build"
    offered_by: str = ""
    size_bytes: int | None = None
    refused: str = ""

    def refuse(self, platform: str) -> str:
        return self.refused

    def make(self, staging: Path, host: Host, progress: Progress | None, log: LogLine) -> Made:
        log(f"writing {self.text}")
        if progress is not None:
            progress(1, 2)
        (staging / "scratch").write_text("left behind")
        payload = a_tree(staging / "deep" / "tree", self.name)
        (payload / "isolated" / "text").write_text(self.text)
        if self.fails:
            raise TransientError("Unreachable", self.fails)
        return Made(payload)


class Looking:
    """A health check that says what it is told to, and what it saw."""

    def __init__(self, report: HealthReport) -> None:
        self.report = report
        self.saw: list[tuple[str, str, TreeSource]] = []

    def __call__(self, payload: Path, manifest: Manifest, source: TreeSource) -> HealthReport:
        self.saw.append(((payload / "isolated" / "text").read_text(), manifest.name, source))
        return self.report


def text(host: Host) -> str:
    return (host.root / "a-1.0.0" / "isolated" / "text").read_text()


def record(host: Host) -> origin.Origin:
    known = origin.read(host.root, "a", "1.0.0")
    assert known is not None
    return known


def test_a_source_of_any_kind_is_installed_with_what_it_says_and_nothing_beside_its_tree(host: Host):
    said: list[str] = []
    told: list[tuple[int, int | None]] = []
    source = Written("one", "f1")

    installed = install.install(source, host, log=said.append, progress=lambda *done: told.append(done))

    assert (text(host), said, told) == ("one", ["writing one"], [(1, 2)])
    assert installed.origin == record(host)
    assert (record(host).kind, record(host).fingerprint, record(host).registry) == ("build", "f1", "")
    assert record(host).inode == installed.path.stat().st_ino
    assert not list(host.root.rglob("scratch"))


def test_what_was_asked_for_differently_is_made_anew_and_put_in_place_of_the_old(host: Host):
    install.install(Written("one", "f1"), host)

    assert install.install(Written("two", "f1"), host).was_there
    assert text(host) == "one"
    assert not install.install(Written("two", "f2"), host).was_there
    assert (text(host), record(host).fingerprint) == ("two", "f2")


def test_a_version_that_came_from_a_registry_is_made_anew_when_it_is_to_be_built(host: Host, tmp_path: Path):
    registry = RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0")
    install.install(registry.package("a"), host)

    assert not install.install(Written("built", "f1"), host).was_there
    assert install.install(registry.package("a"), host).was_there


def test_what_others_put_there_is_not_made_anew(host: Host):
    theirs = a_tree(host.root / "a-1.0.0", "a")

    assert install.install(Written("one", "f1"), host).was_there
    assert not (theirs / "isolated" / "text").exists()


def test_a_source_that_fails_half_way_leaves_what_was_there(host: Host):
    install.install(Written("one", "f1"), host)
    before = snapshot(host.root)

    with pytest.raises(TransientError, match="no way"):
        install.install(Written("two", "f2", fails="no way"), host)
    assert snapshot(host.root) == before


def test_a_source_that_refuses_the_platform_is_not_made(host: Host):
    with pytest.raises(TerminalError, match=r"cannot install a@1.0.0: only for the moon") as caught:
        install.install(Written("one", refused="a@1.0.0: only for the moon"), host)
    assert caught.value.reason == "PlatformUnsupported"


@pytest.mark.parametrize(("healthy", "word"), [(True, "Healthy"), (False, "Unhealthy")])
def test_a_tree_is_looked_at_before_it_is_in_its_place_and_its_record_says_how_it_is(
    tmp_path: Path, healthy: bool, word: str
):
    looking = Looking(HealthReport(healthy, "libssl.so.3 is missing"))
    source = Written("one")
    with a_host(tmp_path / "root", health=looking) as host:
        install.install(source, host)

        assert looking.saw == [("one", "a", source)]
        found = record(host)
        assert (found.health, found.health_message) == (word, "libssl.so.3 is missing")
        assert found.checked_at == "2026-01-02T03:04:05Z"


def test_a_tree_that_does_not_work_takes_the_place_of_none_that_does(tmp_path: Path):
    looking = Looking(HealthReport(healthy=True))
    with a_host(tmp_path / "root", health=looking) as host:
        install.install(Written("one", "f1"), host)
        looking.report = HealthReport(healthy=False, message="it crashes")

        with pytest.raises(TerminalError, match="it crashes: what is installed stays") as caught:
            install.install(Written("two", "f2"), host)
        assert caught.value.reason == "Unhealthy"
        assert (text(host), record(host).fingerprint, record(host).health) == ("one", "f1", "Healthy")


def test_a_recipe_of_a_registry_is_given_to_who_runs_recipes(tmp_path: Path):
    ran: list[tuple[list[str], str, str]] = []

    def run(package: Path, name: str, version: str, staging: Path, log: LogLine, **_: object) -> Path:
        ran.append((sorted(path.name for path in package.iterdir()), name, version))
        return a_tree(staging / "result", name)

    recipe = an_archive(a_file("r/manifest.yaml"), a_file("r/setup.sh"))
    registry = RegistryOnDisk(tmp_path / "registry").add("r", "1.0.0", recipe)
    with a_host(tmp_path / "root", build_recipe=run) as host:
        path = install.install(registry.package("r"), host).path

    assert ran == [(["manifest.yaml", "setup.sh"], "r", "1.0.0")]
    assert (path / "runtime.yml").is_file()
    assert not (path / "setup.sh").exists()


@pytest.mark.invariant("I8")
def test_two_installs_of_one_content_have_one_digest_wherever_it_came_from(host: Host, tmp_path: Path):
    registry = RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0", a_package("a", "x"))
    registry.add("a", "2.0.0", a_package("a", "x", wrapper="around"))

    digests = {
        known.digest
        for version in ("1.0.0", "2.0.0")
        if (known := install.install(registry.package("a", version), host).origin) is not None
    }
    assert len(digests) == 1
    assert all(len(digest) == 64 for digest in digests)


def test_what_is_made_again_says_so_if_it_is_not_what_it_was(host: Host):
    install.install(Written("one", "same"), host)
    again = install.install(Written("one", "same"), host, force=True)
    other = install.install(Written("two", "same"), host, force=True)
    asked = install.install(Written("three", "another"), host)

    assert again.message == "Runtime a@1.0.0 is installed"
    assert other.message.startswith("Runtime a@1.0.0 is installed; its content is another than before, digest ")
    assert asked.message == "Runtime a@1.0.0 is installed"
