"""SIGKILL of a publisher at every step that it takes on the disk: what readers find is whole, and signed if it was."""

import shutil
import signal
from itertools import count
from pathlib import Path

import pytest

from api.packages import packing, registry_json, signing
from api.packages.packing import Packed
from controller.registry import catalogue
from support.kills import in_a_child, kill_at_event
from support.packages import a_tree

NOW = "2026-01-01T00:00:00Z"


def packed(directory: Path, version: str) -> Packed:
    return packing.pack_directory(a_tree(directory, version=version), directory)


@pytest.mark.invariant("I23")
def test_a_publisher_killed_at_any_step_leaves_a_registry_that_verifies(tmp_path):
    public = signing.public_key(signing.generate(tmp_path / "key"))
    key = signing.private_key(tmp_path / "key")
    first, second, third = (packed(tmp_path, version) for version in ("1.0.0", "1.1.0", "1.2.0"))
    before = tmp_path / "before"
    registry_json.publish(before, first, NOW, key)
    registry = tmp_path / "registry"
    found = set()

    for number in count(1):
        shutil.rmtree(registry, ignore_errors=True)
        shutil.copytree(before, registry)
        status = in_a_child(lambda: registry_json.publish(registry, second, NOW, key), kill_at_event(number))
        report = registry_json.check(registry / "registry.json", public)
        assert report.errors == ()
        found.add(tuple(catalogue.parse((registry / "registry.json").read_bytes()).entries["tool"]))
        # Killed again at the same place, another publisher cannot make what is left worse.
        in_a_child(lambda: registry_json.publish(registry, third, NOW, key), kill_at_event(number))
        assert registry_json.check(registry / "registry.json", public).errors == ()
        for each in (second, third):
            registry_json.publish(registry, each, NOW, key)
        assert registry_json.check(registry / "registry.json", public).errors == ()
        if status == 0:
            break
        assert status == -signal.SIGKILL

    assert found == {("1.0.0",), ("1.0.0", "1.1.0")}
    assert number > 10
