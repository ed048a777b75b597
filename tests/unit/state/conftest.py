"""A clock that is moved by hand and a store on a real file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from state.store import Store
from support.hand_clock import HandClock
from support.stores import a_store


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(tmp_path: Path, clock: HandClock) -> Iterator[Store]:
    with a_store(tmp_path, clock) as opened:
        yield opened
