"""What a sandbox compiles to: the order of its operations, and what is refused before any is done."""

import pytest

from controller.linux.landlock import Access
from controller.linux.mount_api import MountAttribute
from controller.sandbox.compile import compile_base, compile_sandbox
from controller.sandbox.errors import InvalidSpec
from controller.sandbox.ops import (
    Allow,
    BindMount,
    CopyFiles,
    CopyTree,
    CoverFile,
    EnterNewNamespaces,
    MakeDevice,
    MakePlaces,
    MakeReadOnly,
    MakeSymlink,
    Mask,
    MountProc,
    MountTmpfs,
    PivotRoot,
    SealRoot,
    SeparateDevices,
    WriteFile,
)
from controller.sandbox.spec import (
    Bind,
    DeviceNode,
    Devices,
    EtcFile,
    GivenFile,
    HostIds,
    PrivateCopy,
    SandboxSpec,
    Scratch,
    VolumeBind,
)

IDS = HostIds(100_000, 100_000)


def ops_of(**fields):
    return compile_sandbox(SandboxSpec(**{"hostname": "etl", **fields}), IDS)


def targets(ops):
    return [op.target for op in ops if isinstance(op, BindMount | MountTmpfs)]


def test_the_base_begins_with_namespaces_and_ends_without_the_hosts_root():
    base = compile_base(IDS, "/stage")

    assert isinstance(base[0], EnterNewNamespaces)
    assert isinstance(base[-1], PivotRoot)


def test_proc_is_masked_after_it_is_mounted():
    base = compile_base(IDS, "/stage")

    mounted = base.index(MountProc("/proc"))
    masks = [index for index, op in enumerate(base) if isinstance(op, Mask | MakeReadOnly)]
    assert min(masks) > mounted
    hidden = {f"{op.directory}/{name}" for op in base if isinstance(op, Mask) for name in op.names}
    assert {"/proc/kcore", "/proc/keys", "/proc/sysrq-trigger"} <= hidden
    assert MakeReadOnly("/proc/sys") in base


def test_the_root_is_sealed_last():
    assert isinstance(ops_of(binds=(Bind("/usr", "/usr"),))[-1], SealRoot)


def test_the_same_spec_compiles_to_the_same_operations():
    assert ops_of(binds=(Bind("/a", "/a"),)) == ops_of(binds=(Bind("/a", "/a"),))


def test_a_mount_comes_after_those_it_lies_in_whatever_the_order_they_are_given_in():
    ops = ops_of(binds=(Bind("/c", "/usr/local/lib"), Bind("/b", "/usr/local"), Bind("/a", "/usr")))

    wanted = ["/usr", "/usr/local", "/usr/local/lib"]
    assert [target for target in targets(ops) if target.startswith("/usr")] == wanted


def test_a_mount_below_a_link_comes_after_what_the_link_leads_into():
    """Made before, it would be buried under it."""
    binds = (Bind("/a", "/data/today"), Bind("/b", "/srv/data/etl"))
    ops = ops_of(binds=binds, symlinks=(("/data", "srv/data/etl"),))

    found = targets(ops)
    assert found.index("/srv/data/etl") < found.index("/data/today")


def test_binds_are_read_only_without_setuid_and_devices():
    (bind,) = [op for op in ops_of(binds=(Bind("/a", "/a"),)) if isinstance(op, BindMount)]

    assert bind.attributes == MountAttribute.RDONLY | MountAttribute.NOSUID | MountAttribute.NODEV


def test_a_writable_bind_is_still_without_setuid_and_devices():
    (bind,) = [op for op in ops_of(binds=(Bind("/a", "/a", read_only=False),)) if isinstance(op, BindMount)]

    assert bind.attributes == MountAttribute.NOSUID | MountAttribute.NODEV


def test_a_bind_of_neutral_owners_is_mapped_to_the_runs_ids():
    ops = ops_of(binds=(Bind("/caches/c", "/volumes/c", read_only=False, neutral_owners=True), Bind("/usr", "/usr")))

    assert {op.target: op.owners_from for op in ops if isinstance(op, BindMount)} == {
        "/volumes/c": IDS.uid,
        "/usr": None,
    }


def test_a_scratch_directory_is_an_empty_limited_file_system_of_the_runs():
    (mount,) = [
        op
        for op in ops_of(scratches=(Scratch("/volumes/c", 4096),))
        if isinstance(op, MountTmpfs) and op.target == "/volumes/c"
    ]

    assert (mount.size_bytes, mount.host_uid) == (4096, IDS.uid)


