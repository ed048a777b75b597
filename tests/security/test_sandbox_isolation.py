"""What a job sees and may do, asked by jobs in real sandboxes: nothing of the host, and no rights."""

import os
from dataclasses import replace

import pytest

from controller.cgroup import choose
from controller.launcher.slots import FIRST_ID
from controller.sandbox.spec import Bind, PrivateCopy
from support.launching import MIB, host_sandbox

pytestmark = pytest.mark.needs_root


def status_of(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_a_job_has_no_capability_in_any_set(launching):
    _, output = launching.run("cat", "/proc/self/status")

    status = status_of(output)
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}


def test_a_job_can_gain_no_privileges_and_is_filtered(launching):
    _, output = launching.run("cat", "/proc/self/status")

    status = status_of(output)
    assert (status["NoNewPrivs"], status["Seccomp"], status["Seccomp_filters"]) == ("1", "2", "1")


def test_root_inside_is_nobody_outside(launching):
    record, output = launching.shell("id -u; id -G; cat /proc/self/uid_map /proc/self/gid_map")

    user, groups, *maps = output.splitlines()
    host_uid = record.receipt["hostUid"]
    assert (user, groups) == ("0", "0")
    assert host_uid >= FIRST_ID
    assert [line.split() for line in maps] == [["0", str(host_uid), "65536"]] * 2


def test_a_job_is_alone_in_every_namespace(launching):
    names = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    _, output = launching.run("readlink", *(f"/proc/self/ns/{name}" for name in names))

    inside = output.split()
    assert len(inside) == len(names)
    assert not set(inside) & {os.readlink(f"/proc/self/ns/{name}") for name in names}


