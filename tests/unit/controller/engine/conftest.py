from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from controller.engine.metrics import EngineMetrics
from controller.engine.recorder import Recorder
from state.store import Store
from support.hand_clock import HandClock
from support.toy_kind import ToyReconciler


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(tmp_path: Path, clock: HandClock) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state.db", clock)
    yield opened
    opened.close()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> EngineMetrics:
    return EngineMetrics(registry)


@pytest.fixture
def recorder(store: Store, clock: HandClock, metrics: EngineMetrics) -> Recorder:
    return Recorder(store, clock, metrics.events)


@pytest.fixture
def toys(tmp_path: Path) -> ToyReconciler:
    directory = tmp_path / "toys"
    directory.mkdir()
    return ToyReconciler(directory)
