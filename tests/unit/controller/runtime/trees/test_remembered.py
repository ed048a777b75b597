"""What is remembered of the content of versions, when trees are made again and go."""

import json
from dataclasses import replace

import pytest

from controller.runtime.trees import install, origin, remembered
from controller.runtime.trees.origin import Origin
from controller.runtime.trees.remembered import Remembered
from support.registry_fixtures import RegistryOnDisk, a_file, a_host, a_package

FIRST = Origin("a", "1.0.0", "", "", "", 0, 0, 0, "2026-01-02T03:04:05Z", "build", "asked", "a" * 64)
SECOND = replace(FIRST, digest="b" * 64, installed_at="2026-02-02T03:04:05Z")
OTHER = replace(SECOND, fingerprint="asked for something else")


@pytest.fixture
def root(tmp_path):
    (tmp_path / origin.RECORDS).mkdir()
    return tmp_path


def kept(root) -> Remembered | None:
    return remembered.read(root, "a", "1.0.0")


def test_the_first_content_of_a_declaration_is_what_is_remembered(root):
    assert kept(root) is None
    for record in (FIRST, SECOND):
        remembered.keep(root, record)

    assert kept(root) == Remembered("build", "asked", "a" * 64, "2026-01-02T03:04:05Z")
    assert kept(root).differs(SECOND)
    assert not kept(root).differs(FIRST)


def test_what_is_made_of_something_else_is_not_compared_and_begins_anew(root):
    remembered.keep(root, FIRST)
    assert not kept(root).differs(OTHER)

    remembered.keep(root, OTHER)
    assert kept(root).digest == OTHER.digest
    assert not kept(root).differs(FIRST)


def test_what_is_accepted_is_what_the_version_is_to_hold(root):
    remembered.keep(root, FIRST)
    remembered.accept(root, "a", "1.0.0")
    remembered.accept(root, "a", "1.0.0")
    remembered.keep(root, SECOND)

    assert not kept(root).differs(SECOND)
    assert kept(root).differs(FIRST)


def test_a_record_without_a_digest_says_nothing(root):
    remembered.keep(root, replace(FIRST, digest=""))
    assert kept(root) is None
    remembered.keep(root, FIRST)
    assert not kept(root).differs(replace(FIRST, digest=""))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"kind": 1, "fingerprint": "", "digest": "", "since": ""}', "[" * 30_000, "x" * 70_000],
)
def test_what_cannot_be_read_is_not_known_and_is_written_anew(root, text):
    remembered.path_of(root, "a", "1.0.0").write_text(text)
    assert kept(root) is None

    remembered.keep(root, FIRST)
    assert kept(root).digest == FIRST.digest


class TestInstalling:
    def offer(self, tmp_path, content: str) -> install.TreeSource:
        more = a_file("isolated/etc/more", content.encode())
        return RegistryOnDisk(tmp_path / content).add("a", "1.0.0", a_package("a", "1.0.0", more)).package("a")

    def differs(self, host) -> bool:
        record = origin.read(host.root, "a", "1.0.0")
        before = kept(host.root)
        return before is not None and before.differs(record)

    @pytest.mark.invariant("I11")
    def test_a_registry_whose_version_is_another_tree_after_a_removal_is_noticed(self, tmp_path, host):
        install.install(self.offer(tmp_path, "one"), host)
        assert kept(host.root) is None
        assert install.remove(host.root, "a", "1.0.0")
        install.install(self.offer(tmp_path, "two"), host)

        assert self.differs(host)

    @pytest.mark.invariant("I11")
    def test_a_tree_that_is_made_again_is_held_against_the_first_one_not_the_last(self, tmp_path, host):
        for content, differs in (("one", False), ("two", True), ("three", True), ("one", False)):
            install.install(self.offer(tmp_path, content), host, force=True)
            assert self.differs(host) is differs, content

    def test_nothing_is_written_by_an_install_that_replaces_nothing(self, tmp_path, host):
        install.install(self.offer(tmp_path, "one"), host)

        assert not list((host.root / origin.RECORDS).glob("*.digest*"))

    def test_a_record_that_came_from_another_host_is_held_against_what_was_here(self, tmp_path, host):
        install.install(self.offer(tmp_path, "one"), host)
        install.remove(host.root, "a", "1.0.0")
        with a_host(tmp_path / "elsewhere") as other:
            install.install(self.offer(tmp_path, "two"), other)
        for path in ("a-1.0.0", ".runwright/a-1.0.0.json", ".runwright/a-1.0.0.files"):
            (tmp_path / "elsewhere" / path).rename(host.root / path)

        assert self.differs(host)


def test_the_file_is_plain_json_that_a_person_can_read(root):
    remembered.keep(root, FIRST)

    assert json.loads(remembered.path_of(root, "a", "1.0.0").read_text())["digest"] == "a" * 64
