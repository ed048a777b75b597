"""From devices to what a sandbox gets, and every reason for which one cannot have them."""

import stat

import pytest

from controller.devices import cdi
from controller.devices.errors import Unusable
from controller.devices.fitting import HostFile, fit
from controller.sandbox.spec import DeviceFile, DeviceNode
from support.cdi import KIND, a_device, a_node, a_spec

LIB = "/usr/lib64"


class Host:
    """A host's files as a table: what `stat` would say, and libraries by their names."""

    def __init__(self, **more):
        self.files = {
            "/dev/zero": HostFile(stat.S_IFCHR | 0o666, 1, 5),
            "/dev/gpu": HostFile(stat.S_IFCHR | 0o600, 195, 3),
            "/dev/disk": HostFile(stat.S_IFBLK | 0o660, 8, 1),
            "/etc/file": HostFile(stat.S_IFREG | 0o644),
            "/etc/directory": HostFile(stat.S_IFDIR | 0o755),
            f"{LIB}/libcuda.so.550.1": HostFile(stat.S_IFREG | 0o755),
            **more,
        }

    def look(self, path):
        return self.files.get(path)

    def soname(self, path):
        return "libcuda.so.1" if path.endswith("libcuda.so.550.1") else ""


def fitted(*devices, **common):
    spec = cdi.parse(a_spec(*devices, **common), "/etc/cdi/a.json")
    return fit(spec.devices, Host())


def refusal(*devices, **common):
    with pytest.raises(Unusable) as error:
        fitted(*devices, **common)
    return str(error.value).removeprefix(f"cannot use device {KIND}=0: ")


def node(**fields):
    return {"path": "/dev/x", "hostPath": "/dev/zero", **fields}


def nodes_of(*nodes):
    return fitted(a_device("0", *nodes)).devices.nodes


def test_a_node_is_as_the_hosts_where_the_spec_does_not_say():
    assert nodes_of({"path": "/dev/gpu"}) == (DeviceNode("/dev/gpu", "c", 195, 3, 0o600),)
    assert nodes_of({"path": "/dev/disk"}) == (DeviceNode("/dev/disk", "b", 8, 1, 0o660),)


def test_what_the_spec_says_of_a_node_holds():
    wanted = node(type="u", major=7, minor=8, fileMode=0o640, uid=5, gid=0)

    assert nodes_of(wanted) == (DeviceNode("/dev/x", "c", 7, 8, 0o640, 5, 0),)


@pytest.mark.parametrize(
    ("permissions", "mode"), [("r", 0o444), ("w", 0o222), ("rw", 0o666), ("rwm", 0o666), ("", 0o666), ("rm", 0o444)]
)
def test_a_nodes_mode_holds_what_is_permitted(permissions, mode):
    assert nodes_of(node(permissions=permissions))[0].mode == mode


def test_a_node_with_numbers_of_its_own_needs_none_on_the_host():
    assert nodes_of({"path": "/dev/y", "type": "c", "major": 1, "minor": 2}) == (
        DeviceNode("/dev/y", "c", 1, 2, 0o660),
    )


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"path": "/dev/none"}, "there is no /dev/none on this host: is its driver loaded?"),
        ({"path": "/srv/gpu", "hostPath": "/dev/gpu"}, "its node /srv/gpu is not below /dev"),
        (node(type="b"), "/dev/zero is of type c here, its spec says b"),
        (node(type="p"), "its node /dev/x is a pipe"),
        (node(hostPath="/etc/file"), "/etc/file is no device on this host"),
        (node(permissions="m"), "its spec lets no run open /dev/x (user 0, group 0, fileMode 0666)"),
        (node(fileMode=0o600, uid=5), "its spec lets no run open /dev/x (user 5, group 0, fileMode 0600)"),
        (node(fileMode=0o660, uid=5, gid=6), "its spec lets no run open /dev/x (user 5, group 6, fileMode 0660)"),
    ],
)
def test_a_node_that_no_run_could_have_refuses_its_device(wanted, why):
    assert refusal(a_device("0", wanted)) == why


def mount(host="/etc/file", inside="/opt/file", options=("ro", "nosuid", "nodev", "bind"), **fields):
    return {"hostPath": host, "containerPath": inside, "options": list(options), **fields}


