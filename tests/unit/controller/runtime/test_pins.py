"""Which inputs of a build are pinned, from what was asked for and what the lock says that came of it."""

import pytest

from api.types.runtime_sources import BuildSource
from controller.runtime.build.lock import Package
from controller.runtime.locked import DEBIAN, NODE, PYTHON, Locked
from controller.runtime.pins import unpinned

NOTHING = Locked({})
HASH = "--hash=sha256:" + "a" * 64
SIX = Package("six", "1.16.0", "sha256:" + "a" * 64)


def loose(packages: dict[str, tuple[Package, ...]] | None = None, inherited: Locked = NOTHING, **build: object):
    return unpinned(BuildSource.model_validate(build), Locked(packages or {}), inherited)


def test_a_build_of_nothing_but_exact_packages_is_pinned():
    packages = {
        DEBIAN: (Package("zlib1g", "1:1.2.13", "sha256:x"),),
        PYTHON: (SIX,),
        NODE: (Package("@a/b", "1.0.0", "sha512-x"),),
    }

    assert loose(packages, apt=["zlib1g=1:1.2.13"], pip=[f"six==1.16.0 {HASH}"], npm=["@a/b@1.0.0"]) == ()


@pytest.mark.parametrize("asked", ["six", "six>=1.16", "six==1.16.0", f"six==1.* {HASH}", f"six>=1 {HASH}", "no(thing"])
def test_a_python_package_needs_one_version_and_a_hash(asked):
    assert loose({PYTHON: (SIX,)}, pip=[asked])[0] == f"pip {asked}"


@pytest.mark.invariant("I12")
def test_a_python_package_of_several_hashes_may_be_any_of_them():
    other = "--hash=sha256:" + "b" * 64

    assert loose({PYTHON: (SIX,)}, pip=[f"six==1.16.0 {HASH} {other}"]) == ("pip six==1.16.0 (one of 2 hashes)",)
    assert loose({PYTHON: (SIX,)}, pip=[f"six==1.16.0 {HASH} {HASH}"]) == ()


@pytest.mark.parametrize(
    ("asked", "came"), [("1.16", "1.16.0"), ("1.16.0", "1.16"), ("1.0RC1", "1.0rc1"), ("1.0", "1.0+local")]
)
def test_a_version_may_be_written_in_several_ways(asked, came):
    assert loose({PYTHON: (Package("six", came, "sha256:x"),)}, pip=[f"six=={asked} {HASH}"]) == ()


@pytest.mark.parametrize("came", ["1.17", "2", "what it likes"])
def test_another_version_than_was_asked_for_is_told(came):
    assert loose({PYTHON: (Package("six", came, "sha256:x"),)}, pip=[f"six==1.16 {HASH}"]) == (f"pip six {came}",)


@pytest.mark.parametrize("asked", ["left-pad", "left-pad@^1.0.0", "left-pad@latest", "@scope/left-pad"])
def test_a_node_package_needs_one_version(asked):
    assert loose({NODE: (Package("left-pad", "1.3.0", "sha512-x"),)}, npm=[asked])[0] == f"npm {asked}"


def test_each_is_told_once_as_it_was_asked_for():
    assert loose({PYTHON: (SIX,), NODE: (Package("b", "1.0.0", "x"),)}, pip=["Six"], npm=["b"]) == ("pip Six", "npm b")


def test_what_was_needed_and_not_named_is_told_with_the_version_that_came():
    packages = {
        DEBIAN: (Package("libc6", "2.36"), Package("zlib1g", "1.2")),
        PYTHON: (SIX, Package("more", "2", "x")),
        NODE: (Package("a", "1.0.0", "x"), Package("a", "2.0.0", "x"), Package("dep", "3.0.0", "x")),
    }

    assert loose(packages, apt=["zlib1g=1.2"], pip=[f"six==1.16.0 {HASH}"], npm=["a@1.0.0"]) == (
        "apt libc6 2.36", "pip more 2", "npm a 2.0.0", "npm dep 3.0.0",
    )  # fmt: skip


def test_python_and_node_packages_without_a_hash_are_those_of_debian_packages():
    packages = {PYTHON: (Package("yaml", "6"),), NODE: (Package("tar", "6.0.0"),)}

    assert loose(packages) == ()


def test_what_a_runtime_brought_is_that_runtimes_to_pin():
    inherited = Locked({PYTHON: (SIX,)})

    assert loose({PYTHON: (SIX,)}, inherited, base={"from": "p@1.0.0"}) == ()
    assert loose({PYTHON: (SIX,)}, inherited, base={"from": "p@^1"}) == ("its base p@^1",)


def test_the_files_of_this_host_are_of_no_version():
    assert loose(base={"from": "host"}) == ("the files of this host that it begins with",)
