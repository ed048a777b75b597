"""versions.lock held against the tree that it is in: ours, and the ones that Joblet's packages came with."""

from pathlib import Path

import pytest

from controller.runtime import locked
from controller.runtime.build import lock
from controller.runtime.build.lock import Package

JOBLETS = """\
metadata: {runtime: python-3.11-ml, generated: 2025-12-02T17:41:41Z, build_platform: Linux-x86_64}
python_packages:
  - {name: argcomplete, version: "=3.6.3"}
  - name: cloud-init
    version: "=25.1.4"
system: {os: Linux, arch: x86_64}
build: {verified: true, reproducible: true}
"""


def a_tree(path: Path, text: str | None, **python: str) -> Path:
    packages = path / "isolated/usr/lib/python3/dist-packages"
    packages.mkdir(parents=True)
    for name, version in python.items():
        (packages / f"{name}-{version}.dist-info").mkdir()
        (packages / f"{name}-{version}.dist-info/METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    if text is not None:
        (path / lock.NAME).write_text(text)
    return path


def ours(**python: str) -> str:
    groups = {
        "debian_packages": (Package("libc6", "2.36", "sha256:ab", "amd64"),),
        "python_packages": tuple(Package(name, version) for name, version in python.items()),
        "node_packages": (),
    }
    return lock.text("a", "1.0.0", "ubuntu-amd64", "python 3.11", groups)


def test_a_tree_without_one_has_none(tmp_path):
    assert locked.read(a_tree(tmp_path, None, six="1")) is None


def test_a_lock_that_says_what_is_there_is_true(tmp_path):
    found = locked.read(a_tree(tmp_path, ours(Six="1", foo_bar="2"), six="1", **{"foo.bar": "2"}))

    assert found.wrong == ""
    assert found.of(locked.DEBIAN) == (Package("libc6", "2.36", "sha256:ab", "amd64"),)


@pytest.mark.invariant("I12")
def test_what_is_in_one_and_not_in_the_other_is_named(tmp_path):
    found = locked.read(a_tree(tmp_path, ours(a="1", b="1", c="1"), a="1", b="2", d="1"))

    assert found.wrong == (
        "versions.lock is not true: b 1 is not in the tree, c 1 is not in the tree, b 2 of the tree is not in it and 1 more"
    )


@pytest.mark.invariant("I12")
def test_the_lock_of_the_machine_that_packed_it_is_not_true(tmp_path):
    found = locked.read(a_tree(tmp_path, JOBLETS, numpy="1.26.4"))

    assert "argcomplete =3.6.3 is not in the tree, cloud-init =25.1.4 is not in the tree, numpy 1.26.4" in found.wrong


def test_a_group_that_is_not_in_it_is_not_held_against_the_tree(tmp_path):
    assert locked.read(a_tree(tmp_path, "java: {version: '17'}\n", six="1")).wrong == ""


@pytest.mark.parametrize(
    "text", ["- a", "{", "a: &a [*a]", "\x00", "text", "python_packages:\n  - {\n", "\ufffe\ud800", "x: " + "[" * 5000]
)
def test_what_cannot_be_read_is_not_true(tmp_path, text):
    (tmp_path / lock.NAME).write_bytes(text.encode(errors="surrogatepass"))

    assert locked.read(tmp_path).wrong.startswith("versions.lock cannot be read: ")


def test_a_link_is_not_read(tmp_path):
    (tmp_path / "elsewhere").write_text(ours())
    (tmp_path / lock.NAME).symlink_to("elsewhere")

    assert "cannot be read" in locked.read(tmp_path).wrong


def an_environment(tree: Path, name: str, version: str) -> None:
    info = tree / f"isolated/opt/venv/lib/python3.11/site-packages/{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")


def test_a_lock_may_name_what_lies_in_an_environment_or_not(tmp_path):
    for named in ({"numpy": "1.26", "six": "1"}, {"six": "1"}):
        tree = a_tree(tmp_path / f"{len(named)}", ours(**named), six="1")
        an_environment(tree, "numpy", "1.26")

        assert locked.read(tree).wrong == ""


@pytest.mark.invariant("I12")
def test_what_is_not_even_in_an_environment_is_named(tmp_path):
    tree = a_tree(tmp_path, ours(numpy="1.27"))
    an_environment(tree, "numpy", "1.26")

    assert locked.read(tree).wrong == "versions.lock is not true: numpy 1.27 is not in the tree"


@pytest.mark.invariant("I12")
def test_names_of_any_length_and_of_control_characters_are_told_short_and_printable(tmp_path):
    tree = a_tree(tmp_path, ours(), six="1")
    metadata = next(tree.rglob("METADATA"))
    metadata.write_text(f"Name: six\x1b[31m{'x' * 100_000}\nVersion: {'1' * 100_000}\n")

    wrong = locked.read(tree).wrong
    assert wrong.startswith("versions.lock is not true: six\N{REPLACEMENT CHARACTER}[31mxxx")
    assert (wrong.isprintable(), len(wrong) < 300) == (True, True)


@pytest.mark.invariant("I12")
def test_where_there_is_too_much_to_look_at_nobody_is_sure(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_MOST_DIRECTORIES", 3)
    found = locked.read(a_tree(tmp_path, ours(numpy="1")))

    assert (found.wrong, found.unsure) == (
        "", "nobody looked for all that its versions.lock names: it has more than 3 directories"
    )  # fmt: skip
