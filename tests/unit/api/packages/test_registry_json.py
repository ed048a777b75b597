"""A registry on disk: immutable, whole at every moment, and one writer at a time."""

import base64
import json
import multiprocessing
import os
import re
from pathlib import Path

import pytest

from api.packages import packing, registry_json, signing
from api.packages.findings import Refused
from api.packages.packing import Packed
from api.packages.registry_json import Published
from controller.registry import catalogue
from support.packages import a_recipe, a_tree

NOW = "2026-01-01T00:00:00Z"


def packed_tree(directory: Path, version: str = "1.0.0", more: str = "") -> Packed:
    return packing.pack_directory(a_tree(directory, version=version, more=more), directory)


def publish(registry: Path, packed: Packed, **options) -> Published:
    return registry_json.publish(registry, packed, NOW, **options)


def document(registry: Path) -> dict:
    return json.loads((registry / "registry.json").read_text())


def test_a_new_registry_is_one_that_daemons_read(tmp_path):
    packed = packed_tree(tmp_path)
    published = publish(tmp_path / "r", packed)

    assert published == Published(tmp_path / "r/tool-1.0.0.tar.gz", is_new=True)
    read = catalogue.parse((tmp_path / "r/registry.json").read_bytes())
    assert read.problems == ()
    assert read.updated_at == NOW
    entry = read.entries["tool"]["1.0.0"]
    assert (entry.sha256, entry.size_bytes) == (packed.sha256, packed.size_bytes)
    assert entry.download_url == "tool-1.0.0.tar.gz"
    assert published.archive.read_bytes() == packed.path.read_bytes()


def test_versions_lie_in_their_order(tmp_path):
    for version in ("1.9.0", "1.10.0", "1.9.0-rc.1", "0.1.0"):
        publish(tmp_path / "r", packed_tree(tmp_path, version))

    assert list(document(tmp_path / "r")["runtimes"]["tool"]) == ["0.1.0", "1.9.0-rc.1", "1.9.0", "1.10.0"]


def test_the_same_again_changes_nothing(tmp_path):
    publish(tmp_path / "r", packed_tree(tmp_path))
    before = (tmp_path / "r/registry.json").read_bytes()

    again = packing.read_archive(tmp_path / "tool-1.0.0.tar.gz")
    assert registry_json.publish(tmp_path / "r", again, "2027-01-01T00:00:00Z").is_new is False
    assert (tmp_path / "r/registry.json").read_bytes() == before


def test_a_published_version_never_changes(tmp_path):
    publish(tmp_path / "r", packed_tree(tmp_path))
    before = {file.name: file.read_bytes() for file in (tmp_path / "r").iterdir()}

    with pytest.raises(Refused, match=r"tool@1.0.0 .* is there with another checksum, .*give this one, .*, a higher"):
        publish(tmp_path / "r", packed_tree(tmp_path / "b", more="type: static\n"))
    assert {file.name: file.read_bytes() for file in (tmp_path / "r").iterdir()} == before


def test_what_others_wrote_into_it_stays(tmp_path):
    (tmp_path / "r").mkdir()
    entry = {"version": "1.0.0", "checksum": "ab", "extra": [1]}
    written = {"_comment": "x", "version": "1", "runtimes": {"zz": {"1.0.0": entry}}, "more": {"a": "ü"}}
    (tmp_path / "r/registry.json").write_text(json.dumps(written))
    publish(tmp_path / "r", packed_tree(tmp_path))

    now = document(tmp_path / "r")
    assert (now["_comment"], now["more"], now["runtimes"]["zz"]["1.0.0"]) == ("x", {"a": "ü"}, entry)
    assert list(now["runtimes"]) == ["tool", "zz"]


@pytest.mark.parametrize("text", ["{", "[]", '{"version": "2", "runtimes": {}}', '{"version": "1"}'])
def test_a_file_that_is_no_registry_is_left_alone(tmp_path, text):
    (tmp_path / "r").mkdir()
    (tmp_path / "r/registry.json").write_text(text)

    with pytest.raises(Refused, match=r"cannot read registry.json: "):
        publish(tmp_path / "r", packed_tree(tmp_path))
    assert (tmp_path / "r/registry.json").read_text() == text


def test_an_archive_that_was_lost_is_put_back(tmp_path):
    packed = packed_tree(tmp_path)
    publish(tmp_path / "r", packed).archive.unlink()

    assert publish(tmp_path / "r", packed).archive.read_bytes() == packed.path.read_bytes()


def test_what_a_killed_publisher_left_is_written_over(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r/tool-1.0.0.tar.gz").write_bytes(b"half")
    (tmp_path / "r/.registry.json.new").write_bytes(b"half")
    publish(tmp_path / "r", packed_tree(tmp_path))

    assert registry_json.check(tmp_path / "r/registry.json").errors == ()


def _publish_in_child(registry: Path, packed: Packed) -> None:
    publish(registry, packed)


def test_publishers_at_the_same_time_lose_nothing(tmp_path):
    packages = [packed_tree(tmp_path, f"1.{number}.0") for number in range(8)]
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_publish_in_child, args=(tmp_path / "r", packed)) for packed in packages]
    for child in children:
        child.start()
    for child in children:
        child.join(30)

    assert [child.exitcode for child in children] == [0] * 8
    assert len(document(tmp_path / "r")["runtimes"]["tool"]) == 8
    assert registry_json.check(tmp_path / "r/registry.json").errors == ()


def test_a_signed_registry_is_verified_with_its_key(tmp_path):
    public = signing.generate(tmp_path / "key")
    key = signing.private_key(tmp_path / "key")
    publish(tmp_path / "r", packed_tree(tmp_path), key=key)

    raw = base64.b64decode((tmp_path / "r/registry.json.sig").read_text())
    assert len(raw) == 64
    report = registry_json.check(tmp_path / "r/registry.json", signing.public_key(public))
    assert [str(finding) for finding in report.findings] == [
        "✓ Signature valid",
        "✓ Found 1 version(s) of 1 runtime(s)",
    ]


