"""A run's form as plain values: it reads back the same, and what is not exactly one is refused."""

import json
from dataclasses import replace

import pytest

from controller.cgroup.limits import IoLimit, Limits
from controller.launcher.runspec import RunSpec, read_own, read_shared, to_parts
from controller.sandbox.confine import ProcessLimits
from controller.sandbox.spec import (
    NO_DEVICES,
    Bind,
    DeviceFile,
    DeviceNode,
    Devices,
    EtcFile,
    GivenFile,
    PrivateCopy,
    SandboxSpec,
    Scratch,
)

NODE = {"path": "/dev/x", "kind": "c", "major": 1, "minor": 5, "mode": 432, "sandbox_uid": 0, "sandbox_gid": 0}
FILE = {"source": "/a", "target": "/b", "directory": False, "no_exec": False}
ODD_DEVICES = (
    [],
    {},
    {"nodes": [], "files": []},
    {"nodes": [], "files": [], "links": [], "more": []},
    {"nodes": [{"path": "/dev/x"}], "files": [], "links": []},
    {"nodes": [NODE | {"major": "1"}], "files": [], "links": []},
    {"nodes": [NODE | {"kind": 1}], "files": [], "links": []},
    {"nodes": [], "files": [FILE | {"directory": 1}], "links": []},
    {"nodes": [], "files": [], "links": [["/a"]]},
)


def a_spec(**changes):
    sandbox = SandboxSpec(
        hostname="etl",
        binds=(
            Bind("/usr", "/usr"),
            Bind("lib", "/lib", read_only=False, within="/tree"),
            Bind("/caches/c", "/volumes/c", read_only=False, neutral_owners=True),
        ),
        private_copies=(PrivateCopy("cache", "/var/cache", 4096, within="/tree"),),
        scratches=(Scratch("/volumes/own", 4096),),
        symlinks=(("/bin", "usr/bin"),),
        files_dir="/files",
        given_dir="/given",
        given_files=(GivenFile("0" * 64, "models/a", 0o755),),
        etc_files=(EtcFile("/etc/hosts", "127.0.0.1 localhost\n"),),
        devices=Devices(
            (DeviceNode("/dev/gpu0", "c", 195, 0, 0o660, 5, 6),),
            (DeviceFile("/usr/lib/a", "/usr/lib/b", directory=True, no_exec=True),),
            (("/run/devices/lib/b", "/usr/lib/b"),),
        ),
    )
    fields = {
        "run_id": "uid-1",
        "run_dir": "/runs/uid-1",
        "log_dir": "/logs/uid-1",
        "argv": ("sh", "-c", "exit 3"),
        "env": {"PATH": "/bin"},
        "sandbox": sandbox,
        "limits": Limits(1 << 20, 500, None, cpu_weight=50, cpus=(0, 2), io=(IoLimit("8:0", read_bytes=4096),)),
        "process_limits": ProcessLimits(open_files=100, file_bytes=1 << 30),
        "cgroup_parent": "runwright",
        "cgroup": "uid-1",
        "deadline_seconds": 1.5,
        "not_before": 1_800_000_000_000_000_000,
        "stdin": True,
    }
    return RunSpec(**{**fields, **changes})


def test_a_spec_survives_the_wire():
    parts = to_parts(a_spec())

    assert read_own(parts.own, read_shared(parts.shared)) == a_spec()
    assert b"\n" not in parts.own + parts.shared


def test_runs_that_differ_in_their_own_alone_share_the_rest():
    one = a_spec()
    own = replace(one.sandbox, hostname="other", work_bytes=7, files_dir=None, devices=NO_DEVICES)
    other = a_spec(run_id="uid-2", argv=("true",), sandbox=own)

    assert to_parts(one).shared == to_parts(other).shared
    assert to_parts(one).shared != to_parts(a_spec(sandbox=replace(one.sandbox, tmp_bytes=7))).shared


def own(**changes):
    return {**json.loads(to_parts(a_spec()).own), **changes}


def own_sandbox(**changes):
    return own(sandbox={**own()["sandbox"], **changes})


def shared(**changes):
    return {**json.loads(to_parts(a_spec()).shared), **changes}


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        {},
        own(version=1),
        own(unknown="field"),
        own(argv=[]),
        own(argv=["sh", 7]),
        own(argv="sh"),
        own(argv=["a\0b"]),
        own(env={"A": 1}),
        own(env={"A=B": "x"}),
        own(env=[]),
        own(run_dir="relative"),
        own(run_dir=7),
        own(deadline_seconds="soon"),
        own(not_before="soon"),
        own(not_before=True),
        own(not_before=1.5),
        own(deadline_seconds=True),
        own(stdin=1),
        own(limits={"memory_bytes": "lots", "cpu_millicpu": None, "pids": None}),
        own(limits={"memory_bytes": -1, "cpu_millicpu": None, "pids": None}),
        own(limits={"memory": 1}),
        own(sandbox={}),
        own_sandbox(work_bytes="1G"),
        own_sandbox(hostname=7),
        own_sandbox(files_dir=7),
        own_sandbox(tmp_bytes=1),
        own_sandbox(given_dir=7),
        own_sandbox(given_files=[["a", "b"]]),
        own_sandbox(given_files=[["a", "b", "0644"]]),
        own_sandbox(given_files=7),
        *(own_sandbox(devices=odd) for odd in ODD_DEVICES),
    ],
)
def test_what_is_no_run_is_refused(plain):
    with pytest.raises(ValueError, match="cannot "):
        read_own(json.dumps(plain).encode(), a_spec().sandbox)


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        shared(hostname="etl"),
        shared(unknown="field"),
        shared(binds=[{"source": "/a"}]),
        shared(binds=[{"source": "/a", "target": "/a", "read_only": "no"}]),
        shared(binds=[{"source": "/a", "target": 7}]),
        shared(tmp_bytes="1G"),
        shared(symlinks=[["/bin"]]),
        shared(etc_files=[{"path": "/etc/a", "content": 7}]),
    ],
)
def test_what_is_no_sandbox_is_refused(plain):
    with pytest.raises(ValueError, match="cannot "):
        read_shared(json.dumps(plain).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match="."):
        read_own(text, a_spec().sandbox)
    with pytest.raises(ValueError, match="."):
        read_shared(text)


def test_a_spec_without_its_cgroup_is_refused():
    plain = own()
    del plain["cgroup"]

    with pytest.raises(ValueError, match="cannot read a run spec"):
        read_own(json.dumps(plain).encode(), a_spec().sandbox)
