"""The real API on a unix socket: one server for a module, with nothing in its store at the start of each test."""

from collections.abc import Iterator

import pytest

from support.api_server import LiveApi, a_live_api


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with a_live_api(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def live(live_server: LiveApi) -> Iterator[LiveApi]:
    yield live_server
    live_server.clear()
