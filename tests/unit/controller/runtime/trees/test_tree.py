"""Finding runtimes on disk, in every layout and every state."""

import os
from pathlib import Path

import pytest

from controller.engine.errors import TransientError
from controller.runtime.trees import tree
from controller.runtime.trees.tree import InstalledRuntime
from support.registry_fixtures import a_tree


def found(root: Path) -> list[tuple[str, str | None, bool]]:
    return [(runtime.name, runtime.version, runtime.is_valid) for runtime in tree.scan(root)]


def only(root: Path) -> InstalledRuntime:
    (runtime,) = tree.scan(root)
    return runtime


def test_no_root_means_no_runtimes(tmp_path: Path):
    assert tree.scan(tmp_path / "missing") == ()


def test_a_root_that_is_no_directory_is_an_error_that_says_so(tmp_path: Path):
    (tmp_path / "root").write_text("")

    with pytest.raises(TransientError, match="cannot read the runtime root") as caught:
        tree.scan(tmp_path / "root")
    assert caught.value.reason == "RuntimeRootUnavailable"


def test_all_four_layouts_are_read_from_one_root(tmp_path: Path):
    a_tree(tmp_path / "python" / "python-3.11-ml", "python-3.11-ml")
    a_tree(tmp_path / "python" / "python-3.12-2.0.0", "python-3.12")
    a_tree(tmp_path / "openjdk-21", "openjdk-21")
    a_tree(tmp_path / "python-3.11-1.3.4", "python-3.11")
    a_tree(tmp_path / "python-3.11-ml-1.3.2", "python-3.11-ml")
    a_tree(tmp_path / "node-18" / "1.3.1", "node-18")
    a_tree(tmp_path / "node-18" / "1.10.0-rc.1", "node-18")

    assert found(tmp_path) == [
        ("node-18", "1.3.1", True),
        ("node-18", "1.10.0-rc.1", True),
        ("openjdk-21", None, True),
        ("python-3.11", "1.3.4", True),
        ("python-3.11-ml", None, True),
        ("python-3.11-ml", "1.3.2", True),
        ("python-3.12", "2.0.0", True),
    ]


def test_the_manifests_version_is_kept_and_is_not_the_packages(tmp_path: Path):
    a_tree(tmp_path / "python-3.11-1.3.4", "python-3.11")

    runtime = only(tmp_path)
    assert runtime.version == "1.3.4"
    assert runtime.manifest is not None
    assert runtime.manifest.version == "3.10"
    assert runtime.spec == "python-3.11@1.3.4"


def test_a_name_that_looks_like_a_version_is_the_manifests_to_tell(tmp_path: Path):
    a_tree(tmp_path / "python-3.11.2", "python-3.11.2")
    a_tree(tmp_path / "node-18.0.1", "node")

    assert found(tmp_path) == [("node", "18.0.1", True), ("python-3.11.2", None, True)]


def test_a_name_other_than_the_directorys_makes_it_invalid(tmp_path: Path):
    a_tree(tmp_path / "python-3.11-ml-1.3.2", "python-3.11")
    a_tree(tmp_path / "node-18" / "1.0.0", "node-20")

    first, second = tree.scan(tmp_path)
    assert (first.name, first.version) == ("node-18", "1.0.0")
    assert "make them agree" in first.problems[0]
    assert (second.name, second.version) == ("python-3.11-ml", "1.3.2")
    assert "make them agree" in second.problems[0]


@pytest.mark.parametrize("name", ["Python-3.11", "python_3", "a..b"])
def test_a_name_that_no_spec_can_ask_for_makes_it_invalid(tmp_path: Path, name: str):
    a_tree(tmp_path / name, name)

    assert "is not a name" in only(tmp_path).problems[0]


def test_broken_yaml_is_listed_with_line_and_column(tmp_path: Path):
    a_tree(tmp_path / "python-3.11-1.0.0", "python-3.11", more="environment: [1]\n")

    runtime = only(tmp_path)
    assert runtime.manifest is None
    assert runtime.problems == ("runtime.yml:5:14: environment must be a mapping",)


def test_an_empty_directory_is_listed_and_says_why(tmp_path: Path):
    (tmp_path / "python-3.11-ml").mkdir()

    assert "no runtime.yml in it" in only(tmp_path).problems[0]


def test_an_empty_directory_beside_runtimes_of_its_language_is_listed(tmp_path: Path):
    a_tree(tmp_path / "python" / "python-3.11", "python-3.11")
    (tmp_path / "python" / "python-3.11-ml").mkdir()

    assert found(tmp_path) == [("python-3.11", None, True), ("python-3.11-ml", None, False)]


def test_our_own_directories_and_files_are_no_runtimes(tmp_path: Path):
    a_tree(tmp_path / ".staging" / "python-3.11-1.0.0", "python-3.11")
    (tmp_path / ".runwright").mkdir()
    (tmp_path / "README").write_text("")

    assert tree.scan(tmp_path) == ()


def test_a_missing_source_of_a_mount_makes_it_invalid(tmp_path: Path):
    a_tree(tmp_path / "a", "a", more="- {source: x, target: /x}\n".replace("- ", "  - "))

    assert only(tmp_path).problems == ("cannot mount x at /x: it is not in the tree",)


@pytest.mark.parametrize("target", ["/etc", "../../..", "../outside"])
def test_a_source_that_links_out_of_the_tree_makes_it_invalid(tmp_path: Path, target: str):
    (tmp_path / "outside").mkdir()
    root = tmp_path / "root"
    path = a_tree(root / "a", "a", more="  - {source: out, target: /x}\n")
    (path / "out").symlink_to(target)

    assert only(root).problems == ("cannot mount out at /x: it leads out of the tree of the runtime",)


def test_a_selected_entry_that_is_missing_is_a_warning(tmp_path: Path):
    more = "  - {source: isolated/bin, target: /usr/bin, selective: [python, python3, pip]}\n"
    path = a_tree(tmp_path / "a", "a", more=more)
    (path / "isolated" / "bin" / "python").symlink_to("python3")

    runtime = only(tmp_path)
    assert runtime.is_valid
    assert runtime.warnings == ("cannot show pip of isolated/bin at /usr/bin: it is not in the tree",)


def test_a_symbolic_link_in_the_root_is_listed_not_followed(tmp_path: Path):
    a_tree(tmp_path / "elsewhere" / "a", "a")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "elsewhere" / "a")

    assert "symbolic link" in only(tmp_path / "root").problems[0]


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_a_manifest_that_is_no_file_is_not_read(tmp_path: Path, kind: str):
    path = a_tree(tmp_path / "a", "a")
    manifest = path / "runtime.yml"
    manifest.rename(tmp_path / "kept")
    match kind:
        case "link":
            manifest.symlink_to(tmp_path / "kept")
        case "pipe":
            os.mkfifo(manifest)
        case _:
            manifest.mkdir()

    assert only(tmp_path).problems[0].startswith("cannot read runtime.yml: ")


def test_binary_junk_in_the_root_makes_no_scan_fail(tmp_path: Path):
    os.mkdir(os.fsencode(tmp_path) + b"/\xff\xfe-1.0.0")
    path = tmp_path / "junk-1.0.0"
    path.mkdir()
    (path / "runtime.yml").write_bytes(bytes(range(256)))
    a_tree(tmp_path / "good", "good")

    assert sorted(runtime.is_valid for runtime in tree.scan(tmp_path)) == [False, False, True]