def test_files_are_copied_into_work_once_it_is_mounted():
    ops = ops_of(files_dir="/files", work_bytes=4096)

    work = next(index for index, op in enumerate(ops) if isinstance(op, MountTmpfs) and op.target == "/work")
    assert ops[work].size_bytes == 4096
    assert ops[work + 1] == CopyTree("/files", "/work", IDS.uid, IDS.gid)


def test_given_files_are_copied_into_work_after_the_directories_they_lie_in():
    given = (GivenFile("0" * 64, "models/a", 0o644),)

    ops = ops_of(files_dir="/files", given_dir="/given", given_files=given)

    tree, files = CopyTree("/files", "/work", IDS.uid, IDS.gid), CopyFiles("/given", "/work", given, IDS.uid, IDS.gid)
    assert ops.index(files) == ops.index(tree) + 1


def test_a_private_copy_is_a_limited_file_system_with_the_content_of_its_source():
    ops = ops_of(private_copies=(PrivateCopy("cache", "/var/cache", 8192, within="/tree"),))

    place = next(index for index, op in enumerate(ops) if isinstance(op, MountTmpfs) and op.target == "/var/cache")
    assert ops[place].size_bytes == 8192
    assert ops[place + 1] == CopyTree("cache", "/var/cache", IDS.uid, IDS.gid, within="/tree")


def generated(ops):
    return {op.path: op.content for op in ops if isinstance(op, WriteFile)}


def test_the_usual_etc_files_are_generated():
    assert set(generated(ops_of())) == {
        "/etc/passwd",
        "/etc/group",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/nsswitch.conf",
    }


def test_an_etc_that_is_brought_is_not_generated_into():
    assert generated(ops_of(binds=(Bind("/runtime/etc", "/etc"),))) == {}


def test_a_run_in_a_network_asks_it_for_names_whatever_etc_is_brought():
    brought = (Bind("/runtime/etc", "/etc"),)
    ops = ops_of(binds=brought, addresses=("10.0.0.2",), name_servers=("10.0.0.1",))

    covers = {op.path: op.content for op in ops if isinstance(op, CoverFile)}
    assert set(covers) == {"/etc/hosts", "/etc/resolv.conf"}
    assert covers["/etc/resolv.conf"].startswith("nameserver 10.0.0.1\n")
    assert "10.0.0.2 " in covers["/etc/hosts"]
    [mount] = [place for place, op in enumerate(ops) if isinstance(op, BindMount) and op.target == "/etc"]
    assert mount < min(place for place, op in enumerate(ops) if isinstance(op, MakePlaces | CoverFile))
    assert not [op for op in ops_of(binds=brought) if isinstance(op, CoverFile)]
    assert not [op for op in ops_of(name_servers=("10.0.0.1",)) if isinstance(op, CoverFile)]


def test_an_etc_file_that_is_brought_is_not_generated():
    assert "/etc/passwd" not in generated(ops_of(binds=(Bind("/runtime/passwd", "/etc/passwd"),)))


def test_an_etc_file_that_is_a_link_is_not_generated():
    assert "/etc/hosts" not in generated(ops_of(symlinks=(("/etc/hosts", "/usr/etc/hosts"),)))


def test_a_given_etc_file_takes_the_place_of_the_usual_one():
    assert generated(ops_of(etc_files=(EtcFile("/etc/hosts", "10.0.0.2 db\n"),)))["/etc/hosts"] == "10.0.0.2 db\n"


