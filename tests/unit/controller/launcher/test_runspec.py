"""A run's form as plain values: it reads back the same, and what is not exactly one is refused."""

import json

import pytest

from controller.cgroup.limits import Limits
from controller.launcher.runspec import RunSpec, from_plain, to_plain
from controller.sandbox.spec import Bind, EtcFile, PrivateCopy, SandboxSpec


def a_spec(**changes):
    sandbox = SandboxSpec(
        hostname="etl",
        binds=(Bind("/usr", "/usr"), Bind("lib", "/lib", read_only=False, within="/tree")),
        private_copies=(PrivateCopy("cache", "/var/cache", 4096, within="/tree"),),
        symlinks=(("/bin", "usr/bin"),),
        files_dir="/files",
        etc_files=(EtcFile("/etc/hosts", "127.0.0.1 localhost\n"),),
    )
    fields = {
        "run_id": "uid-1",
        "run_dir": "/runs/uid-1",
        "log_dir": "/logs/uid-1",
        "argv": ("sh", "-c", "exit 3"),
        "env": {"PATH": "/bin"},
        "sandbox": sandbox,
        "limits": Limits(1 << 20, 500, None),
        "cgroup_parent": "runwright",
        "cgroup": "uid-1",
        "deadline_seconds": 1.5,
    }
    return RunSpec(**{**fields, **changes})


def test_a_spec_survives_the_wire():
    assert from_plain(json.loads(json.dumps(to_plain(a_spec())))) == a_spec()


def changed(**changes):
    return {**to_plain(a_spec()), **changes}


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        {},
        changed(version=2),
        changed(unknown="field"),
        changed(argv=[]),
        changed(argv=["sh", 7]),
        changed(argv="sh"),
        changed(argv=["a\0b"]),
        changed(env={"A": 1}),
        changed(env={"A=B": "x"}),
        changed(env=[]),
        changed(run_dir="relative"),
        changed(run_dir=7),
        changed(deadline_seconds="soon"),
        changed(deadline_seconds=True),
        changed(limits={"memory_bytes": "lots", "cpu_millicpu": None, "pids": None}),
        changed(limits={"memory_bytes": -1, "cpu_millicpu": None, "pids": None}),
        changed(limits={"memory": 1}),
        changed(sandbox={}),
        changed(sandbox={"hostname": "etl", "binds": [{"source": "/a"}]}),
        changed(sandbox={"hostname": "etl", "binds": [{"source": "/a", "target": "/a", "read_only": "no"}]}),
        changed(sandbox={"hostname": "etl", "binds": [{"source": "/a", "target": 7}]}),
        changed(sandbox={"hostname": "etl", "work_bytes": "1G"}),
        changed(sandbox={"hostname": "etl", "symlinks": [["/bin"]]}),
    ],
)
def test_what_is_no_run_is_refused(plain):
    with pytest.raises(ValueError, match="cannot "):
        from_plain(plain)


def test_a_spec_without_its_cgroup_is_refused():
    plain = to_plain(a_spec())
    del plain["cgroup"]

    with pytest.raises(ValueError, match="cannot read a run spec"):
        from_plain(plain)
