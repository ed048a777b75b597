"""Which installed runtime a spec means."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from api import runtime_spec
from api.packages.manifest import Manifest, Mount
from controller.runtime import resolve
from controller.runtime.resolve import Ambiguous, Broken, Conflict, NotInstalled, Resolved
from controller.runtime.trees.tree import InstalledRuntime


def installed(spec: str, *, at: str = "", language: str = "", language_version: str = "") -> InstalledRuntime:
    name, _, version = spec.partition("@")
    manifest = Manifest(name, (Mount("a", "/a"),), language=language, language_version=language_version)
    return InstalledRuntime(name, version or None, Path(at or f"/r/{spec}"), manifest)


def resolved(spec: str, *runtimes: InstalledRuntime | str) -> resolve.Resolution:
    there = [installed(one) if isinstance(one, str) else one for one in runtimes]
    random.Random(7).shuffle(there)
    return resolve.resolve(runtime_spec.parse(spec), tuple(there))


def chosen(spec: str, *runtimes: InstalledRuntime | str) -> str:
    answer = resolved(spec, *runtimes)
    assert isinstance(answer, Resolved), answer
    return answer.runtime.spec


def test_a_bare_name_is_its_highest_installed_version():
    assert chosen("a", "a@1.9.0", "a@1.10.0", "a@1.3.2") == "a@1.10.0"


def test_a_prerelease_is_not_the_latest_unless_there_is_nothing_else():
    assert chosen("a@latest", "a@1.3.2", "a@1.4.0-beta") == "a@1.3.2"
    assert chosen("a", "a@1.4.0-beta", "a@1.4.0-alpha") == "a@1.4.0-beta"


def test_a_prerelease_runs_when_it_is_asked_for():
    assert chosen("a@1.4.0-beta", "a@1.3.2", "a@1.4.0-beta") == "a@1.4.0-beta"


def test_a_tree_of_no_version_ranks_below_every_version_and_is_none():
    assert chosen("a", "a", "a@0.0.1") == "a@0.0.1"
    assert chosen("a", "a") == "a"
    assert isinstance(resolved("a@1.3.1", "a"), NotInstalled)


def test_a_longer_name_is_another_runtime():
    assert chosen("python-3.11", "python-3.11@1.3.4", "python-3.11-ml@9.9.9") == "python-3.11@1.3.4"
    assert isinstance(resolved("python-3.11", "python-3.11-ml@1.3.2"), NotInstalled)


def test_what_is_not_installed_names_what_is_and_how_to_install_it():
    answer = resolved("a@9.0.0", "a@1.9.0", "a@1.10.0")

    assert answer == NotInstalled(
        "runtime a@9.0.0 is not installed: available: a@1.9.0, a@1.10.0: run `rnx runtime install a@9.0.0`",
        ("a@1.9.0", "a@1.10.0"),
    )


def test_two_trees_of_one_version_are_a_conflict():
    answer = resolved("a", installed("a@1.0.0", at="/r/a/1.0.0"), installed("a@1.0.0", at="/r/a-1.0.0"), "b@1.0.0")

    assert isinstance(answer, Conflict)
    assert answer.candidates == ("/r/a-1.0.0", "/r/a/1.0.0")
    assert "remove one" in answer.message


def test_conflicts_are_listed_by_what_they_claim():
    there = (installed("a@1.0.0", at="/r/x"), installed("a@1.0.0", at="/r/y"), installed("a@2.0.0"))

    assert set(resolve.conflicts(there)) == {"a@1.0.0"}


def test_a_broken_tree_is_told_when_it_is_what_was_asked_for():
    broken = replace(installed("a@1.0.0"), problems=("runtime.yml:1:1: it is empty",))

    answer = resolved("a@1.0.0", broken, "a@0.9.0")
    assert isinstance(answer, Broken)
    assert "runtime.yml:1:1: it is empty" in answer.message


def test_a_broken_tree_does_not_hide_an_older_good_one():
    assert chosen("a", replace(installed("a@1.0.0"), problems=("broken",)), "a@0.9.0") == "a@0.9.0"


@pytest.mark.parametrize(
    ("spec", "there", "wanted"),
    [
        ("python:3.11", ["python-3.11@1.0.0", "python-3.11-ml@2.0.0"], "python-3.11@1.0.0"),
        ("python:3.11+ml", ["python-3.11@1.0.0", "python-3.11-ml@2.0.0"], "python-3.11-ml@2.0.0"),
        ("python:3.11+ml", ["python-3.11-ml-gpu@9.0.0", "python-3.11-ml@2.0.0"], "python-3.11-ml@2.0.0"),
        ("python:3.11+gpu", ["python-3.11-ml-gpu@1.0.0", "python-3.11-ml@2.0.0"], "python-3.11-ml-gpu@1.0.0"),
        ("python:3.11", ["python-3.11-ml@2.0.0"], "python-3.11-ml@2.0.0"),
        ("python:3.11", ["python-3.11@1.9.0", "python-3.11@1.10.0"], "python-3.11@1.10.0"),
        ("java:21", ["openjdk-21@1.3.1", "graalvmjdk-21@1.3.1"], "openjdk-21@1.3.1"),
        ("java:21", ["graalvmjdk-21@1.3.1"], "graalvmjdk-21@1.3.1"),
        ("java:21+graalvm", ["openjdk-21@1.3.1", "graalvmjdk-21@1.3.1"], "graalvmjdk-21@1.3.1"),
        ("java:17", ["java-17", "openjdk-17@1.0.0"], "java-17"),
        ("openjdk:17", ["java-17", "openjdk-17@1.0.0"], "openjdk-17@1.0.0"),
        ("rust:stable", ["rust-stable@1.0.0"], "rust-stable@1.0.0"),
        ("node:18", ["node-18", "node-20"], "node-18"),
    ],
)
def test_a_language_is_the_runtime_with_the_fewest_other_tags(spec: str, there: list[str], wanted: str):
    assert chosen(spec, *there) == wanted


def test_a_manifest_may_say_which_language_it_offers():
    assert chosen("python:3.11", installed("data-science@1.0.0", language="python", language_version="3.11"))


def test_several_equally_near_are_ambiguous_and_all_named():
    answer = resolved("python:3.11+ml", "python-3.11-ml-a@1.0.0", "python-3.11-ml-b@1.0.0")

    assert isinstance(answer, Ambiguous)
    assert answer.candidates == ("python-3.11-ml-a", "python-3.11-ml-b")


def test_a_language_that_is_not_there_names_other_versions_of_it():
    answer = resolved("python:3.12", "python-3.11@1.0.0", "node-18")

    assert isinstance(answer, NotInstalled)
    assert answer.candidates == ("python-3.11",)
    assert isinstance(resolved("go:1.22", "node-18"), NotInstalled)
