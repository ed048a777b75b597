from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from api.objects.verbs import Verbs
from controller.engine.metrics import EngineMetrics
from controller.engine.recorder import Recorder
from controller.manifests.directory import DirectoryFeed
from controller.manifests.loop import ManifestsLoop
from state.store import Store
from support.hand_clock import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(tmp_path: Path, clock: HandClock) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state.db", clock)
    yield opened
    opened.close()


@pytest.fixture
def verbs(store: Store, clock: HandClock) -> Verbs:
    made = Verbs(store, clock)
    made.bootstrap()
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "manifests"
    directory.mkdir()
    return directory


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def recorder(store: Store, clock: HandClock) -> Recorder:
    return Recorder(store, clock, EngineMetrics(CollectorRegistry()).events)


@pytest.fixture
def feed(root: Path, clock: HandClock) -> DirectoryFeed:
    return DirectoryFeed(root, clock)


@pytest.fixture
def loop(
    feed: DirectoryFeed, verbs: Verbs, store: Store, recorder: Recorder, clock: HandClock, registry: CollectorRegistry
) -> ManifestsLoop:
    return ManifestsLoop.over([feed], verbs, store, recorder, clock, registry)
