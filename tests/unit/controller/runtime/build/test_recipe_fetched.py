"""Recipes from the network: how their packages come. What runs them is in tests/e2e/test_recipes.py."""

import hashlib
import os
from pathlib import Path

import pytest

from api.types.runtime_sources import BuildLimits
from controller.engine.clock import SystemClock
from controller.engine.errors import TransientError
from controller.registry.parts import LEAST_BYTES
from controller.registry.resume import Patience
from controller.runtime.build.recipe import RecipeSource
from controller.runtime.trees.source import fresh_directory
from support.hostile_server import hostile_server
from support.registry_fixtures import a_file, a_host, an_archive

ONCE = Patience(silence_seconds=5, attempts=0, pause_seconds=0.001)


def test_a_large_recipe_goes_on_where_its_download_broke_and_is_borne_as_patiently_as_all_else(tmp_path: Path):
    data = an_archive(a_file("r/setup.sh"), a_file("r/data", os.urandom(LEAST_BYTES + 100_000)))
    found: list[list[str]] = []

    def run(package: Path, *_: object, **__: object) -> Path:
        found.append(sorted(os.listdir(package)))
        return package

    def bring(url: str) -> None:
        source = RecipeSource("r", "1.0.0", url, hashlib.sha256(data).hexdigest(), (), BuildLimits())
        host_of = {"build_recipe": run, "clock": SystemClock(), "patience": ONCE}
        with a_host(tmp_path / "root", **host_of) as host:
            source.make(fresh_directory(tmp_path / f"staging-{len(server.requests)}"), host, None, print)

    with hostile_server(lambda it: it.serve_range(data, upto=None if it.number else 6_000_000)) as server:
        with pytest.raises(TransientError, match="6000000 bytes had come, 0 more tries"):
            bring(server.url)
        assert server.ranges == [""]
        bring(server.url)

    assert server.ranges == ["", "bytes=6000000-"]
    assert found == [["data", "setup.sh"]]
    assert not (tmp_path / "root/.runwright/parts").exists()