def test_two_jobs_share_no_namespace(launching):
    paths = [f"/proc/self/ns/{name}" for name in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")]
    held = launching.spec("sh", "-c", f"readlink {' '.join(paths)}; exec sleep 60")
    launching.client.start(held)
    _, other = launching.run("readlink", *paths)
    launching.stop(held)

    launching.record_of(held)
    assert not set(launching.output_of(held).split()) & set(other.split())


def test_there_is_no_network_but_loopback(launching):
    _, output = launching.shell("cat /proc/net/dev; cat /proc/net/if_inet6")

    devices = [line.split(":")[0].strip() for line in output.splitlines() if ":" in line]
    assert devices == ["lo"]
    assert " lo" in output.splitlines()[-1]  # And it is up: it has ::1.


def test_the_cgroup_that_a_job_sees_is_the_root(launching):
    _, output = launching.run("cat", "/proc/self/cgroup")

    limiting = {"memory", "pids", "cpu"} if choose.hierarchies_of_host().version == 1 else {""}
    limited = [line for line in output.splitlines() if limiting & set(line.split(":")[1].split(","))]
    assert limited
    assert {line.split(":")[2] for line in limited} == {"/"}


def test_no_processes_but_the_jobs_are_seen(launching):
    _, output = launching.shell("echo /proc/[0-9]*; echo $$")

    seen, own = output.splitlines()
    assert seen.split() == [f"/proc/{own}"]


def test_the_supervisor_can_be_neither_read_nor_signalled(launching):
    script = "cat /proc/1/environ; ls /proc/1/fd; kill -9 1; kill -TERM 1; echo still $?"
    record, output = launching.shell(script)

    said = launching.errors_of(record)
    assert output == "still 1\n"
    assert (said.count("No such file"), said.count("Operation not permitted")) == (2, 2)


def test_a_job_has_three_descriptors(launching):
    _, output = launching.shell("ls -l /proc/$$/fd")

    names = {line.split(" -> ")[0].split()[-1]: line.split(" -> ")[1] for line in output.splitlines()[1:]}
    assert set(names) == {"0", "1", "2"}
    assert names["0"] == "/dev/null"


def test_the_environment_is_the_given_one_and_nothing_else(launching):
    _, output = launching.run("/usr/bin/env", env={"ONE": "1", "TWO": "two words"})

    assert sorted(output.splitlines()) == ["ONE=1", "TWO=two words"]


def test_no_file_of_the_hosts_is_there_but_what_was_bound(launching):
    secret = launching.root / "secret"
    secret.write_text("secret")

    record, output = launching.shell(f"ls -A /; ls {secret} /root /home /sys /etc/shadow")

    assert record.exit_code == 2
    assert not {"root", "home", "sys", "boot", "opt", "srv", "mnt"} & set(output.split())


def test_the_old_root_is_not_below_any_mount(launching):
    _, output = launching.run("cat", "/proc/self/mountinfo")

    sources = {line.split()[4]: line.split(" - ")[1].split()[0] for line in output.splitlines()}
    assert sources["/"] == "tmpfs"
    allowed = {"/", "/dev", "/proc", "/tmp", "/work", "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/lib32"}
    assert {"/" + point.split("/")[1] for point in sources} <= allowed


def test_the_root_and_everything_bound_are_read_only(launching):
    record, _ = launching.shell(
        "touch /file; touch /usr/file; touch /etc/file; touch /etc/hosts; touch /dev/file; touch /etc/ssl/file"
    )

    said = launching.errors_of(record)
    assert record.exit_code == 1
    assert said.count("Read-only file system") + said.count("Permission denied") == 6
    assert "/usr/file': Read-only file system" in said


def test_a_submount_of_what_is_bound_is_read_only_too(launching):
    _, output = launching.run(
        "cat",
        "/proc/self/mountinfo",
        sandbox=host_sandbox(
            binds=(*host_sandbox().binds, Bind("/dev", "/host-dev")),
        ),
    )

    below = [line.split() for line in output.splitlines() if line.split()[4].startswith("/host-dev")]
    assert len(below) > 1
    assert all("ro" in fields[5].split(",") for fields in below)


def test_read_only_cannot_be_taken_off_from_inside(launching):
    script = (
        "import ctypes, errno, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "for flags in (0x1020, 0x20, 0x1000):\n"
        "    libc.mount(b'none', b'/usr', None, flags, None)\n"
        "    print(errno.errorcode[ctypes.get_errno()])\n"
        "libc.umount2(b'/usr', 2)\n"
        "print(errno.errorcode[ctypes.get_errno()])\n"
        "libc.unshare(0x10020000)\n"
        "print(errno.errorcode[ctypes.get_errno()])\n"
    )

    _, output = launching.run("/usr/bin/python3", "-c", script)

    assert output.split() == ["EPERM"] * 5


def test_sensitive_parts_of_proc_are_hidden_or_read_only(launching):
    script = "for f in kcore keys kmsg timer_list; do [ -e /proc/$f ] && wc -c < /proc/$f; done; ls /proc/acpi | wc -l"
    record, output = launching.shell(script + "; echo 1 > /proc/sys/kernel/printk")

    assert set(output.split()) == {"0"}
    assert record.exit_code != 0
    assert "ead-only file system" in launching.errors_of(record)


def test_devices_are_the_harmless_ones(launching):
    _, output = launching.shell(
        "ls /dev; echo x > /dev/null; head -c 4 /dev/zero | od -An -tx1; head -c 8 /dev/urandom | wc -c"
    )

    names, numbers = output.splitlines()[:-2], output.splitlines()[-2:]
    assert set(names) == {
        *("fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"),
    }
    assert [number.split() for number in numbers] == [["00"] * 4, ["8"]]


def test_no_device_can_be_made(launching):
    record, _ = launching.shell("mknod /tmp/sda b 8 0")

    assert record.exit_code == 1
    assert "Operation not permitted" in launching.errors_of(record)


def test_dev_stdout_can_be_opened(launching):
    record, output = launching.shell("echo one > /dev/stdout; echo two > /proc/self/fd/1")

    assert (record.reason, output) == ("Completed", "one\ntwo\n")


def test_work_and_tmp_are_writable_and_limited(launching):
    sandbox = host_sandbox(work_bytes=1 * MIB, tmp_bytes=2 * MIB)
    script = (
        "stat -c '%U %a' /work /tmp; dd if=/dev/zero of=/work/f bs=1M count=3; dd if=/dev/zero of=/tmp/f bs=1M count=3;"
        "stat -c %s /work/f /tmp/f"
    )
    record, output = launching.shell(script, sandbox=sandbox)

    assert output.splitlines() == ["root 755", "root 1777", str(1 * MIB), str(2 * MIB)]
    assert launching.errors_of(record).count("No space left on device") == 2


def test_uploads_are_in_work_and_the_jobs_own(launching):
    files = launching.root / "files"
    (files / "sub").mkdir(parents=True)
    (files / "run.sh").write_text("#!/bin/sh\necho ran in $PWD\n")
    (files / "run.sh").chmod(0o755)
    (files / "sub" / "data").write_text("7")
    (files / "link").symlink_to("sub/data")

    record, output = launching.shell(
        "./run.sh; cat link; stat -c ' %U' sub/data; echo more >> sub/data", sandbox=host_sandbox(files_dir=str(files))
    )

    assert (record.reason, output) == ("Completed", "ran in /work\n7 root\n")
    assert (files / "sub" / "data").read_text() == "7"


def test_an_uploaded_link_leads_into_the_sandbox_and_not_to_the_host(launching):
    files = launching.root / "files"
    files.mkdir()
    (files / "shadow").symlink_to("/etc/shadow")
    (files / "up").symlink_to("../../../../etc/shadow")

    record, output = launching.shell("cat shadow up", sandbox=host_sandbox(files_dir=str(files)))

    assert (record.exit_code, output) == (1, "")


def test_a_private_copy_is_writable_and_changes_nothing_outside(launching):
    tree = launching.root / "tree"
    (tree / "cache").mkdir(parents=True)
    (tree / "cache" / "file").write_text("old")
    copy = PrivateCopy("cache", "/var/cache", MIB, within=str(tree))

    record, output = launching.shell(
        "echo new > /var/cache/file && cat /var/cache/file", sandbox=host_sandbox(private_copies=(copy,))
    )

    assert (record.reason, output) == ("Completed", "new\n")
    assert (tree / "cache" / "file").read_text() == "old"


def test_the_host_name_is_the_given_one(launching):
    _, output = launching.shell("uname -n; cat /etc/hostname", sandbox=replace(host_sandbox(), hostname="etl-1"))

    assert output == "etl-1\netl-1\n"
