"""SIGKILL at every step that an install and a removal make on the disk; then the next one converges."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.runtime.trees import install, origin, tree
from controller.runtime.trees.install import Host
from support.kills import in_a_child, kill_after, kill_at_event
from support.registry_fixtures import RegistryOnDisk, a_host, snapshot

_DELAYS_MICROSECONDS = range(200, 30_000, 1_500)


@pytest.fixture
def registry(tmp_path: Path) -> RegistryOnDisk:
    return RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0").add("a", "1.1.0")


@pytest.fixture
def host(tmp_path: Path, registry: RegistryOnDisk) -> Iterator[Host]:
    with a_host(tmp_path / "root") as host:
        install.install(registry.package("a", "1.0.0"), host)
        yield host


def versions(host: Host) -> dict[str, dict[str, str]]:
    """Return what anyone sees: every version with all its files. Nothing seen may be half a tree."""
    found = tree.scan(host.root)
    assert [runtime.problems for runtime in found if runtime.problems] == []
    return {runtime.spec: snapshot(runtime.path) for runtime in found}


@pytest.fixture
def whole(tmp_path: Path, registry: RegistryOnDisk) -> dict[str, str]:
    """What 1.1.0 looks like when nothing goes wrong."""
    with a_host(tmp_path / "reference") as host:
        return snapshot(install.install(registry.package("a", "1.1.0"), host).path)


@pytest.mark.invariant("I1")
def test_an_install_killed_at_any_step_shows_no_half_tree_and_the_next_one_converges(
    host: Host, registry: RegistryOnDisk, whole: dict[str, str]
):
    package = registry.package("a", "1.1.0")
    before = versions(host)
    for number in range(1, 1000):
        ended = in_a_child(lambda: install.install(package, host), kill_at_event(number))

        after = versions(host)
        assert after.pop("a@1.1.0", whole) == whole
        assert after == before
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        if number % 2:
            install.clean_staging(host.root)
            assert os.listdir(host.root / origin.STAGING) == []
        install.install(package, host)
        assert versions(host) == {**before, "a@1.1.0": whole}
        install.remove(host.root, "a", "1.1.0")
    assert number > 50
    assert os.listdir(host.root / origin.STAGING) == []


def test_an_install_killed_at_any_moment_shows_no_half_tree(
    host: Host, registry: RegistryOnDisk, whole: dict[str, str]
):
    package = registry.package("a", "1.1.0")
    endings = set()
    for microseconds in _DELAYS_MICROSECONDS:
        endings.add(in_a_child(lambda: install.install(package, host), kill_after(microseconds)))

        assert versions(host).pop("a@1.1.0", whole) == whole
        install.clean_staging(host.root)
        install.remove(host.root, "a", "1.1.0")
    assert -signal.SIGALRM in endings


def test_a_removal_killed_at_any_step_leaves_all_of_the_tree_or_nothing(
    host: Host, registry: RegistryOnDisk, whole: dict[str, str]
):
    package = registry.package("a", "1.1.0")
    for number in range(1, 1000):
        install.install(package, host)
        ended = in_a_child(lambda: install.remove(host.root, "a", "1.1.0"), kill_at_event(number))

        assert versions(host).pop("a@1.1.0", whole) == whole
        assert versions(host)["a@1.0.0"]
        if ended == 0:
            break
        install.remove(host.root, "a", "1.1.0")
        assert set(versions(host)) == {"a@1.0.0"}
        install.clean_staging(host.root)
        assert os.listdir(host.root / origin.STAGING) == []
    assert number > 20


def test_a_forced_install_killed_at_any_step_leaves_a_whole_tree_or_none(
    host: Host, registry: RegistryOnDisk, whole: dict[str, str]
):
    package = registry.package("a", "1.1.0")
    for number in range(1, 1000, 3):
        install.install(package, host)
        ended = in_a_child(lambda: install.install(package, host, force=True), kill_at_event(number))

        assert versions(host).pop("a@1.1.0", whole) == whole
        if ended == 0:
            break
        install.install(package, host)
        assert versions(host)["a@1.1.0"] == whole
    assert number > 50
