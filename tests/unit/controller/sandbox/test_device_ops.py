"""What a run's devices compile to, and what is refused before any is made."""

from dataclasses import replace

import pytest

from controller.linux.mount_api import MountAttribute
from controller.sandbox.compile import compile_own, compile_shared
from controller.sandbox.errors import InvalidSpec
from controller.sandbox.ops import BindMount, GiveDevice, MakePlaces, SealRoot
from controller.sandbox.spec import DeviceFile, DeviceNode, Devices, HostIds, SandboxSpec

IDS = HostIds(100_000, 100_000)
NODE = DeviceNode("/dev/gpu0", "c", 195, 0, 0o660)
LIBRARY = DeviceFile("/usr/lib/libcuda.so.550", "/usr/lib/libcuda.so.550")


def ops_of(nodes=(), files=(), links=()):
    return compile_own(SandboxSpec("etl", devices=Devices(tuple(nodes), tuple(files), tuple(links))), IDS)


def of_type(ops, *types):
    return [op for op in ops if isinstance(op, types)]


def test_a_run_without_devices_has_no_operation_for_them():
    assert of_type(ops_of(), GiveDevice, MakePlaces) == []


def test_a_node_belongs_to_the_runs_users():
    (op,) = of_type(ops_of([replace(NODE, sandbox_uid=5, sandbox_gid=6)]), GiveDevice)

    assert op == GiveDevice("/dev/gpu0", "c", 195, 0, 0o660, 100_005, 100_006)


def test_places_are_made_before_files_are_mounted_on_them_and_all_of_it_before_the_root_is_sealed():
    directory = DeviceFile("/usr/share/gpu", "/usr/share/gpu", directory=True, no_exec=True)
    links = (("/run/devices/lib/libcuda.so.1", "/usr/lib/libcuda.so.550"),)

    ops = of_type(ops_of([NODE], [LIBRARY, directory], links), GiveDevice, MakePlaces, BindMount, SealRoot)

    read_only = MountAttribute.RDONLY | MountAttribute.NOSUID | MountAttribute.NODEV
    assert ops[:-1] == [
        GiveDevice("/dev/gpu0", "c", 195, 0, 0o660, 100_000, 100_000),
        MakePlaces(("/usr/lib/libcuda.so.550",), ("/usr/share/gpu",), links),
        BindMount("/usr/lib/libcuda.so.550", "/usr/lib/libcuda.so.550", read_only),
        BindMount("/usr/share/gpu", "/usr/share/gpu", read_only | MountAttribute.NOEXEC),
    ]
    assert isinstance(ops[-1], SealRoot)


@pytest.mark.invariant("X3")
def test_devices_are_no_part_of_what_is_made_ahead():
    spec = SandboxSpec("etl")

    with_devices = replace(spec, devices=Devices((NODE,), (LIBRARY,)))

    assert compile_shared(with_devices, IDS) == compile_shared(spec, IDS)


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (replace(NODE, path="/srv/gpu0"), "it is not below /dev, or every run has its own"),
        (replace(NODE, path="/dev/../srv"), "it is not below /dev, or every run has its own"),
        (replace(NODE, path="/dev/"), "it is not below /dev, or every run has its own"),
        (replace(NODE, path="/dev/null"), "it is not below /dev, or every run has its own"),
        (replace(NODE, path="/dev/pts/0"), "it is not below /dev, or every run has its own"),
        (replace(NODE, path="/dev/shm/x"), "it is not below /dev, or every run has its own"),
        (replace(NODE, kind="p"), "its type is p, its mode 0660"),
        (replace(NODE, mode=0o4660), "its type is c, its mode 4660"),
        (replace(NODE, sandbox_uid=65536), "a run has no such user or group as its owner"),
    ],
)
def test_a_node_that_no_run_may_have_is_refused(node, why):
    with pytest.raises(InvalidSpec, match=why):
        ops_of([node])


@pytest.mark.parametrize(
    "target", ["/dev/shm/x", "/proc/x", "/sys/x", "/work", "/tmp/x", "/", "relative", "/a/../b", "/a//b"]
)
def test_a_file_of_a_device_where_the_run_has_its_own_is_refused(target):
    with pytest.raises(InvalidSpec, match="that place is the run's own"):
        ops_of(files=[replace(LIBRARY, target=target)])
    with pytest.raises(InvalidSpec, match="that place is the run's own"):
        ops_of(links=[(target, "/a")])


def test_two_things_at_one_place_are_refused():
    with pytest.raises(InvalidSpec, match="two things are wanted there for devices"):
        ops_of(files=[LIBRARY], links=[(LIBRARY.target, "x")])
