"""What trees share with others is measured again when trees came or went, and else seldom."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.runtime.pressure import BUSY_SECONDS, DEFAULT_LIMITS, MEASURE_SECONDS, Pressure
from controller.runtime.trees import install, origin
from state.store import Store
from support.hand_clock import HandClock
from support.registry_fixtures import RegistryOnDisk, a_file, a_package

LARGE = os.urandom(1 << 20)


@pytest.fixture
def registry(tmp_path: Path) -> RegistryOnDisk:
    registry = RegistryOnDisk(tmp_path / "registry")
    for version in ("1.0.0", "1.1.0"):
        registry.add("a", version, a_package("a", version, a_file("large", LARGE), a_file("own", version.encode())))
    return registry


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def pressure(host, clock, tmp_path) -> Iterator[Pressure]:
    store = Store.open(tmp_path / "store.db", clock)
    try:
        yield Pressure(host.root, store, DEFAULT_LIMITS, clock)
    finally:
        store.close()


def test_what_is_shared_is_known_as_soon_as_a_tree_came_or_went(host, registry, pressure):
    path = install.install(registry.package("a", "1.0.0"), host).path
    assert pressure.shared_bytes(path) == 0

    other = install.install(registry.package("a", "1.1.0"), host).path
    assert [pressure.shared_bytes(each) >= 1 << 20 for each in (path, other)] == [True, True]

    install.remove(host.root, "a", "1.1.0")
    assert pressure.shared_bytes(path) == 0


def test_what_nothing_happened_to_is_measured_again_only_after_a_while(host, registry, pressure, clock, tmp_path):
    path = install.install(registry.package("a", "1.0.0"), host).path
    assert pressure.shared_bytes(path) == 0
    os.link(path / "large", tmp_path / "another name")

    clock.advance(MEASURE_SECONDS - 1)
    assert pressure.shared_bytes(path) == 0
    clock.advance(1)
    assert pressure.shared_bytes(path) >= 1 << 20


def test_what_was_measured_while_a_tree_was_on_its_way_out_is_measured_again_soon(host, registry, pressure, clock):
    path, other = (install.install(registry.package("a", version), host).path for version in ("1.0.0", "1.1.0"))
    staging = host.root / origin.STAGING / "a-1.1.0"
    staging.mkdir(parents=True)
    other.rename(staging / "removed")
    assert pressure.shared_bytes(path) >= 1 << 20

    install.clean_staging(host.root)
    clock.advance(BUSY_SECONDS)
    assert pressure.shared_bytes(path) == 0
