"""versions.lock says what is in the tree."""

import json
from pathlib import Path

import pytest
import yaml

from controller.runtime.build import lock
from controller.runtime.build.lock import Package


def a_dist(tree: Path, name: str, version: str, place: str = "usr/local/lib/python3.11/dist-packages") -> None:
    directory = tree / place / f"{name}-{version}.dist-info"
    directory.mkdir(parents=True)
    (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nLong text\n")


def a_node_package(tree: Path, path: str, name: str, version: str) -> None:
    directory = tree / "usr/local/lib/node_modules" / path
    directory.mkdir(parents=True)
    (directory / "package.json").write_text(json.dumps({"name": name, "version": version}))


def test_python_packages_are_read_from_their_metadata_with_the_hashes_of_their_archives(tmp_path):
    a_dist(tmp_path, "Flask_SQLAlchemy", "3.1.1")
    a_dist(tmp_path, "six", "1.17.0", "usr/lib/python3.11/site-packages")

    assert lock.python_packages(tmp_path, {"flask-sqlalchemy": "sha256:ab"}) == (
        Package("Flask_SQLAlchemy", "3.1.1", "sha256:ab"),
        Package("six", "1.17.0"),
    )


def test_node_packages_within_others_and_in_scopes_are_found(tmp_path):
    a_node_package(tmp_path, "express", "express", "4.18.0")
    a_node_package(tmp_path, "express/node_modules/ms", "ms", "2.0.0")
    a_node_package(tmp_path, "@types/node", "@types/node", "20.0.0")

    assert lock.node_packages(tmp_path, {"node_modules/express": "sha512-x"}) == (
        Package("@types/node", "20.0.0"),
        Package("express", "4.18.0", "sha512-x"),
        Package("ms", "2.0.0"),
    )


def test_metadata_that_is_a_link_is_not_read(tmp_path):
    (tmp_path / "usr/lib/python3/dist-packages/x-1.dist-info").mkdir(parents=True)
    (tmp_path / "usr/lib/python3/dist-packages/x-1.dist-info/METADATA").symlink_to("/etc/passwd")

    assert lock.python_packages(tmp_path, {}) == ()


def test_a_broken_package_json_is_no_package(tmp_path):
    a_node_package(tmp_path, "good", "good", "1.0.0")
    (tmp_path / "usr/local/lib/node_modules/good/node_modules/bad").mkdir(parents=True)
    (tmp_path / "usr/local/lib/node_modules/good/node_modules/bad/package.json").write_text("{")

    assert lock.node_packages(tmp_path, {}) == (Package("good", "1.0.0"),)


def test_the_text_is_yaml_in_an_order_of_its_own():
    packages = [Package("b", "2", "sha256:1", "amd64"), Package("a", "1.10")]

    text = lock.text(
        "python", "1.0.0", "ubuntu-amd64", "python 3.11.2", {"debian_packages": packages, "python_packages": []}
    )

    assert text == lock.text(
        "python", "1.0.0", "ubuntu-amd64", "python 3.11.2", {"debian_packages": packages[::-1], "python_packages": []}
    )
    assert yaml.safe_load(text) == {
        "metadata": {"runtime": "python", "version": "1.0.0", "platform": "ubuntu-amd64", "language": "python 3.11.2"},
        "debian_packages": [
            {"name": "a", "version": "1.10"},
            {"name": "b", "version": "2", "architecture": "amd64", "hash": "sha256:1"},
        ],
        "python_packages": [],
    }


def test_what_was_written_is_read_again_for_a_build_that_begins_with_the_runtime(tmp_path):
    groups = {
        "debian_packages": (Package("bash", "5.2", "sha256:aa", "amd64"), Package("libc6", "2.36", "", "amd64")),
        "python_packages": (),
        "node_packages": (Package("@types/node", "20.0.0", "sha512-x"),),
    }
    (tmp_path / "versions.lock").write_text(lock.text("a", "1.0.0", "debian-amd64", "", groups))

    assert lock.of_base(tmp_path) == {name: packages for name, packages in groups.items() if packages}


@pytest.mark.parametrize(
    "text", ["", "\xff", "a:\n  - [1]\n  - {", 'a:\n  - {"name": 1}\n  - {"version": "1"}\n', "- a: b\n"]
)
def test_a_lock_of_another_form_says_nothing(tmp_path, text):
    (tmp_path / "versions.lock").write_bytes(text.encode("latin-1"))

    assert lock.of_base(tmp_path) == {}
    assert lock.of_base(tmp_path / "nowhere") == {}


def test_hashes_that_nobody_said_are_those_of_the_same_version_before():
    before = (Package("Some_Thing", "1.0", "sha256:aa"), Package("other", "1.0", "sha256:bb"))
    now = (Package("some-thing", "1.0"), Package("other", "2.0"), Package("new", "1.0", "sha256:cc"))

    assert [each.sha256 for each in lock.with_hashes(now, before)] == ["sha256:aa", "", "sha256:cc"]
