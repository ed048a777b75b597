"""Each field of a CDI spec: what is read, and what is refused with its name."""

import copy

import pytest

from controller.devices import cdi
from controller.devices.cdi import VERSIONS, Device, DeviceNode, Edits, FileMount, Hook, InvalidCdi

FILE = "/etc/cdi/vendor.yaml"
WHOLE = {
    "cdiVersion": "0.8.0",
    "kind": "vendor.com/device",
    "annotations": {"a": "b"},
    "devices": [
        {
            "name": "dev0",
            "annotations": {"c": "d"},
            "containerEdits": {
                "env": ["VENDOR=0", "EMPTY="],
                "deviceNodes": [
                    {
                        "path": "/dev/card0",
                        "hostPath": "/dev/vendor/card0",
                        "type": "c",
                        "major": 25,
                        "minor": 26,
                        "fileMode": 384,
                        "permissions": "rw",
                        "uid": 1000,
                        "gid": 1001,
                    },
                    {"path": "/dev/card-render0"},
                ],
                "additionalGids": [44],
            },
        }
    ],
    "containerEdits": {
        "env": ["ALL=1"],
        "mounts": [
            {"hostPath": "/bin/vendor", "containerPath": "/usr/bin/vendor", "options": ["ro", "bind"], "type": "bind"},
        ],
        "hooks": [
            {"hookName": "createContainer", "path": "/bin/hook", "args": ["hook", "x"], "env": ["A=B"], "timeout": 5}
        ],
        "intelRdt": {"closID": "x"},
    },
}


def changed(path, value):
    """The whole spec with one member at `path` changed; removed if `value` is None."""
    spec = copy.deepcopy(WHOLE)
    *above, last = path
    place = spec
    for part in above:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return spec


def refusal(spec):
    with pytest.raises(InvalidCdi) as error:
        cdi.parse(spec, FILE)
    assert str(error.value).startswith(f"cannot use {FILE}: ")
    return str(error.value).removeprefix(f"cannot use {FILE}: ")


def test_a_whole_spec_is_read_field_by_field():
    common = Edits(
        env=(("ALL", "1"),),
        mounts=(FileMount("/bin/vendor", "/usr/bin/vendor", ("ro", "bind"), "bind"),),
        hooks=(Hook("createContainer", "/bin/hook", ("hook", "x")),),
        beyond=("intelRdt",),
    )
    nodes = (
        DeviceNode("/dev/card0", "/dev/vendor/card0", "c", 25, 26, 0o600, "rw", 1000, 1001),
        DeviceNode("/dev/card-render0", "/dev/card-render0"),
    )
    own = Edits(env=(("VENDOR", "0"), ("EMPTY", "")), nodes=nodes, additional_gids=(44,))

    spec = cdi.parse(WHOLE, FILE)

    assert spec.kind == "vendor.com/device"
    assert spec.devices == (Device("vendor.com/device", "dev0", own, common, FILE),)
    assert spec.devices[0].qualified == "vendor.com/device=dev0"


