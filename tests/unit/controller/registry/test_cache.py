"""Catalogues that are kept for an hour, and as long as their registry is down."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.engine.errors import TransientError
from controller.registry import fetch
from controller.registry.cache import Cached, CatalogueCache
from controller.registry.location import locate
from controller.registry.upstream import Upstream
from support.hand_clock import HandClock
from support.registry_fixtures import RegistryOnDisk, Server, served


@dataclass
class World:
    registry: RegistryOnDisk
    server: Server
    clock: HandClock
    directory: Path
    cache: CatalogueCache
    client: fetch.httpx.Client

    @property
    def location(self) -> Upstream:
        return Upstream(locate(f"{self.server.url}/registry.json"))

    def get(self, *, refresh: bool = False) -> Cached:
        return self.cache.get(self.location, refresh=refresh)

    def restart(self) -> None:
        self.cache = CatalogueCache(self.directory, self.client, self.clock)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    registry = RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0")
    clock, directory = HandClock(), tmp_path / "cache"
    with served(registry.path) as server, fetch.new_client() as client:
        yield World(registry, server, clock, directory, CatalogueCache(directory, client, clock), client)


def test_within_the_hour_it_is_fetched_once(world: World):
    world.get()
    world.clock.advance(59 * 60 + 59)

    assert world.get().age_seconds == 3599
    assert world.server.count("registry.json") == 1


def test_after_the_hour_it_is_fetched_again(world: World):
    world.get()
    world.registry.add("a", "1.1.0")
    world.clock.advance(60 * 60 + 1)

    assert set(world.get().catalogue.entries["a"]) == {"1.0.0", "1.1.0"}
    assert world.server.count("registry.json") == 2


def test_an_unchanged_catalogue_is_not_sent_again_and_counts_as_fresh(world: World):
    world.get()
    world.clock.advance(3601)

    assert world.get().age_seconds == 0
    assert not world.get().is_stale
    assert world.server.count("registry.json") == 2


def test_a_refresh_asks_however_young_it_is(world: World):
    world.get()
    world.registry.add("b", "1.0.0")

    assert "b" in world.get(refresh=True).catalogue.entries


def test_it_outlives_a_restart(world: World):
    world.get()
    world.restart()

    assert world.get().catalogue.entries["a"]
    assert world.server.count("registry.json") == 1


@pytest.mark.parametrize("status", [500, 503, 404, 403])
def test_a_registry_that_is_down_leaves_the_kept_one_with_its_age(world: World, status: int):
    world.get()
    world.server.status = status
    world.clock.advance(7200)
    cached = world.get()

    assert cached.is_stale
    assert cached.age_seconds == 7200
    assert f"the server answered {status}" in cached.error
    assert cached.catalogue.entries["a"]


def test_a_registry_that_stays_down_is_asked_ever_more_rarely_and_at_least_each_minute(world: World):
    world.get()
    world.server.status = 500
    world.clock.advance(7200)
    asked = []
    for second in range(200):
        before = world.server.count("registry.json")
        assert world.get().is_stale
        if world.server.count("registry.json") > before:
            asked.append(second)
        assert world.cache.retry_seconds(world.location) > 0
        world.clock.advance(1)
    assert asked == [0, 1, 3, 7, 15, 31, 63, 123, 183]

    world.clock.advance(60)
    world.server.status = 0
    assert not world.get().is_stale
    assert world.cache.retry_seconds(world.location) == 0


def test_a_peek_gives_what_is_kept_and_asks_nobody(world: World):
    assert world.cache.peek(world.location) is None
    world.get()
    world.server.requests.clear()
    world.clock.advance(1e6)

    kept = world.cache.peek(world.location)

    assert kept is not None
    assert "a" in kept.entries
    assert world.server.requests == []


def test_a_peek_reads_what_an_earlier_daemon_kept(world: World):
    world.get()
    later = CatalogueCache(world.cache._directory, world.client, world.clock)

    assert later.peek(world.location) is not None


def test_a_peek_does_not_wait_for_a_fetch(world: World):
    world.server.gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(world.get)
        assert world.server.arrived.wait(10)
        assert world.cache.peek(world.location) is None
        world.server.gate.set()
        fetching.result()
    assert world.cache.peek(world.location) is not None


@pytest.mark.parametrize("junk", [b"", b"<html>sorry</html>", b'{"version": "9"}', b"\x00" * 100])
def test_a_catalogue_that_turns_to_junk_costs_nothing_that_is_kept(world: World, junk: bytes):
    world.get()
    (world.registry.path / "registry.json").write_bytes(junk)
    cached = world.get(refresh=True)

    assert cached.reason == "InvalidCatalogue"
    assert cached.catalogue.entries["a"]
    world.restart()
    assert world.get().catalogue.entries["a"]


def test_with_nothing_kept_the_failure_is_the_answer(world: World):
    world.server.status = 500

    with pytest.raises(TransientError, match="the server answered 500") as caught:
        world.get()
    assert caught.value.reason == "Unreachable"


def test_a_catalogue_that_ends_early_is_no_catalogue(world: World):
    world.server.cut_after = 20

    with pytest.raises(TransientError, match="cannot read"):
        world.get()


def test_a_catalogue_beyond_the_cap_is_refused(world: World, monkeypatch: pytest.MonkeyPatch):
    (world.registry.path / "registry.json").write_bytes(b" " * (16 * 1024 * 1024 + 1))

    with pytest.raises(TransientError, match="more than 16777216 bytes"):
        world.get()


def test_a_closed_port_is_an_error_that_names_the_url(world: World):
    with pytest.raises(TransientError, match=r"cannot read http://127.0.0.1:1/registry.json"):
        world.cache.get(Upstream(locate("http://127.0.0.1:1/registry.json")))


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"url": "x"}', b"\xff" * 50])
def test_a_kept_file_that_is_torn_is_fetched_again(world: World, junk: bytes):
    world.get()
    (kept,) = world.directory.iterdir()
    kept.write_bytes(junk)
    world.restart()

    assert world.get().catalogue.entries["a"]
    assert world.server.count("registry.json") == 2


def test_a_clock_that_was_set_back_makes_it_ask(world: World):
    world.get()
    world.clock.advance(-86400)
    world.get()

    assert world.server.count("registry.json") == 2


def test_two_threads_that_want_it_fetch_it_once(world: World):
    world.server.gate = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        wanted = [pool.submit(world.get) for _ in range(8)]
        world.server.gate.set()
        assert all(one.result().catalogue.entries["a"] for one in wanted)

    assert world.server.count("registry.json") == 1


def test_a_local_registry_is_kept_likewise(tmp_path: Path, world: World):
    cached = world.cache.get(Upstream(locate(world.registry.url)))
    assert cached.catalogue.entries["a"]

    with pytest.raises(TransientError, match="No such file or directory"):
        world.cache.get(Upstream(locate(f"file://{tmp_path}/nowhere")))


def test_what_is_forgotten_is_fetched_again(world: World):
    world.get()
    world.cache.forget(world.location)
    assert not any(world.directory.iterdir())

    world.get()
    assert world.server.count("registry.json") == 2


def test_a_cache_that_cannot_be_written_still_answers(world: World):
    world.directory.write_text("in the way")

    assert world.get().catalogue.entries["a"]