def test_a_registry_that_was_changed_after_signing_is_not_valid(tmp_path):
    public = signing.generate(tmp_path / "key")
    publish(tmp_path / "r", packed_tree(tmp_path), key=signing.private_key(tmp_path / "key"))
    with (tmp_path / "r/registry.json").open("a") as file:
        file.write("\n")

    (error,) = registry_json.check(tmp_path / "r/registry.json", signing.public_key(public)).errors
    assert error == "Signature invalid: the signature is not this key's over these bytes"


def test_a_registry_without_the_signature_that_is_asked_for_is_not_valid(tmp_path):
    public = signing.generate(tmp_path / "key")
    publish(tmp_path / "r", packed_tree(tmp_path))

    assert registry_json.check(tmp_path / "r/registry.json", signing.public_key(public)).errors == (
        "it is not signed: there is no registry.json.sig",
    )


def test_a_signed_registry_is_not_added_to_without_the_key(tmp_path):
    signing.generate(tmp_path / "key")
    publish(tmp_path / "r", packed_tree(tmp_path), key=signing.private_key(tmp_path / "key"))

    with pytest.raises(Refused, match="it is signed, and its readers would refuse it: say --sign KEY"):
        publish(tmp_path / "r", packed_tree(tmp_path, "1.1.0"))


def test_a_signature_that_a_killed_publisher_left_behind_is_made_good(tmp_path):
    public = signing.generate(tmp_path / "key")
    key = signing.private_key(tmp_path / "key")
    packed = packed_tree(tmp_path)
    publish(tmp_path / "r", packed, key=key)
    (tmp_path / "r/registry.json.sig").write_text("x")

    publish(tmp_path / "r", packed, key=key)
    assert registry_json.check(tmp_path / "r/registry.json", signing.public_key(public)).errors == ()


def test_a_reader_with_the_file_of_before_a_publish_finds_its_signature_afterwards(tmp_path):
    public = signing.public_key(signing.generate(tmp_path / "key"))
    key = signing.private_key(tmp_path / "key")
    publish(tmp_path / "r", packed_tree(tmp_path), key=key)
    before = (tmp_path / "r/registry.json").read_bytes()

    publish(tmp_path / "r", packed_tree(tmp_path, "1.1.0"), key=key)

    signature = (tmp_path / "r/registry.json.sig").read_text()
    for body in (before, (tmp_path / "r/registry.json").read_bytes()):
        signing.verify(body, signature, public)
    with pytest.raises(Refused, match="not this key's over these bytes"):
        signing.verify(before + b" ", signature, public)


def test_to_sign_a_registry_leaves_the_one_signature_of_what_it_is(tmp_path):
    signing.generate(tmp_path / "key")
    key = signing.private_key(tmp_path / "key")
    for version in ("1.0.0", "1.1.0"):
        publish(tmp_path / "r", packed_tree(tmp_path, version), key=key)

    path = registry_json.sign(tmp_path / "r", key)

    assert path.read_text() == f"{signing.sign((tmp_path / 'r/registry.json').read_bytes(), key)}\n"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"checksum": "sha1:ab"}, ".checksum: must be sha256:"),
        ({"download_url": "../out.tar.gz"}, ".download_url: ../out.tar.gz leads out"),
        ({"download_url": "a b"}, ".download_url: must be a URL"),
        ({"size": -1}, ".size: must be a number"),
        ({"size": True}, ".size: must be a number"),
        ({"platforms": "ubuntu-amd64"}, ".platforms: must be a list"),
        ({"version": "9.9.9"}, '.version: is "9.9.9", its key is "1.0.0"'),
        ({"size": 5}, "and 5 are promised"),
        ({"checksum": "sha256:" + "0" * 64}, "and not the one that is promised"),
        ({"download_url": "gone.tar.gz"}, "gone.tar.gz: No such file"),
    ],
)
def test_an_entry_that_daemons_would_not_take_is_told(tmp_path, changed, said):
    publish(tmp_path / "r", packed_tree(tmp_path))
    now = document(tmp_path / "r")
    now["runtimes"]["tool"]["1.0.0"] |= changed
    (tmp_path / "r/registry.json").write_text(json.dumps(now))

    errors = registry_json.check(tmp_path / "r/registry.json").errors
    assert any(said in error for error in errors), errors


def test_whoever_can_read_a_key_can_use_it_so_others_may_not(tmp_path):
    signing.generate(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)

    with pytest.raises(Refused, match="others may read it: chmod 600"):
        signing.private_key(tmp_path / "key")


def test_a_key_is_never_written_over(tmp_path):
    signing.generate(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()

    with pytest.raises(Refused, match="it is there already, and a key is never written over"):
        signing.generate(tmp_path / "key")
    os.remove(tmp_path / "key")
    with pytest.raises(Refused, match=r"key.pub: it is there already"):
        signing.generate(tmp_path / "key")
    assert not (tmp_path / "key").exists()
    assert len(before) == 45


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "A" * 44])
def test_what_is_no_public_key_is_refused(text):
    with pytest.raises(Refused, match="must be the base64 of 32 bytes"):
        signing.public_key(text)


def test_a_recipe_is_published_for_its_platforms(tmp_path):
    publish(tmp_path / "r", packing.pack_directory(a_recipe(tmp_path), tmp_path))

    entry = document(tmp_path / "r")["runtimes"]["python-3.11-ml"]["1.3.2"]
    assert entry["platforms"] == ["ubuntu-amd64", "rhel-amd64"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", entry["checksum"])
