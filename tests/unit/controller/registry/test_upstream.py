"""Mirrors and signatures of catalogues, with real servers."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from api.types.registry import RegistrySpec
from controller.engine.errors import TransientError
from controller.registry import fetch
from controller.registry.cache import CatalogueCache
from controller.registry.location import locate, mirrored_url
from controller.registry.upstream import Upstream, upstream_of
from support.hand_clock import HandClock
from support.registry_fixtures import RegistryOnDisk, Server, served

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


def sign(registry: RegistryOnDisk, key: Ed25519PrivateKey = KEY) -> None:
    signature = base64.b64encode(key.sign((registry.path / "registry.json").read_bytes()))
    (registry.path / "registry.json.sig").write_bytes(signature + b"\n")


@dataclass
class World:
    cache: CatalogueCache
    clock: HandClock
    registry: RegistryOnDisk
    server: Server
    mirror: Server
    directory: Path
    client: object
    fields: dict = field(default_factory=dict)

    @property
    def upstream(self) -> Upstream:
        spec = {
            "url": f"{self.server.url}/registry.json",
            "mirrors": [f"{self.mirror.url}/registry.json"],
            **self.fields,
        }
        return upstream_of(RegistrySpec.model_validate(spec))

    def failure(self) -> TransientError:
        with pytest.raises(TransientError) as caught:
            self.cache.get(self.upstream)
        return caught.value


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    registry, clock = RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0"), HandClock()
    with ExitStack() as stack:
        client = stack.enter_context(fetch.new_client())
        server, mirror = stack.enter_context(served(registry.path)), stack.enter_context(served(registry.path))
        cache = CatalogueCache(tmp_path / "cache", client, clock)
        yield World(cache, clock, registry, server, mirror, tmp_path / "cache", client)


def test_a_mirror_is_asked_only_when_the_registry_fails(world: World):
    world.cache.get(world.upstream)
    assert world.mirror.requests == []

    world.server.status = 500
    world.clock.advance(4000)
    assert not world.cache.get(world.upstream).is_stale
    assert world.mirror.count("registry.json") == 1


def test_when_all_fail_each_is_named(world: World):
    world.server.status, world.mirror.status = 500, 404

    message = world.failure().message
    assert world.server.url in message
    assert world.mirror.url in message


@pytest.mark.parametrize(
    ("url", "mirrored"),
    [
        ("https://a.org/r/x/y@1.0.0.tar.gz", "https://b.org/m/x/y@1.0.0.tar.gz"),
        ("https://a.org/r/y.tar.gz?x=1", "https://b.org/m/y.tar.gz?x=1"),
        ("https://elsewhere.org/deep/y.tar.gz?secret=1", "https://b.org/m/y.tar.gz"),
        ("https://a.org/r/x:y.zip", "https://b.org/m/x:y.zip"),
        ("https://elsewhere.org/", None),
        ("https://a.org/r/%2e%2e/%2e%2e/etc/passwd", None),
        ("https://a.org/r/..%2f..%2fetc/passwd", None),
        ("https://a.org/r/x%00", None),
    ],
)
def test_an_archive_is_looked_for_at_the_same_place_of_a_mirror(url: str, mirrored: str | None):
    assert mirrored_url(locate("https://a.org/r/registry.json"), locate("https://b.org/m/"), url) == mirrored


def test_a_registry_on_the_network_reaches_no_other_file_of_a_local_mirror():
    of = locate("https://a.org/r/registry.json"), locate("file:///srv/mirror")

    assert mirrored_url(*of, "https://a.org/r/..%2f..%2fetc/shadow") is None
    assert mirrored_url(*of, "https://a.org/r/x/y.zip") == "file:///srv/mirror/x/y.zip"


def test_a_signed_catalogue_is_used(world: World):
    sign(world.registry)
    world.fields = {"publicKey": PUBLIC}

    assert "a" in world.cache.get(world.upstream).catalogue.entries


@pytest.mark.invariant("I22")
@pytest.mark.parametrize("how", ["missing", "other key", "other text", "junk", "empty", "huge"])
def test_a_catalogue_that_is_not_signed_by_the_key_is_refused(world: World, how: str):
    sign(world.registry, Ed25519PrivateKey.generate() if how == "other key" else KEY)
    file = world.registry.path / "registry.json.sig"
    if how == "missing":
        file.unlink()
    if how == "other text":
        world.registry.add("b", "1.0.0")
    if how in ("junk", "empty", "huge"):
        file.write_bytes({"junk": b"?" * 88, "empty": b"", "huge": b"A" * 10_000}[how])
    world.fields = {"publicKey": PUBLIC, "mirrors": []}

    assert world.failure().reason == "SignatureInvalid"


def test_a_forged_catalogue_leaves_the_one_that_was_kept(world: World):
    sign(world.registry)
    world.fields = {"publicKey": PUBLIC}
    world.cache.get(world.upstream)
    world.registry.add("evil", "1.0.0")
    world.clock.advance(4000)

    cached = world.cache.get(world.upstream)
    assert (cached.reason, sorted(cached.catalogue.entries)) == ("SignatureInvalid", ["a"])


def test_a_mirror_with_a_good_signature_serves_where_the_registry_has_a_bad_one(world: World, tmp_path):
    good = RegistryOnDisk(tmp_path / "good").add("good", "1.0.0")
    sign(good)
    with served(good.path) as mirror:
        world.mirror, world.fields = mirror, {"publicKey": PUBLIC}
        assert sorted(world.cache.get(world.upstream).catalogue.entries) == ["good"]


@pytest.mark.invariant("I22")
def test_what_was_kept_without_a_key_is_nothing_to_one_with_a_key(world: World):
    world.fields = {"mirrors": []}
    world.cache.get(world.upstream)
    world.fields = {"mirrors": [], "publicKey": PUBLIC}

    assert world.cache.peek(world.upstream) is None
    assert world.failure().reason == "SignatureInvalid"


@pytest.mark.invariant("I22")
def test_a_kept_catalogue_that_was_changed_on_the_disk_is_nothing(world: World):
    sign(world.registry)
    world.fields = {"publicKey": PUBLIC}
    world.cache.get(world.upstream)
    (file,) = world.directory.glob("*.json")
    document = json.loads(file.read_text())
    document["body"] = base64.b64encode(base64.b64decode(document["body"]).replace(b'"a"', b'"b"')).decode()
    file.write_text(json.dumps(document))

    assert CatalogueCache(world.directory, world.client, world.clock).peek(world.upstream) is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"publicKey": "short"}, "publicKey"),
        ({"publicKey": ""}, "publicKey"),
        ({"publicKey": base64.b64encode(b"x" * 31).decode()}, "publicKey"),
        ({"mirrors": ["ftp://x/"]}, "mirrors"),
        ({"credentials": {}}, "credentials"),
        ({"credentials": {"tokenFile": "/a", "tokenEnv": "RUNWRIGHT_TOKEN_A"}}, "credentials"),
        ({"credentials": {"tokenFile": "relative"}}, "credentials.tokenFile"),
        ({"credentials": {"tokenEnv": "A B"}}, "credentials.tokenEnv"),
        ({"credentials": {"tokenEnv": "AWS_SECRET_ACCESS_KEY"}}, "credentials.tokenEnv"),
        ({"credentials": {"tokenEnv": "RUNWRIGHT_TOKEN_"}}, "credentials.tokenEnv"),
    ],
)
def test_what_cannot_be_is_refused_at_admission_by_its_path(spec: dict, field: str):
    with pytest.raises(ValidationError) as caught:
        RegistrySpec.model_validate({"url": "a/b", **spec})
    assert ".".join(map(str, caught.value.errors()[0]["loc"])) == field


def test_without_more_than_a_url_what_is_kept_lies_where_it_always_did():
    upstream = upstream_of(RegistrySpec(url="https://a.org/r/registry.json"))

    assert upstream.key == upstream.url
