"""What a versions.lock names, whoever wrote it."""

import pytest

from controller.runtime.build import lock, lock_reading
from controller.runtime.build.lock import Package

GROUPS = {
    "debian_packages": (Package("bash", "5.2", "sha256:aa", "amd64"), Package("libc6", "2.36", "", "amd64")),
    "python_packages": (),
    "node_packages": (Package("@types/node", "20.0.0", "sha512-x"),),
}
PLAIN = """\
metadata: {runtime: a}
debian_packages:
  - name: bash
    version: "5.2"
    hash: sha256:aa
    architecture: amd64
  - {name: libc6, version: "2.36", architecture: amd64}
python_packages: []
node_packages:
  - {name: "@types/node", version: 20.0.0, hash: sha512-x}
"""


@pytest.mark.parametrize("text", [lock.text("a", "1.0.0", "debian-amd64", "", GROUPS), PLAIN], ids=["ours", "plain"])
def test_a_build_that_begins_with_a_runtime_and_who_holds_it_against_the_tree_read_the_same(tmp_path, text):
    (tmp_path / "versions.lock").write_text(text)

    assert lock_reading.of_base(tmp_path) == lock_reading.parse(text.encode()) == GROUPS


@pytest.mark.parametrize("text", ["", "\xff", "a:\n  - [1]\n  - {", "- a: b\n", "a: " + "[" * 5000])
def test_a_lock_of_another_form_says_nothing_of_a_base(tmp_path, text):
    (tmp_path / "versions.lock").write_bytes(text.encode("latin-1"))

    assert lock_reading.of_base(tmp_path) == {}
    assert lock_reading.of_base(tmp_path / "nowhere") == {}


def test_a_package_without_a_name_is_none_that_a_base_could_hand_on(tmp_path):
    (tmp_path / "versions.lock").write_text('a:\n  - {"version": "1"}\n')

    assert lock_reading.of_base(tmp_path) == {"a": ()}


def test_a_lock_of_ours_may_be_longer_than_yaml_of_others():
    many = {"python_packages": [Package(f"package{number}", "1.0") for number in range(8000)]}

    assert len(lock_reading.parse(lock.text("a", "1.0.0", "", "", many).encode())["python_packages"]) == 8000