def test_files_and_directories_are_shown_readonly():
    files = fitted(
        a_device("0"),
        mounts=[mount(), mount("/etc/directory", "/opt/directory", ["rbind", "noexec"]), mount(inside="/a")],
    ).devices.files

    assert files == (
        DeviceFile("/etc/file", "/opt/file"),
        DeviceFile("/etc/directory", "/opt/directory", directory=True, no_exec=True),
        DeviceFile("/etc/file", "/a"),
    )


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (mount(host="/none"), "there is no /none on this host: make its spec anew, as after an update of the driver"),
        (mount(options=["rw"]), "/opt/file is to be mounted with rw: runs see files of devices read-only"),
        (mount(options=["size=1"]), "/opt/file is to be mounted with size=1: runs see files of devices read-only"),
        (mount(type="tmpfs"), "/opt/file is to be a mount of type tmpfs: only bind is known"),
        (mount(inside="/dev/shm/x"), "/dev/shm/x is to be mounted, which is the run's own"),
        (mount(inside="/work"), "/work is to be mounted, which is the run's own"),
        (mount(inside="/"), "/ is to be mounted, which is the run's own"),
    ],
)
def test_a_mount_that_no_run_could_have_refuses_its_device(wanted, why):
    assert refusal(a_device("0", mounts=[wanted])) == why


def hook(*words):
    return {"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": ["nvidia-cdi-hook", *words]}


def test_libraries_that_a_hook_makes_known_are_found_by_every_name_they_have():
    library = mount(f"{LIB}/libcuda.so.550.1", f"{LIB}/libcuda.so.550.1")

    found = fitted(
        a_device("0"),
        mounts=[
            library,
            mount(inside=f"{LIB}/readme"),
            mount(f"{LIB}/libcuda.so.550.1", "/elsewhere/libcuda.so.550.1"),
        ],
        hooks=[
            hook("update-ldcache", "--folder", LIB),
            hook("create-symlinks", "--link", f"libcuda.so.1::{LIB}/libcuda.so"),
        ],
    )

    assert found.devices.links == (
        (f"{LIB}/libcuda.so", "libcuda.so.1"),
        ("/run/devices/lib/libcuda.so.1", f"{LIB}/libcuda.so.550.1"),
        ("/run/devices/lib/libcuda.so.550.1", f"{LIB}/libcuda.so.550.1"),
    )
    assert found.env == {"LD_LIBRARY_PATH": "/run/devices/lib"}


def test_without_libraries_no_place_is_searched_for_them():
    assert "LD_LIBRARY_PATH" not in fitted(a_device("0"), hooks=[hook("update-ldcache", "--folder", LIB)]).env


def test_a_directory_of_nodes_has_the_mode_that_is_asked_for_or_refuses():
    inside = a_node("/dev/dri/card0")

    assert fitted(a_device("0", inside, hooks=[hook("chmod", "--mode", "755", "--path", "/dev/dri")])).devices.nodes
    why = "its hook makes {} {}: runs cannot have that"
    asked = [("/dev/dri", "777", "0777"), ("/etc", "755", "0755")]
    for path, mode, shown in asked:
        refused = refusal(a_device("0", inside, hooks=[hook("chmod", "--mode", mode, "--path", path)]))
        assert refused == why.format(path, shown)


def test_edits_of_the_spec_are_made_once_and_before_those_of_its_devices():
    one = a_device("0", a_node("/dev/a"), env=["WHO=0", "FIRST=0"])
    two = a_device("1", a_node("/dev/b", "/dev/gpu"), env=["WHO=1"])

    found = fitted(one, two, env=["WHO=all", "COMMON=1"], deviceNodes=[a_node("/dev/ctl")])

    assert [node.path for node in found.devices.nodes] == ["/dev/ctl", "/dev/a", "/dev/b"]
    assert found.env == {"WHO": "1", "FIRST": "0", "COMMON": "1"}


def test_devices_that_bring_the_same_node_bring_it_once_and_different_ones_are_refused():
    def pair(other):
        return a_device("0", a_node("/dev/ctl")), a_device("1", a_node("/dev/ctl", other), a_node("/dev/b"))

    assert [node.path for node in fitted(*pair("/dev/zero")).devices.nodes] == ["/dev/ctl", "/dev/b"]
    with pytest.raises(Unusable, match="two specs want different things at /dev/ctl"):
        fitted(*pair("/dev/gpu"))


def test_what_no_run_can_have_is_named():
    assert refusal(a_device("0", intelRdt={"closID": "x"})) == "its spec asks for intelRdt, which runs cannot have"
    assert fitted(a_device("0", additionalGids=[44])).devices.nodes
