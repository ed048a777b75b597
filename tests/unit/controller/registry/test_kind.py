"""The Registry kind: what it says of a registry that is up, down, odd, off or deleted."""

import base64
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.kinds import REGISTRY
from api.types.registry import RegistrySpec
from controller.registry import fetch
from controller.registry.cache import CatalogueCache
from controller.registry.upstream import upstream_of
from support.registry_fixtures import served
from support.runtime_world import RuntimeWorld, a_runtime_world

KEPT = "*.json"


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path) as world:
        world.registry.add("a", "1.0.0").add("a", "2.0.0").add("b", "1.0.0")
        yield world


def said(status) -> tuple[str, str]:
    (ready,) = status["conditions"]
    return ready["status"], ready["reason"]


def kept(world: RuntimeWorld) -> int:
    return len(list((world.directory / "cache").glob(KEPT)))


def test_what_it_offers_is_counted(world):
    world.declare_registry()
    status = world.look_at_registry()

    assert said(status) == ("True", "Fetched")
    assert (status["runtimes"], status["versions"]) == (2, 3)
    assert status["lastFetchTime"] == "2026-01-02T03:04:05Z"


CLOSED = "http://127.0.0.1:9/registry.json"


def told(world: RuntimeWorld) -> list[tuple[str, str]]:
    world.recorder.flush()
    events = [event for event in world.store.list("Event").items if event["involvedObject"]["kind"] == "Registry"]
    return [(event["reason"], event["message"]) for event in events]


def test_a_mirror_that_serves_is_told_once_with_why_and_so_is_its_end(world, caplog):
    with served(world.registry.path) as server:
        own = f"{server.url}/registry.json"
        world.declare_registry(url=own, mirrors=[world.registry.url], cacheSeconds=60)
        server.status = 503
        status = world.look_at_registry()
        assert said(status) == ("True", "Fetched")
        message = status["conditions"][0]["message"]
        mirror = f"{world.registry.url}/registry.json"
        assert message.startswith(f"its catalogue was fetched from the mirror {mirror}: cannot read {own}: the server")
        assert status["fetchedFrom"] == mirror

        world.clock.advance(61)
        world.look_at_registry()
        assert told(world) == [("MirrorUsed", message)]
        lines = [record.message for record in caplog.records if record.name == "controller.registry.kind"]
        assert lines == ["catalogue comes from a mirror"]

        server.status = 0
        world.clock.advance(61)
        status = world.look_at_registry()
        assert status["conditions"][0]["message"] == "its catalogue was fetched"
        assert status["fetchedFrom"] == own
        assert {reason for reason, _ in told(world)} == {"MirrorUsed", "MirrorLeft"}


def test_why_a_mirror_serves_is_known_after_a_restart_and_told_beside_what_is_wrong_with_its_entries(world):
    world.registry.add("c", "1.0.0", checksum="md5:1")
    world.declare_registry(url=CLOSED, mirrors=[world.registry.url], cacheSeconds=60)
    message = world.look_at_registry()["conditions"][0]["message"]
    assert "1 entries cannot be used" in message
    assert f"from the mirror {world.registry.url}/registry.json: cannot read {CLOSED}" in message

    upstream = upstream_of(RegistrySpec.model_validate(world.get("Registry", "tests")["spec"]))
    with fetch.new_client() as client:
        kept = CatalogueCache(world.directory / "cache", client, world.clock).get(upstream)
    assert kept.passed_over
    assert kept.passed_over in message


def test_bad_entries_are_told_and_cost_no_other(world):
    world.registry.add("c", "1.0.0", checksum="md5:1")
    world.declare_registry()
    status = world.look_at_registry()

    assert said(status) == ("True", "Fetched")
    assert 'runtimes["c"]["1.0.0"].checksum' in status["conditions"][0]["message"]
    assert status["versions"] == 3


@pytest.mark.invariant("I7")
def test_what_is_kept_serves_while_it_is_down_and_saying_so_is_said_once(world):
    world.declare_registry(cacheSeconds=60)
    world.look_at_registry()
    (world.registry.path / "registry.json").rename(world.registry.path / "away")
    world.clock.advance(61)
    status = world.look_at_registry()
    assert said(status) == ("True", "Stale")
    assert "its catalogue of 2026-01-02T03:04:05Z is used" in status["conditions"][0]["message"]

    before = world.store.revision()
    for _ in range(10):
        world.clock.advance(1000)
        world.look_at_registry()
    assert world.store.revision() == before

    (world.registry.path / "away").rename(world.registry.path / "registry.json")
    world.clock.advance(61)
    assert said(world.look_at_registry()) == ("True", "Fetched")


def test_one_that_was_never_read_says_why_and_writes_once(world):
    shutil.rmtree(world.registry.path)
    world.declare_registry()
    assert said(world.look_at_registry()) == ("False", "NotFound")

    before = world.store.revision()
    for _ in range(10):
        world.clock.advance(100)
        world.look_at_registry()
    assert world.store.revision() == before


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"enabled": False}, "Disabled"),
        ({"url": "file://elsewhere/registry"}, "InvalidLocation"),
        ({"url": "http://127.0.0.1:9/registry.json"}, "Unreachable"),
    ],
)
def test_one_that_cannot_be_used_says_why(world, spec, reason):
    world.declare_registry(**spec)

    assert said(world.look_at_registry()) == ("False", reason)


def test_what_is_no_catalogue_is_said_to_be_so(world):
    (world.registry.path / "registry.json").write_text("<html>")
    world.declare_registry()

    assert said(world.look_at_registry()) == ("False", "InvalidCatalogue")


def test_nothing_is_kept_of_one_that_is_deleted(world):
    world.declare_registry()
    world.look_at_registry()
    assert kept(world) == 1
    world.verbs.delete(REGISTRY, "", "tests")
    world.look_at_registry()

    assert kept(world) == 0
    assert world.get("Registry", "tests") == {}


def test_a_catalogue_that_is_not_signed_by_the_key_is_not_used(world):
    world.declare_registry(publicKey=base64.b64encode(b"k" * 32).decode())

    assert said(world.look_at_registry()) == ("False", "SignatureInvalid")


def test_a_signature_that_went_bad_is_said_while_what_was_kept_serves(world):
    key = Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    signature = base64.b64encode(key.sign((world.registry.path / "registry.json").read_bytes()))
    (world.registry.path / "registry.json.sig").write_bytes(signature)
    world.declare_registry(publicKey=public, cacheSeconds=60)
    assert said(world.look_at_registry()) == ("True", "Fetched")
    world.registry.add("evil", "1.0.0")
    world.clock.advance(61)
    status = world.look_at_registry()

    assert said(status) == ("True", "SignatureInvalid")
    assert "its catalogue of 2026-01-02T03:04:05Z is used" in status["conditions"][0]["message"]
    assert (status["runtimes"], status["versions"]) == (2, 3)


def test_a_token_that_others_may_read_is_said(world, tmp_path):
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "token").chmod(0o644)
    with served(world.registry.path) as server:
        world.declare_registry(url=f"{server.url}/registry.json", credentials={"tokenFile": str(tmp_path / "token")})
        status = world.look_at_registry()

    assert said(status) == ("False", "CredentialsUnusable")
    assert "chmod it to 0600" in status["conditions"][0]["message"]
    assert "s3cret" not in str(status)
    assert server.requests == []
