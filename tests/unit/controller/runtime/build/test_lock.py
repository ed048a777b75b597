"""versions.lock says what is in the tree."""

import json
import os
from pathlib import Path

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


def test_hashes_that_nobody_said_are_those_of_the_same_version_before():
    before = (Package("Some_Thing", "1.0", "sha256:aa"), Package("other", "1.0", "sha256:bb"))
    now = (Package("some-thing", "1.0"), Package("other", "2.0"), Package("new", "1.0", "sha256:cc"))

    assert [each.sha256 for each in lock.with_hashes(now, before)] == ["sha256:aa", "", "sha256:cc"]


class TestEverywhere:
    def test_packages_of_environments_are_found_wherever_they_lie(self, tmp_path):
        a_dist(tmp_path, "numpy", "1.26", "opt/venv/lib/python3.11/site-packages")
        a_dist(tmp_path, "conda", "24.1", "opt/conda/lib/python3.12/site-packages")
        for path in ("ms", "@types/node", "ms/node_modules/deep"):
            directory = tmp_path / "srv/app/node_modules" / path
            directory.mkdir(parents=True)
            (directory / "package.json").write_text(
                json.dumps({"name": path.removeprefix("ms/node_modules/"), "version": "1"})
            )

        assert lock.everywhere(tmp_path) == (
            (Package("conda", "24.1"), Package("numpy", "1.26")),
            (Package("@types/node", "1"), Package("deep", "1"), Package("ms", "1")),
        )

    def test_a_package_json_elsewhere_is_of_nothing_that_was_installed_and_links_are_not_read(self, tmp_path):
        (tmp_path / "srv/node_modules/linked").mkdir(parents=True)
        (tmp_path / "srv/package.json").write_text('{"name": "app", "version": "1"}')
        (tmp_path / "srv/node_modules/linked/package.json").symlink_to("../../package.json")
        (tmp_path / "srv/node_modules/away").symlink_to("/etc")

        assert lock.everywhere(tmp_path) == ((), ())

    def test_what_is_deeper_than_a_path_can_be_is_passed_over(self, tmp_path):
        a_dist(tmp_path, "six", "1", "opt")
        here = os.open(tmp_path, os.O_RDONLY)
        try:
            for _ in range(30):
                os.mkdir("d" * 200, dir_fd=here)
                below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
                os.close(here)
                here = below
        finally:
            os.close(here)

        assert lock.everywhere(tmp_path) == ((Package("six", "1"),), ())


def test_names_and_versions_are_read_no_longer_than_any_is(tmp_path):
    a_dist(tmp_path, "x", "1")
    metadata = next(tmp_path.rglob("METADATA"))
    metadata.write_text(f"Name: {'n' * 100_000}\nVersion: {'1' * 100_000}\n")
    a_node_package(tmp_path, "y", "m" * 100_000, "2" * 100_000)

    (python,), (node,) = lock.python_packages(tmp_path, {}), lock.node_packages(tmp_path, {})
    assert {len(text) for each in (python, node) for text in (each.name, each.version)} == {1000}
