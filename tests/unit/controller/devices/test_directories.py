"""CDI directories as a host has them: read, read again, and what is wrong with a file told by its name."""

import os

import yaml

from controller.devices.directories import CdiDirectories
from support import cdi
from support.cdi import KIND, a_device, a_spec


def opened(*directories):
    return CdiDirectories([str(directory) for directory in directories])


def test_json_and_yaml_are_read_and_nothing_else(tmp_path):
    cdi.write(tmp_path, "a.json", a_spec(a_device("json")))
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(a_spec(a_device("yaml"), kind="b.com/x")))
    (tmp_path / "c.yml").write_text("- nonsense")
    (tmp_path / "d.json.bak").write_text("{")
    (tmp_path / "e.json").mkdir()

    inventory = opened(tmp_path).inventory()

    assert sorted(inventory.devices) == ["b.com/x=yaml", f"{KIND}=json"]
    assert inventory.problems == ()


def test_modes_in_yaml_may_be_octal(tmp_path):
    text = """
        cdiVersion: 0.5.0
        kind: v.com/d
        devices: [{name: a, containerEdits: {deviceNodes: [{path: /dev/a, fileMode: 0660}]}}]
    """
    (tmp_path / "a.yaml").write_text(text)

    assert opened(tmp_path).inventory().devices["v.com/d=a"].edits.nodes[0].file_mode == 0o660


def test_directories_that_are_not_there_declare_nothing(tmp_path):
    inventory = opened(tmp_path / "none").inventory()

    assert (dict(inventory.devices), inventory.problems) == ({}, ())
    assert inventory.directories == (str(tmp_path / "none"),)


def test_a_broken_file_is_named_and_disturbs_no_other(tmp_path):
    cdi.write(tmp_path, "good.json", a_spec(a_device("0")))
    (tmp_path / "cut.json").write_text('{"cdiVersion": "0.8.0"')
    (tmp_path / "odd.yaml").write_text("a: [")
    (tmp_path / "field.json").write_text('{"cdiVersion": "0.8.0", "kind": "x"}')
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    (tmp_path / "dangling.json").symlink_to("nowhere")

    inventory = opened(tmp_path).inventory()

    assert list(inventory.devices) == [f"{KIND}=0"]
    starts = [problem.split(": ")[:2] for problem in inventory.problems]
    assert [start[0] for start in starts] == [
        f"cannot use {tmp_path}/{name}" for name in ("bytes.json", "cut.json", "field.json", "odd.yaml")
    ]
    assert [start[1] for start in starts] == ["it is no JSON", "it is no JSON", "kind", "it is no YAML"]


def test_what_others_may_write_is_not_used(tmp_path):
    cdi.write(tmp_path / "a", "open.json", a_spec(a_device("0"))).chmod(0o666)
    cdi.write(tmp_path / "b", "good.json", a_spec(a_device("1")))
    (tmp_path / "b").chmod(0o777)

    inventory = opened(tmp_path / "a", tmp_path / "b").inventory()

    fix = "others than root may write it: chown root and chmod go-w"
    assert inventory.problems == (
        f"cannot use {tmp_path}/b: {fix}",
        f"cannot use {tmp_path}/a/open.json: {fix}",
    )
    assert not inventory.devices


def test_a_change_is_seen_and_a_look_without_one_reads_nothing(tmp_path):
    path = cdi.write(tmp_path, "a.json", a_spec(a_device("0")))
    directories = opened(tmp_path)
    first = directories.inventory()
    assert directories.inventory() is first

    cdi.write(tmp_path, "a.json", a_spec(a_device("1")))
    assert list(directories.inventory().devices) == [f"{KIND}=1"]

    os.unlink(path)
    assert not directories.inventory().devices
