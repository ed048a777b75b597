"""Runtimes from several registries, and from ones that want a token, seen in their statuses."""

import pytest

from support.hostile_server import Exchange, hostile_server
from support.registry_fixtures import RegistryOnDisk, served
from support.runtime_world import RuntimeWorld, a_runtime_world

NAME = "python-3.11"
TOKEN = "t0ps3cret"


@pytest.fixture
def world(tmp_path):
    with a_runtime_world(tmp_path) as world:
        world.registry.add(NAME, "1.0.0")
        yield world


def another(world: RuntimeWorld, *versions: str, **spec: object) -> RegistryOnDisk:
    registry = RegistryOnDisk(world.directory / "another")
    for version in versions:
        registry.add(NAME, version)
    world.declare_registry("another", url=registry.url, **spec)
    return registry


def ready(world: RuntimeWorld) -> tuple[str, str]:
    for _ in range(6):  # Installing, the health check and what follows are passes of their own.
        world.pass_over(NAME)
    conditions = {each["type"]: each for each in world.get("Runtime", NAME)["status"]["conditions"]}
    return conditions["Ready"]["reason"], conditions["Ready"]["message"]


def test_an_ambiguous_runtime_says_so_with_its_candidates_until_one_is_named(world):
    world.declare_registry()
    another(world, "1.0.0")
    world.declare(NAME, "1.0.0")
    reason, message = ready(world)

    assert reason == "Ambiguous"
    assert "registry/another (1.0.0), registry/tests (1.0.0)" in message
    world.declare(NAME, "1.0.0", registry="another")
    assert ready(world)[0] == "Installed"
    assert world.get("Runtime", NAME)["status"]["versions"][0]["registry"] == "another"


def test_a_priority_decides(world):
    world.declare_registry()
    another(world, "1.0.0", priority=1)
    world.declare(NAME, "1.0.0")

    assert ready(world)[0] == "Installed"
    assert world.get("Runtime", NAME)["status"]["versions"][0]["registry"] == "another"


@pytest.mark.invariant("I21")
def test_a_private_registry_is_asked_with_its_token_which_nobody_sees(world, tmp_path, caplog):
    caplog.set_level("DEBUG")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o600)

    def behave(it: Exchange) -> None:
        if it.headers.get("authorization") != f"Bearer {TOKEN}":
            return it.answer(b"", 401)
        it.serve_range((world.registry.path / it.path.lstrip("/")).read_bytes())

    with hostile_server(behave) as server:
        url = f"{server.url}/registry.json"
        world.declare_registry(url=url)
        assert world.look_at_registry()["conditions"][0]["reason"] == "Refused"
        world.declare_registry(url=url, credentials={"tokenFile": str(tmp_path / "token")})
        world.look_at_registry()
        world.declare(NAME, "1.0.0")
        assert ready(world)[0] == "Installed"

    everything = (
        f"{world.get('Registry', 'tests')} {world.get('Runtime', NAME)} {world.store.list('Event').items} {caplog.text}"
    )
    assert TOKEN not in everything


def test_an_archive_comes_from_a_mirror_where_the_registry_has_lost_it(world):
    with served(world.registry.path) as server, served(world.directory / "copy") as mirror:
        copy = RegistryOnDisk(world.directory / "copy").add(NAME, "1.0.0")
        (world.registry.path / f"{NAME}@1.0.0.tar.gz").unlink()
        world.declare_registry(url=f"{server.url}/registry.json", mirrors=[f"{mirror.url}/registry.json"])
        world.declare(NAME, "1.0.0")

        assert ready(world)[0] == "Installed"
    assert copy.path.is_dir()
    assert mirror.requests == [f"/{NAME}@1.0.0.tar.gz"]
