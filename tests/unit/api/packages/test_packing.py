"""Packing: reproducible, whole, and nothing that an install would refuse."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from api.packages import pack, packing, writing
from api.packages.findings import Refused
from controller.runtime.build import builder  # noqa: F401  The builder shares pack.py: both import without each other.
from support.packages import a_recipe, a_tree, an_elf
from support.registry_fixtures import a_file, a_symlink, an_archive


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar}


def test_a_recipe_is_packed_below_its_name_as_released_ones_are(tmp_path):
    packed = packing.pack_directory(a_recipe(tmp_path), tmp_path)

    assert packed.path == tmp_path / "python-3.11-ml-1.3.2.tar.gz"
    assert sorted(members(packed.path)) == [
        "python-3.11-ml",
        "python-3.11-ml/manifest.yaml",
        "python-3.11-ml/setup-rhel-amd64.sh",
        "python-3.11-ml/setup-ubuntu-amd64.sh",
        "python-3.11-ml/setup.sh",
    ]
    assert packed.sha256 == hashlib.sha256(packed.path.read_bytes()).hexdigest()
    assert packed.size_bytes == packed.path.stat().st_size
    assert packed.identity.platforms == ("ubuntu-amd64", "rhel-amd64")


def test_a_tree_is_packed_below_its_name_and_version(tmp_path):
    packed = packing.pack_directory(a_tree(tmp_path), tmp_path)

    found = members(packed.path)
    assert set(found) == {
        f"tool-1.0.0{below}"
        for below in (
            "", "/runtime.yml", "/isolated", "/isolated/bin", "/isolated/bin/t", "/isolated/bin/tool", "/isolated/var",
            "/isolated/var/absolute", "/isolated/var/empty",
        )
    }  # fmt: skip
    assert {(m.uid, m.gid, m.mtime) for m in found.values()} == {(0, 0, 946684800)}
    assert {oct(m.mode) for m in found.values() if m.isfile()} == {"0o755", "0o644"}


def test_the_same_files_give_the_same_bytes_wherever_and_whenever(tmp_path):
    first, second = a_tree(tmp_path / "a"), a_tree(tmp_path / "b")
    os.utime(second / "runtime.yml", (1, 1))
    (second / "isolated/bin/tool").chmod(0o755)

    packed = [packing.pack_directory(tree, tree.parent) for tree in (first, second)]
    assert packed[0].path.read_bytes() == packed[1].path.read_bytes()


def test_files_of_one_inode_stay_hard_links(tmp_path):
    tree = a_tree(tmp_path)
    os.link(tree / "isolated/bin/tool", tree / "isolated/bin/again")

    packed = packing.pack_directory(tree, tmp_path)
    assert members(packed.path)["tool-1.0.0/isolated/bin/tool"].linkname == "tool-1.0.0/isolated/bin/again"
    assert packing.read_archive(packed.path).sha256 == packed.sha256


@pytest.mark.parametrize(("directory", "version"), [("tool-1.0.0", ""), ("tool-1.0.0", "1.0.0"), ("tool", "1.0.0")])
def test_the_version_of_a_tree_is_its_directorys_or_what_is_said(tmp_path, directory, version):
    tree = a_tree(tmp_path).rename(tmp_path / directory)
    packed = packing.pack_directory(tree, tmp_path, version=version)

    assert packed.identity.version == "1.0.0"
    assert packing.read_archive(packed.path).identity == packed.identity


def test_a_version_that_differs_from_what_the_files_say_is_refused_with_both(tmp_path):
    tree = a_tree(tmp_path)
    with pytest.raises(Refused) as caught:
        packing.pack_directory(tree, tmp_path, version="2.0.0")
    assert str(caught.value) == (
        "cannot use tool-1.0.0 as tool@2.0.0: the name of its directory, tool-1.0.0, says 1.0.0: "
        "change it, or leave --version out"
    )
    packed = packing.pack_directory(tree, tmp_path)
    with pytest.raises(Refused, match=r"as tool@2\.0\.0: .* says 1\.0\.0"):
        packing.read_archive(packed.path, "2.0.0")
    with pytest.raises(Refused, match=r"as python-3\.11-ml@2\.0\.0: manifest\.yaml says 1\.3\.2"):
        packing.pack_directory(a_recipe(tmp_path), tmp_path, version="2.0.0")


def test_runtime_yml_says_a_version_unless_it_is_its_languages(tmp_path):
    tree = a_tree(tmp_path).rename(tmp_path / "tool")
    text = (tree / "runtime.yml").read_text().replace("3.11", "3.11.2")
    (tree / "runtime.yml").write_text(text)
    with pytest.raises(Refused, match=r"as tool@2\.0\.0: runtime\.yml says 3\.11\.2"):
        packing.pack_directory(tree, tmp_path, version="2.0.0")

    (tree / "runtime.yml").write_text(f"language: python\n{text}")
    assert packing.pack_directory(tree, tmp_path, version="2.0.0").identity.version == "2.0.0"


def test_a_tree_whose_version_nothing_tells_is_refused_with_what_to_do(tmp_path):
    tree = a_tree(tmp_path).rename(tmp_path / "tool")

    with pytest.raises(Refused, match=r"cannot tell the version of tool: .*: say --version X.Y.Z"):
        packing.pack_directory(tree, tmp_path)


def test_a_tree_runs_on_the_architecture_of_its_programs(tmp_path):
    tree = a_tree(tmp_path)
    (tree / "isolated/bin/program").write_bytes(an_elf(183))

    packed = packing.pack_directory(tree, tmp_path)
    assert packed.identity.platforms == ("ubuntu-arm64", "rhel-arm64", "amzn-arm64")


def test_what_an_install_would_refuse_is_not_packed(tmp_path):
    tree = a_tree(tmp_path)
    os.symlink("../../../etc/passwd", tree / "out")

    with pytest.raises(Refused, match=r"cannot pack .*: the link out -> .* leads out of the tree"):
        packing.pack_directory(tree, tmp_path)
    assert list(tmp_path.glob("*.gz")) == []


def test_the_archive_may_not_lie_in_what_it_holds(tmp_path):
    tree = a_tree(tmp_path)

    with pytest.raises(Refused, match="would lie in what it holds"):
        packing.pack_directory(tree, tree / "x.tar.gz")


def test_a_file_that_changes_meanwhile_leaves_nothing(tmp_path):
    growing = tmp_path / "growing"
    growing.write_bytes(b"a")
    contents = pack.Contents()
    contents.add("growing", Growing(growing))

    with pytest.raises(pack.Changed, match=r"growing: it changed while it was read"):
        writing.write(contents, tmp_path / "x.tar.gz")
    assert os.listdir(tmp_path) == ["growing"]


class Growing(type(Path())):
    """A file that grows between being looked at and being read."""

    def open(self, *args, **kwargs):
        with Path(self).open("ab") as file:
            file.write(b"more")
        return super().open(*args, **kwargs)


def test_an_archive_by_another_hand_is_read(tmp_path):
    path = tmp_path / "tool-1.2.0.tar.gz"
    path.write_bytes(
        an_archive(a_file("runtime.yml", b"name: tool\nmounts: [{source: bin, target: /bin}]\n"), a_file("bin/x"))
    )

    assert str(packing.read_archive(path).identity) == "tool@1.2.0"


@pytest.mark.parametrize(
    ("name", "why"),
    [("/etc/x", "the name is absolute"), ("../x", "the name leads out"), ("a/../../x", "the name leads out")],
)
def test_an_archive_with_a_name_out_of_it_is_refused(tmp_path, name, why):
    path = tmp_path / "tool-1.2.0.tar.gz"
    manifest = a_file("runtime.yml", b"name: tool\nmounts: [{source: bin, target: /bin}]\n")
    path.write_bytes(an_archive(manifest, a_file("bin/x"), a_file(name)))

    with pytest.raises(Refused, match=why):
        packing.read_archive(path)


def test_an_archive_with_one_file_twice_is_refused(tmp_path):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(an_archive(a_file("setup.sh", b"#!"), a_file("setup.sh", b"#!"), a_symlink("l", "setup.sh")))

    with pytest.raises(Refused, match="cannot use .*"):
        packing.read_archive(path)


@pytest.mark.parametrize("cut", [0, 40, -20])
def test_what_is_no_whole_archive_is_refused(tmp_path, cut):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(an_archive(a_file("runtime.yml", os.urandom(4000)))[:cut] if cut else b"not an archive at all")

    with pytest.raises(Refused, match=r"cannot read .*x.tar.gz: it is no whole .tar.gz"):
        packing.read_archive(path)


def test_every_entry_of_an_archive_is_counted_though_a_reader_stops_early(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("dir/fifo")
        info.type = tarfile.FIFOTYPE
        tar.addfile(info)
    path = tmp_path / "x.tar.gz"
    path.write_bytes(buffer.getvalue())

    with pytest.raises(Refused, match=r"no runtime.yml or setup.sh found"):
        packing.read_archive(path)
