"""Several registries: which one counts, and when nobody can tell."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.kinds import REGISTRY
from api.meta import API_VERSION
from api.objects.verbs import Verbs, WriteOptions
from controller.engine.errors import TransientError
from controller.registry import fetch
from controller.registry.access import Access, origin_of
from controller.registry.cache import CatalogueCache
from controller.runtime.sources.offers import Offers
from state.store import Store
from support.hand_clock import HandClock
from support.registry_fixtures import RegistryOnDisk, served

NOWHERE = "http://127.0.0.1:9/registry.json"


class World:
    def __init__(self, path: Path, store: Store, clock: HandClock, client: fetch.httpx.Client) -> None:
        self.path = path
        self.verbs = Verbs(store, clock)
        self.offers = Offers(store, CatalogueCache(path / "cache", client, clock))

    def declare(self, name: str, *offered: str, **spec: object) -> RegistryOnDisk:
        """Declare a registry that offers these, each NAME@VERSION."""
        registry = RegistryOnDisk(self.path / name)
        registry.path.mkdir()
        registry.write()
        for each in offered:
            registry.add(*each.split("@"))
        document = {"apiVersion": API_VERSION, "kind": "Registry", "metadata": {"name": name}}
        document["spec"] = {"url": registry.url, "cacheSeconds": 0, **spec}
        self.verbs.apply(REGISTRY, "", name, document, WriteOptions("tests"))
        return registry

    def found(self, name: str, wanted=None, registry: str | None = None) -> str:
        package = self.offers.find(name, wanted, registry)
        return f"{package.registry}:{package.version}"

    def failure(self, name: str, wanted=None, registry: str | None = None) -> TransientError:
        with pytest.raises(TransientError) as caught:
            self.offers.find(name, wanted, registry)
        return caught.value


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = HandClock()
    store = Store.open(tmp_path / "store.db", clock)
    with fetch.new_client() as client:
        yield World(tmp_path, store, clock, client)
    store.close()


def test_the_highest_priority_that_has_the_name_wins_whatever_versions_others_have(world: World):
    world.declare("low", "a@9.0.0", "b@1.0.0", priority=-1)
    world.declare("high", "a@1.0.0", priority=5)

    assert world.found("a") == "high:1.0.0"
    assert world.found("b") == "low:1.0.0"
    assert world.failure("a", "9.0.0").reason == "RuntimeNotFound"
    assert world.offers.versions("a", None) == ("1.0.0",)


def test_several_of_one_priority_are_ambiguous_with_all_candidates(world: World):
    world.declare("one", "a@1.0.0")
    world.declare("two", "a@2.0.0")
    world.declare("three", "b@1.0.0")
    error = world.failure("a")

    assert error.reason == "Ambiguous"
    assert "registry/one (1.0.0), registry/two (2.0.0)" in error.message
    assert "name one in spec.registry" in error.message
    assert "three" not in error.message


def test_naming_one_or_giving_another_priority_mends_it(world: World):
    world.declare("one", "a@1.0.0")
    world.declare("two", "a@1.0.0")

    assert world.failure("a", "1.0.0").reason == "Ambiguous"
    assert world.found("a", "1.0.0", "two") == "two:1.0.0"
    world.declare("three", "a@1.0.0", priority=1)
    assert world.found("a", "1.0.0") == "three:1.0.0"


def test_a_version_that_only_one_of_them_has_is_not_ambiguous(world: World):
    world.declare("one", "a@1.0.0")
    world.declare("two", "a@1.0.0", "a@1.1.0")

    assert world.found("a", "1.1.0") == "two:1.1.0"
    assert world.found("a", lambda version: version > "1.0.5") == "two:1.1.0"
    assert world.offers.versions("a", None) == ("1.0.0", "1.1.0")


def test_one_that_is_disabled_makes_nothing_ambiguous(world: World):
    world.declare("one", "a@1.0.0")
    world.declare("two", "a@1.0.0", enabled=False)

    assert world.found("a") == "one:1.0.0"


def test_one_that_cannot_be_read_costs_what_only_it_offers(world: World):
    world.declare("down", url=NOWHERE, priority=9)
    world.declare("up", "a@1.0.0")

    assert world.found("a") == "up:1.0.0"
    assert world.offers.versions("a", None) == ("1.0.0",)
    assert world.failure("b").reason == "RegistryUnavailable"
    with pytest.raises(TransientError, match=r"registry/down: cannot read"):
        world.offers.versions("b", None)


def test_a_predicate_takes_the_latest_that_it_likes(world: World):
    world.declare("one", "a@1.3.1", "a@1.9.0", "a@1.10.0", "a@1.11.0-beta", "a@2.0.0")

    assert world.found("a", lambda version: version.startswith("1.")) == "one:1.10.0"
    error = world.failure("a", lambda version: version.startswith("3."))
    assert (error.reason, "available: 1.3.1, 1.9.0, 1.10.0, 1.11.0-beta, 2.0.0" in error.message) == (
        "RuntimeNotFound",
        True,
    )


def test_versions_are_told_in_their_order_and_a_name_nobody_has_has_none(world: World):
    world.declare("one", "a@1.10.0", "a@1.9.0", "a@1.9.0-rc.1")

    assert world.offers.versions("a", None) == ("1.9.0-rc.1", "1.9.0", "1.10.0")
    assert world.offers.versions("nobody", None) == ()


def test_the_right_to_ask_is_that_of_the_registrys_own_server(world: World):
    world.declare("one", url="https://example.org/r/registry.json", credentials={"tokenFile": "/run/token"})

    assert world.offers.access("one") == Access(origin_of("https://example.org"), token_file="/run/token")
    with pytest.raises(TransientError, match="no enabled registry/nobody"):
        world.offers.access("nobody")


def test_an_archive_is_asked_for_at_the_registry_and_then_at_its_mirrors(world: World, tmp_path: Path):
    with served(tmp_path / "one") as server, served(tmp_path / "one") as mirror:
        world.declare("one", "a@1.0.0", url=f"{server.url}/registry.json", mirrors=[f"{mirror.url}/"])
        package = world.offers.find("a", None, None)

    assert package.url == f"{server.url}/a@1.0.0.tar.gz"
    assert package.mirrors == (f"{mirror.url}/a@1.0.0.tar.gz",)
