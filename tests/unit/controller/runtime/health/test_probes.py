"""Which commands show that a runtime works."""

import pytest

from api.packages.manifest import Manifest, Mount
from api.types.runtime_sources import HealthCheck
from controller.runtime.health.probes import CannotProbe, probes

MOUNTS = (Mount("isolated/usr", "/usr"),)


def commands(name: str, language: str = "", **wanted: object) -> list[tuple[str, ...]]:
    manifest = Manifest(name, MOUNTS, language=language, language_version="1" if language else "")
    return [probe.argv for probe in probes(name, manifest, HealthCheck.model_validate(wanted))]


@pytest.mark.parametrize(
    ("name", "program"),
    [("python-3.11-ml", "python3"), ("openjdk-21", "java"), ("graalvmjdk-21", "java"), ("node-18", "node")],
)
def test_the_interpreter_of_the_language_is_started(name: str, program: str):
    assert [argv[0] for argv in commands(name)] == [program]


def test_the_manifests_language_counts_more_than_the_name():
    assert commands("tools", language="go") == [("go", "version")]


def test_a_runtime_of_no_language_has_nothing_to_start():
    assert commands("tools") == []


def test_imports_and_the_command_are_asked_for_after_the_start():
    found = commands("python-3.11", imports=["numpy", "pandas"], command=["mytool", "--check"])
    assert found[1][-2:] == ("numpy", "pandas")
    assert found[2] == ("mytool", "--check")


def test_imports_in_a_language_without_any_are_refused_with_what_to_use():
    with pytest.raises(CannotProbe, match=r"use healthCheck\.command"):
        commands("tools", imports=["numpy"])
