"""Declared builds of Python packages, from an index of the test's own, without the network.

The Python is this host's; `test_declared_builds_apt.py` has one of Debian packages.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from controller.engine.errors import TransientError
from controller.runtime.bound import BoundBySource
from controller.runtime.sources.composition import Layer
from controller.runtime.trees import origin
from support import host as host_support
from support.building import Building, changed, listing
from support.declaring import a_declaring, a_layer, locked, said_in
from support.python_index import Distribution, a_python_index, a_source, a_wheel, index

pytestmark = pytest.mark.needs_root

ON_PYTHON = {"base": {"from": "python@1.0.0"}}
ONE, TWO = a_wheel("greetings", "1.0", more="only_in_1_0.py"), a_wheel("greetings", "1.2")
NEEDY = a_wheel("needy", "3.0", "greetings<1.1")
FROM_SOURCE = a_source("fromsource", "2.0")


PLACES = ("/usr/lib/python3", "/etc", "/root", "/usr/local/lib")


@dataclass(frozen=True)
class Python:
    """A runtime that is the Python of this host with packages, and what its build has changed on the host."""

    layer: Layer
    changed: list[str]


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Iterator[Python]:
    building = Building.at(host_support.directory_on_disk("runwright-test-"))
    before = listing(*PLACES)
    declared = {"base": {"language": "python", "from": "host"}, "pip": ["needy", "fromsource"]}
    offered = a_python_index(ONE, TWO, NEEDY, FROM_SOURCE)
    try:
        with a_declaring(building, tmp_path_factory.mktemp("home")) as declaring, offered as server:
            tree = declaring.install(declared, index(server), "python")
            yield Python(a_layer(tree), changed(before, listing(*PLACES)))
    finally:
        building.close()


@pytest.fixture
def declaring(building, tmp_path, python):
    """A host for builds that begin with that runtime."""
    with a_declaring(building, tmp_path, python.layer) as declaring:
        yield declaring


def in_python(tree, text: str) -> str:
    return said_in(tree, "/usr/bin/python3", "-I", "-c", text)


def test_versions_that_are_not_named_are_resolved_and_the_lock_has_what_the_tree_has(python):
    tree = python.layer.path

    named = locked(tree, "python_packages")
    versions = {name: each["version"] for name, each in named.items()}
    assert versions == {"needy": "3.0", "greetings": "1.0", "fromsource": "2.0"}
    assert {name: each["hash"] for name, each in named.items()} == {
        each.project: f"sha256:{each.sha256}" for each in (NEEDY, ONE, FROM_SOURCE)
    }
    assert in_python(tree, "import greetings, needy, fromsource; print(greetings.VERSION)") == "1.0\n"
    assert not list((tree / "isolated").rglob("pip"))
    assert python.changed == []


@pytest.mark.invariant("B6")
def test_what_cannot_be_had_as_it_was_asked_for_fails_the_build_by_name(declaring):
    with a_python_index(ONE, NEEDY, a_source("unbuildable", "1.0", 'raise OSError("no such header")')) as server:

        def refused(*asked: str) -> str:
            return declaring.refused(ON_PYTHON | {"pip": list(asked)}, index(server))

        wrong = refused(f"greetings==1.0 --hash=sha256:{'0' * 64}")
        unknown = refused("needy", "greetings==9.9")
        unbuilt = refused("greetings", "unbuildable")

    assert "DO NOT MATCH THE HASHES" in wrong
    assert f"Expected sha256 {'0' * 64}" in wrong
    assert "greetings==1.0" in wrong
    assert "No matching distribution found for greetings==9.9" in unknown
    assert "unbuildable" in unbuilt
    assert "no such header" in declaring.log


@pytest.mark.invariant("B6")
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"pip": ["greetings"]}, "cannot install Python packages: the tree has no Python: set base.language"),
        ({"npm": ["greeter"]}, "the tree has no Node: set base.language to node, or name nodejs in apt"),
    ],
)
def test_packages_of_a_language_that_the_tree_will_not_have_are_refused_with_what_to_do(
    building, tmp_path, asked, said
):
    with a_declaring(building, tmp_path) as declaring:
        assert said in declaring.refused({"base": {"from": "host"}, **asked}, {})


def test_an_index_that_is_not_there_is_worth_another_try(declaring):
    with a_python_index(ONE) as server:
        gone = {**index(server), "PIP_RETRIES": "1"}

    said = declaring.refused(ON_PYTHON | {"pip": ["greetings"]}, gone, TransientError)

    assert "Connection refused" in said


def test_a_directory_of_this_host_is_an_index_where_pip_is_configured_for_it(declaring, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / ONE.file).write_bytes(ONE.data)
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")

    tree = declaring.install(ON_PYTHON | {"pip": ["greetings"]}, {})

    assert locked(tree, "python_packages")["greetings"]["version"] == "1.0"


@pytest.mark.invariant("B4")
@pytest.mark.invariant("B7")
def test_a_version_with_its_hash_replaces_another_and_the_password_of_the_index_is_in_no_log(declaring):
    with a_python_index(ONE, TWO) as server:
        asked = {"pip": [f"greetings==1.2 --hash=sha256:{TWO.sha256}"], "run": ["echo said index-secret"]}
        tree = declaring.install(ON_PYTHON | asked, index(server, "me:index-secret@"))

    assert in_python(tree, "import greetings; print(greetings.VERSION)") == "1.2\n"
    named = locked(tree, "python_packages")
    assert named["greetings"]["hash"] == f"sha256:{TWO.sha256}"
    assert named["needy"]["hash"] == f"sha256:{NEEDY.sha256}"
    info = sorted(path.name for path in (tree / "isolated").rglob("greetings-*"))
    assert info == ["greetings-1.2.dist-info"]
    assert not list((tree / "isolated").rglob("only_in_1_0*"))
    assert "authorization" in server.requests[-1].headers
    assert "said ***" in declaring.log
    assert "index-secret" not in declaring.log


@pytest.mark.invariant("I12")
def test_a_source_with_its_hash_is_not_bound_as_what_builds_it_is_not_and_a_wheel_with_its_hash_is(declaring, python):
    def bound(asked: Distribution, version: str) -> tuple[str, str]:
        with a_python_index(FROM_SOURCE, TWO) as server:
            pip = [f"{asked.project}=={version} --hash=sha256:{asked.sha256}"]
            declaring.install(ON_PYTHON | {"pip": pip}, index(server), asked.project)
        record = origin.read(declaring.host.root, asked.project, "1.0.0")
        return record.bound, record.bound_message

    origin.record_path(declaring.host.root, "python", "1.0.0").parent.mkdir(parents=True)
    base = origin.read(python.layer.path.parent, "python", "1.0.0")
    origin.write(declaring.host.root, replace(base, bound="Pinned"))
    declaring.host = replace(declaring.host, bound=BoundBySource(declaring.host.root))

    assert bound(TWO, "1.2.0") == ("Pinned", "bound to one content by each of its inputs")
    reason, message = bound(FROM_SOURCE, "2.0")
    assert (reason, message.startswith("not pinned: what pip builds fromsource 2.0 of, which came as source: ")) == (
        "InputsUnpinned",
        True,
    )
