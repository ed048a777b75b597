"""Archives in every format: the same files give the same bytes, authors read them back, and hosts install them."""

import os
import zipfile
from pathlib import Path

import pytest

from api.packages import archives, listing, packing, registry_json, writing
from api.packages.archives import Format
from api.packages.findings import Refused
from api.packages.pack import Changed, Contents
from controller.runtime.trees import install
from support.packages import a_tree
from support.registry_fixtures import RegistryOnDisk, a_host
from support.tree_digests import digest_of

FORMATS = pytest.mark.parametrize("wanted", list(Format))


@FORMATS
def test_the_same_files_give_the_same_bytes_in_every_format(tmp_path, wanted):
    first, second = a_tree(tmp_path / "a"), a_tree(tmp_path / "b")
    os.utime(second / "runtime.yml", (1, 1))
    (second / "isolated/bin/tool").chmod(0o755)

    packed = [packing.pack_directory(tree, tree.parent, wanted=wanted) for tree in (first, second)]

    assert packed[0].path.name == f"tool-1.0.0.{wanted}"
    assert packed[0].path.read_bytes() == packed[1].path.read_bytes()
    assert packed[0].sha256 == packing.checksum(packed[0].path)[0]


@FORMATS
def test_an_author_reads_back_what_was_packed(tmp_path, wanted):
    packed = packing.pack_directory(a_tree(tmp_path), tmp_path, wanted=wanted)

    found, directory = listing.of_archive(packed.path), listing.of_directory(tmp_path / "tool-1.0.0")

    assert found.wrapper == "tool-1.0.0"
    assert {(e.path, e.kind, e.link) for e in found.entries if e.path} == {
        (e.path, e.kind, e.link) for e in directory.entries
    }
    assert {e.mode & 0o111 for e in found.entries if e.path == "isolated/bin/tool"} == {0o111}
    assert packing.read_archive(packed.path).identity == packed.identity


@FORMATS
def test_a_host_installs_the_same_tree_from_every_format(tmp_path, wanted):
    tree = a_tree(tmp_path)
    os.link(tree / "isolated/bin/tool", tree / "isolated/bin/again")
    packed = packing.pack_directory(tree, tmp_path, wanted=wanted)
    registry = RegistryOnDisk(tmp_path / "registry").add("tool", "1.0.0", packed.path.read_bytes())

    with a_host(tmp_path / "root") as host:
        done = install.install(registry.package("tool"), host)

    assert digest_of(done.path) == digest_of(tree)


@FORMATS
def test_an_archive_lies_in_its_registry_under_the_name_of_its_format(tmp_path, wanted):
    packed = packing.pack_directory(a_tree(tmp_path), tmp_path, wanted=wanted)

    published = registry_json.publish(tmp_path / "r", packed, "2026-01-01T00:00:00Z")

    assert published.archive == tmp_path / f"r/tool-1.0.0.{wanted}"
    assert registry_json.check(tmp_path / "r/registry.json").errors == ()


@FORMATS
def test_the_name_of_the_output_says_the_format(tmp_path, wanted):
    packed = packing.pack_directory(a_tree(tmp_path), tmp_path / f"x.{wanted}")

    with packed.path.open("rb") as file:
        head = file.read(4)
    assert head.startswith({"tar.gz": b"\x1f\x8b", "tar.xz": b"\xfd7zX", "tar.zst": b"\x28\xb5", "zip": b"PK"}[wanted])


@pytest.mark.parametrize(
    ("name", "wanted", "why"),
    [
        ("x.rar", None, "its name must end in .tar.gz, .tar.xz, .tar.zst, .zip: call it so"),
        ("x.tar.gz", Format.ZIP, "its name must end in .zip: call it so"),
    ],
)
def test_a_name_that_promises_another_format_is_refused(tmp_path, name, wanted, why):
    with pytest.raises(Refused, match=why):
        packing.pack_directory(a_tree(tmp_path), tmp_path / name, wanted=wanted)


@FORMATS
@pytest.mark.parametrize("cut", [5, 60, -9])
def test_what_is_no_whole_archive_is_refused_in_every_format(tmp_path, wanted, cut):
    packed = packing.pack_directory(a_tree(tmp_path), tmp_path, wanted=wanted)
    packed.path.write_bytes(packed.path.read_bytes()[:cut])

    with pytest.raises(Refused, match=rf"tool-1.0.0.{wanted}: it is no whole .{wanted}"):
        packing.read_archive(packed.path)


@FORMATS
def test_a_byte_that_is_another_is_found_in_every_format(tmp_path, wanted):
    tree = a_tree(tmp_path)
    (tree / "isolated/bin/random").write_bytes(os.urandom(5000))
    packed = packing.pack_directory(tree, tmp_path, wanted=wanted)
    body = bytearray(packed.path.read_bytes())
    body[len(body) // 2] ^= 0xFF
    packed.path.write_bytes(body)

    with pytest.raises(Refused, match="it is no whole"):
        packing.read_archive(packed.path)


def test_a_zip_has_no_more_entries_than_hosts_take(tmp_path):
    contents = Contents({f"a/{number}": (b"", 0o644) for number in range(writing.MOST_IN_A_ZIP)})

    with pytest.raises(writing.TooMany, match="it has 65536 entries, and a zip may have 65535: pack it as a tar.zst"):
        writing.write(contents, tmp_path / "x.zip", Format.ZIP)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [b"caf\xe9", b"caf\xe9/a"])
def test_a_zip_of_a_name_that_is_not_utf8_is_refused_with_what_takes_it(tmp_path, name):
    tree = a_tree(tmp_path)
    named = tree / "isolated" / os.fsdecode(name)
    named.parent.mkdir(exist_ok=True)
    named.write_bytes(b"")

    with pytest.raises(Refused) as caught:
        packing.pack_directory(tree, tmp_path, wanted=Format.ZIP)

    assert str(caught.value).startswith(f"cannot pack {tree}: the name tool-1.0.0/isolated/caf\\xe9")
    assert str(caught.value).endswith(" is no UTF-8, as all in a zip is: pack it as a tar.zst")
    assert os.listdir(tmp_path) == ["tool-1.0.0"]
    assert packing.pack_directory(tree, tmp_path, wanted=Format.ZSTD).path.exists()


@FORMATS
def test_a_file_that_changes_meanwhile_leaves_nothing_in_any_format(tmp_path, wanted):
    growing = tmp_path / "growing"
    growing.write_bytes(b"a")
    contents = Contents({"growing": (Growing(growing), 0o644)})

    with pytest.raises(Changed, match=r"growing: it changed while it was read"):
        writing.write(contents, tmp_path / f"x.{wanted}", wanted)
    assert os.listdir(tmp_path) == ["growing"]


class Growing(type(Path())):
    """A file that grows between being looked at and being read."""

    def open(self, *args, **kwargs):
        with Path(self).open("ab") as file:
            file.write(b"more")
        return super().open(*args, **kwargs)


def test_a_zip_with_a_device_in_it_is_listed_as_what_it_is(tmp_path):
    info = zipfile.ZipInfo("dev/null")
    info.create_system, info.external_attr = 3, 0o020666 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, b"")

    ((member, head),) = archives.members(tmp_path / "x.zip", lambda _: 100)

    assert (member.ischr(), head) == (True, b"")