DEVICE = ("devices", 0)
NODE = (*DEVICE, "containerEdits", "deviceNodes", 0)
MOUNT = ("containerEdits", "mounts", 0)
HOOK = ("containerEdits", "hooks", 0)
AT_NODE = "devices[0].containerEdits.deviceNodes[0]"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("cdiVersion",), None, "cdiVersion: is required"),
        (("cdiVersion",), "0.2.0", f"cdiVersion: '0.2.0' is none of {', '.join(VERSIONS)}"),
        (("cdiVersion",), "9.0.0", f"cdiVersion: '9.0.0' is none of {', '.join(VERSIONS)}"),
        (("cdiVersion",), 0.8, "cdiVersion: 0.8 is no text"),
        (("kind",), None, "kind: is required"),
        (("kind",), "vendor", "kind: 'vendor' is not VENDOR/CLASS of letters, digits, '_', '-' and '.'"),
        (("kind",), "a/b/c", "kind: 'a/b/c' is not VENDOR/CLASS of letters, digits, '_', '-' and '.'"),
        (("kind",), "-a/b", "kind: '-a/b' is not VENDOR/CLASS of letters, digits, '_', '-' and '.'"),
        (("devices",), [], "devices: there is none"),
        (("devices",), {}, "devices: is no list"),
        (("devices",), ["x"], "devices[0]: is no object"),
        (("devices",), [None], "devices[0]: is no object"),
        ((*DEVICE, "name"), None, "devices[0].name: is required"),
        ((*DEVICE, "name"), "a/b", "devices[0].name: 'a/b' is not of letters, digits"),
        ((*DEVICE, "name"), "a=b", "devices[0].name: 'a=b' is not of letters, digits"),
        ((*DEVICE, "surprise"), 1, "devices[0].surprise: there is no such field"),
        (("surprise",), 1, "surprise: there is no such field"),
        ((*NODE, "path"), None, f"{AT_NODE}.path: is required"),
        ((*NODE, "path"), "dev/x", f"{AT_NODE}.path: 'dev/x' is not an absolute path without '..'"),
        ((*NODE, "path"), "/dev/../x", f"{AT_NODE}.path: '/dev/../x' is not an absolute path without '..'"),
        ((*NODE, "path"), "/dev/\0", f"{AT_NODE}.path: '/dev/\\x00' is no text"),
        ((*NODE, "type"), "x", f"{AT_NODE}.type: 'x' is none of b, c, u and p"),
        ((*NODE, "major"), "25", f"{AT_NODE}.major: '25' is no number from 0 to 4294967295"),
        ((*NODE, "major"), -1, f"{AT_NODE}.major: -1 is no number from 0 to 4294967295"),
        ((*NODE, "minor"), True, f"{AT_NODE}.minor: True is no number from 0 to 4294967295"),
        ((*NODE, "uid"), 65536, f"{AT_NODE}.uid: 65536 is no number from 0 to 65535"),
        ((*NODE, "permissions"), "rwx", f"{AT_NODE}.permissions: 'rwx' is not of the letters r, w and m"),
        ((*NODE, "mode"), 1, f"{AT_NODE}.mode: there is no such field"),
        (("containerEdits", "env"), ["x"], "containerEdits.env: 'x' is not NAME=VALUE"),
        (("containerEdits", "env"), ["=x"], "containerEdits.env: '=x' is not NAME=VALUE"),
        (("containerEdits", "env"), [1], "containerEdits.env: is no list of texts"),
        (("containerEdits", "env"), "A=B", "containerEdits.env: is no list"),
        (("containerEdits", "privileged"), True, "containerEdits.privileged: there is no such field"),
        (("containerEdits",), [], "containerEdits: is no object"),
        ((*MOUNT, "hostPath"), None, "containerEdits.mounts[0].hostPath: is required"),
        ((*MOUNT, "containerPath"), "usr", "containerEdits.mounts[0].containerPath: 'usr' is not an absolute path"),
        ((*MOUNT, "options"), "ro", "containerEdits.mounts[0].options: is no list"),
        ((*HOOK, "hookName"), None, "containerEdits.hooks[0].hookName: is required"),
        ((*HOOK, "path"), "hook", "containerEdits.hooks[0].path: 'hook' is not an absolute path without '..'"),
        ((*HOOK, "timeout"), "x", "containerEdits.hooks[0].timeout: 'x' is no number from 0 to 4294967295"),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_its_name(path, value, message):
    assert refusal(changed(path, value)).startswith(message)


@pytest.mark.parametrize(
    ("path", "value", "version", "needed"),
    [
        ((*MOUNT, "type"), "bind", "0.3.0", "containerEdits.mounts[0].type: the field needs cdiVersion 0.4.0"),
        ((*NODE, "hostPath"), "/dev/x", "0.4.0", f"{AT_NODE}.hostPath: the field needs cdiVersion 0.5.0"),
        ((*DEVICE, "name"), "0", "0.4.0", "devices[0].name: a name that begins with a digit needs cdiVersion 0.5.0"),
        (("annotations",), {"a": "b"}, "0.5.0", "annotations: the field needs cdiVersion 0.6.0"),
        (("kind",), "vendor.com/a.b", "0.5.0", "kind: a class with a dot needs cdiVersion 0.6.0"),
        (
            ("containerEdits", "intelRdt"),
            {"closID": "x"},
            "0.6.0",
            "containerEdits.intelRdt: the field needs cdiVersion",
        ),
        (
            ("containerEdits", "additionalGids"),
            [4],
            "0.6.0",
            "containerEdits.additionalGids: the field needs cdiVersion",
        ),
        (
            ("containerEdits", "netDevices"),
            [{}],
            "1.0.0",
            "containerEdits.netDevices: the field needs cdiVersion 1.1.0",
        ),
    ],
)
def test_a_field_newer_than_the_specs_version_is_refused(path, value, version, needed):
    bare = {
        "cdiVersion": version,
        "kind": "vendor.com/device",
        "devices": [{"name": "dev0", "containerEdits": {"deviceNodes": [{"path": "/dev/x"}]}}],
        "containerEdits": {"mounts": [{"hostPath": "/a", "containerPath": "/b"}]},
    }
    *above, last = path
    place = bare
    for part in above:
        place = place[part]
    place[last] = value

    assert refusal(bare).startswith(needed)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plain_spec_of_every_known_version_is_read(version):
    plain = {"cdiVersion": version, "kind": "v.com/d", "devices": [{"name": "a", "containerEdits": {"env": ["A=1"]}}]}

    assert [device.name for device in cdi.parse(plain, FILE).devices] == ["a"]


@pytest.mark.parametrize("document", [None, [], "text", 1, {1: 2}])
def test_what_is_no_object_is_refused(document):
    assert refusal(document) == "the document: is no object"


def test_a_device_that_is_there_twice_is_refused():
    device = WHOLE["devices"][0]

    assert refusal({**WHOLE, "devices": [device, device]}) == "devices: 'dev0' is there twice"