def test_var_tmp_is_tmp_unless_var_is_brought():
    link = MakeSymlink("/var/tmp", "/tmp")

    assert link in ops_of()
    assert link not in ops_of(binds=(Bind("/runtime/var", "/var"),))


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"binds": (Bind("/a", "/a"), Bind("/b", "/a"))}, "two things are wanted there"),
        ({"binds": (Bind("/a", "/a"),), "symlinks": (("/a", "b"),)}, "two things are wanted there"),
        ({"binds": (Bind("/a", "/proc/sys"),)}, "each run has its own"),
        ({"binds": (Bind("/a", "/dev"),)}, "each run has its own"),
        ({"binds": (Bind("/a", "/tmp"),)}, "each run has its own"),
        ({"symlinks": (("/work", "/etc"),)}, "each run has its own"),
        ({"binds": (Bind("/a", "relative"),)}, "without '..'"),
        ({"binds": (Bind("/a", "/a/../../b"),)}, "without '..'"),
        ({"binds": (Bind("/a", "/"),)}, "without '..'"),
        ({"binds": (Bind("/a", "/a\0b"),)}, "without '..'"),
        ({"work_bytes": 0}, "a size is at least 1"),
        ({"private_copies": (PrivateCopy("/a", "/a", -1),)}, "a size is at least 1"),
        ({"hostname": "two words"}, "cannot name a host"),
        ({"hostname": "x" * 65}, "cannot name a host"),
        ({"etc_files": (EtcFile("/usr/x", ""),)}, "not below /etc"),
        ({"etc_files": (EtcFile("/etc/x", ""),), "binds": (Bind("/e", "/etc"),)}, "a mount covers it"),
        ({"binds": (Bind("/a", "/x/y"),), "symlinks": (("/x", "/z"), ("/z", "/x"))}, "go in a circle"),
    ],
)
def test_what_cannot_be_is_refused_with_its_cause(fields, cause):
    with pytest.raises(InvalidSpec, match=cause):
        tuple(ops_of(**fields))


def test_writing_is_allowed_in_what_is_mounted_writable_and_nowhere_else():
    spec = SandboxSpec(
        "etl",
        binds=(Bind("/usr", "/usr"), Bind("/cache", "/cache", read_only=False)),
        private_copies=(PrivateCopy("var", "/var/lib", 4096, within="/tree"),),
        scratches=(Scratch("/scratch", 4096),),
    )
    ops = (*compile_base(IDS, "/stage"), *compile_sandbox(spec, IDS))

    allowed = {op.path: op.access for op in ops if isinstance(op, Allow)}
    assert allowed.keys() == {
        *("/proc", "/dev", "/dev/pts", "/dev/tty"),
        *("/cache", "/var/lib", "/scratch", "/tmp", "/dev/shm", "/work"),
    }
    assert {path for path, access in allowed.items() if Access.IOCTL_DEV in access} == {"/dev/pts", "/dev/tty"}
    assert {path for path, access in allowed.items() if Access.MAKE_REG in access} == {
        *("/cache", "/var/lib", "/scratch", "/tmp", "/dev/shm", "/work"),
    }
    assert not any(access & (Access.MAKE_CHAR | Access.MAKE_BLOCK) for access in allowed.values())


def test_a_device_that_was_given_can_be_controlled():
    node = DeviceNode("/dev/accelerator", "c", 1, 5, 0o666)
    ops = compile_sandbox(SandboxSpec("etl", devices=Devices((node,))), IDS)

    assert [op.path for op in ops if isinstance(op, Allow) and Access.IOCTL_DEV in op.access] == ["/dev/accelerator"]


def test_devices_work_on_one_mount_which_is_sealed_with_the_root():
    base, own = compile_base(IDS, "/stage"), compile_sandbox(SandboxSpec("etl"), IDS)

    separated = base.index(SeparateDevices("/dev"))
    assert all(base.index(op) < separated for op in base if isinstance(op, MakeDevice))
    assert own[-1] == SealRoot("/dev")


def test_shared_memory_holds_no_programs():
    ops = compile_sandbox(SandboxSpec("etl"), IDS)

    inert = {op.target for op in ops if isinstance(op, MountTmpfs) and MountAttribute.NOEXEC in op.attributes}
    assert inert == {"/dev/shm"}


def test_a_volume_in_a_volume_is_given_a_place_whether_or_not_the_outer_one_can_be_written():
    outer, inner = VolumeBind("/o", "/volumes/outer", read_only=True), VolumeBind("/i", "/volumes/outer/in")
    ops = ops_of(volumes=(inner, outer))

    places = MakePlaces((), ("/volumes/outer/in",), ())
    order = [op if isinstance(op, MakePlaces) else op.target for op in ops if isinstance(op, BindMount | MakePlaces)]
    assert order == ["/volumes/outer", places, "/volumes/outer/in"]


def test_a_volume_where_the_runtime_brings_something_is_told_with_the_place_and_the_way_out():
    with pytest.raises(
        InvalidSpec, match=r"^cannot mount a volume at /usr: the runtime brings .*: mount it elsewhere$"
    ):
        ops_of(binds=(Bind("/usr", "/usr"),), volumes=(VolumeBind("/v", "/usr"),))
