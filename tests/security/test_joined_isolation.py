"""Whoever goes into a run is as confined as its job, from the first moment that the run can see it."""

import os
import shutil
from pathlib import Path

import pytest

from controller.cgroup.limits import Limits
from controller.launcher.joined import JoinRefused
from controller.linux import clocks, landlock
from controller.sandbox.confine import ProcessLimits
from controller.sandbox.rights import Rights
from controller.sandbox.spec import Bind
from support.joining import Held, read_until, write_all
from support.launching import MIB, WAIT_SECONDS, host_sandbox

pytestmark = pytest.mark.needs_root

CONTROL = """
import errno, fcntl, termios
try:
    fcntl.ioctl(open("/dev/null"), termios.TCGETS, bytes(64))
except OSError as error:
    print(errno.errorcode[error.errno])
"""
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts", *(("time",) if clocks.are_separable() else ()))
CONFINED = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
WATCH = """
while :; do
  for p in /proc/[0-9]*; do
    n=${p#/proc/}; [ $n = 1 ] && continue; [ $n = $$ ] && continue
    e=$(readlink $p/exe 2>/dev/null) && case $e in *python*|*/memfd*) echo LEAK exe $e; esac
    c=$(tr '\\0' ' ' < $p/cmdline 2>/dev/null) && case $c in *launcher*|*controller*) echo LEAK cmdline $c; esac
    ls $p/fd >/dev/null 2>&1 && for f in $p/fd/*; do t=$(readlink $f) && case $t in *.sock|/var/*|*launcher*) \
echo LEAK fd $t; esac; done
    head -c 1 $p/environ >/dev/null 2>&1 && tr '\\0' '\\n' < $p/environ | grep -q LANG=C.UTF-8 && echo LEAK environ $p
  done
  [ -e /work/stop ] && break
done
echo watched
"""


def host_pid_of(name):
    """The process of the host with this command line."""
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdecimal() and (each / "cmdline").read_bytes().rstrip(b"\0").split(b"\0") == name:
                return int(each.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise AssertionError(f"there is no process {name}")


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


KINDS = {
    "usual": {},
    "baseline with rights": {"rights": Rights("baseline", ("CHOWN", "SETUID", "KILL"))},
    "limited in all ways": {
        "limits": Limits(128 * MIB, 500, 40, cpus=(0,)),
        "process_limits": ProcessLimits(open_files=77, file_bytes=MIB, core_bytes=0),
    },
}


@pytest.fixture
def held(launching):
    held = Held(launching, "sleep", "777001")
    yield held
    held.end()


@pytest.mark.invariant("X40")
@pytest.mark.parametrize("kind", KINDS)
def test_one_who_joined_is_held_to_all_that_its_job_is_held_to(launching, kind):
    held = Held(launching, "sleep", "777001", **KINDS[kind])
    with held.join("sleep", "777002", streams=()):
        held.launching.until(lambda: any_process(b"777002") and any_process(b"777001"))
        job, joined = host_pid_of([b"sleep", b"777001"]), host_pid_of([b"sleep", b"777002"])
        namespaces = [[os.readlink(f"/proc/{pid}/ns/{name}") for name in NAMESPACES] for pid in (job, joined)]
        statuses = [{name: status_of(pid)[name] for name in CONFINED} for pid in (job, joined)]
        others = [
            [Path(f"/proc/{pid}/{name}").read_text() for name in ("cgroup", "limits", "oom_score_adj", "uid_map")]
            for pid in (job, joined)
        ]
        priorities = [os.getpriority(os.PRIO_PROCESS, pid) for pid in (job, joined)]
        roots = [os.stat(f"/proc/{pid}/root").st_dev for pid in (job, joined)]

    assert namespaces[0] == namespaces[1]
    assert statuses[0] == statuses[1]
    assert others[0] == others[1]
    assert (priorities[0], roots[0]) == (priorities[1], roots[1])
    assert (statuses[1]["NoNewPrivs"], statuses[1]["Seccomp"]) == ("1", "2")
    assert (statuses[1]["CapBnd"] == "0" * 16) == (kind != "baseline with rights")
    held.end()


LOWER = """
import os, resource, signal
for name in ("NOFILE", "FSIZE", "CORE", "AS", "NPROC", "STACK", "CPU"):
    kind = getattr(resource, "RLIMIT_" + name)
    lowest = {"AS": 1 << 30, "STACK": 1 << 20, "CPU": 600}.get(name, 0)
    resource.setrlimit(kind, (lowest, lowest))
os.write(1, b"lowered\\n")
signal.pause()
"""


@pytest.mark.invariant("X40")
@pytest.mark.parametrize("limits", [ProcessLimits(), ProcessLimits(77, MIB, 4096)])
def test_limits_that_a_job_lowers_for_itself_keep_nobody_out_and_are_not_passed_on(launching, limits):
    other = Held(launching, "sleep", "777004", process_limits=limits)
    held = Held(launching, "python3", "-c", LOWER, process_limits=limits)
    launching.wait_for_output(held.spec, "lowered")

    usual, met = (each.output("cat", "/proc/self/limits") for each in (other, held))

    assert met == usual
    assert met[0] == 0
    for each in (other, held):
        each.end()


def test_one_who_joined_a_baseline_run_may_what_the_run_may(launching):
    held = Held(launching, rights=Rights("baseline", ("CHOWN",)))

    code, output = held.output("sh", "-c", "touch /work/x; chown 1234 /work/x; stat -c %u /work/x")

    assert (code, output) == (0, "1234\n")
    held.end()


def test_one_who_joined_is_held_to_landlock_as_the_job_is(launching):
    _, of_job = launching.run("python3", "-c", CONTROL)
    held = Held(launching)

    _, of_joined = held.output("python3", "-c", CONTROL)

    assert of_joined == of_job == ("EACCES\n" if landlock.abi() >= landlock.IOCTL_ABI else "ENOTTY\n")
    held.end()


def test_one_who_joined_may_signal_the_job(launching):
    held = Held(launching, "sh", "-c", "trap 'exit 6' USR1; touch /work/ready; while :; do sleep 0.02; done")
    launching.until(lambda: held.output("test", "-e", "/work/ready")[0] == 0)

    assert held.output("sh", "-c", "kill -USR1 2")[0] in (0, 137)  # The run's end may overtake its own.

    assert launching.record_of(held.spec).exit_code == 6


def any_process(word):
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdecimal() and word in (each / "cmdline").read_bytes():
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


def test_it_has_three_descriptors_and_its_own_session(held):
    script = "cd /proc/self/fd; echo *; readlink 0 1 2; cut -d' ' -f1,5,6 /proc/self/stat; echo $$"
    code, output = held.output("bash", "-c", script)

    numbers, *links, ids, pid = output.splitlines()
    assert (code, numbers) == (0, "0 1 2 3")  # 3 is the shell's own, of the directory that it lists.
    assert all(link.startswith("pipe:") for link in links)
    assert ids.split()[1:] == [pid, pid]


def test_it_has_null_for_a_stream_that_nobody_wants(held):
    with held.join("sh", "-c", "readlink /proc/self/fd/0 /proc/self/fd/2 >&1", streams=("stdout",)) as session:
        output = read_until(session.stdout, b"null\n/dev/null\n")

    assert output == b"/dev/null\n/dev/null\n"


def test_it_starts_with_no_signal_blocked_or_ignored(held):
    _, output = held.output("cat", "/proc/self/status")

    masks = dict(line.split(":\t") for line in output.splitlines() if line.startswith("Sig"))
    assert {masks[name] for name in ("SigPnd", "SigBlk", "SigIgn", "SigCgt")} == {"0" * 16}


def test_its_environment_is_what_it_was_given(held):
    _, output = held.output("sh", "-c", "tr '\\0' '\\n' < /proc/self/environ", env={"PATH": "/usr/bin", "A": "b"})

    assert sorted(output.split()) == ["A=b", "PATH=/usr/bin"]


@pytest.mark.parametrize(
    "script", ["mount -t tmpfs x /work", "unshare -U true", "chroot / true", "nsenter -t 1 -m true"]
)
def test_it_cannot_do_what_the_job_cannot(held, script):
    assert held.output("sh", "-c", script)[0] != 0


def test_its_memory_counts_as_the_runs(launching):
    held = Held(launching, limits=Limits(64 * MIB, None, 50))

    held.output("sh", "-c", "head -c 200000000 /dev/zero | tail -c 190000000 >/dev/null")

    assert launching.record_of(held.spec).reason == "OOMKilled"


def test_its_processes_count_as_the_runs(launching):
    held = Held(launching, limits=Limits(256 * MIB, None, 8))

    _, output = held.output("bash", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.5 & done; wait")

    assert "Resource temporarily unavailable" in output
    held.end()


@pytest.mark.invariant("X41")
def test_nothing_of_the_host_is_ever_seen_while_somebody_comes_in(launching):
    """CVE-2016-9962, CVE-2019-5736, CVE-2024-21626: the run looks at every process, as fast as it can."""
    held = Held(launching, "bash", "-c", WATCH)
    for _ in range(25):
        assert held.output("true")[0] == 0
    held.output("touch", "/work/stop")

    launching.record_of(held.spec)
    assert launching.output_of(held.spec) == "watched\n"


def test_the_working_directory_cannot_be_a_descriptor_of_the_host(held):
    for number in range(3, 12):
        code, output = held.output("sh", "-c", f"cd /proc/self/fd/{number} && ls")
        assert code != 0, output


WAYS_TO_OUR_PROGRAM = {
    "named": "printf '#!/proc/self/exe\\nprint(\"ours\")\\n' > it",
    "after blanks and with an argument": "printf '#! \\t/proc/self/exe -u\\nprint(\"ours\")\\n' > it",
    "by a link": "ln -s /proc/self/exe link; printf '#!/work/link\\nprint(\"ours\")\\n' > it",
    "by another script": "printf '#!/work/b\\nprint(\"ours\")\\n' > it; printf '#!c\\n' > b; "
    "printf '#!/proc/self/exe\\n' > c; chmod +x b c",
    "where nobody can look": "printf '#!/proc/self/exe\\nprint(\"ours\")\\n' > it; chmod 111 it",
    "by another where nobody can look": "printf '#!b\\nprint(\"ours\")\\n' > it; printf '#!/proc/self/exe\\n' > b; "
    "chmod 111 b",
}


@pytest.mark.parametrize("way", WAYS_TO_OUR_PROGRAM)
def test_a_script_that_names_our_program_as_its_interpreter_is_not_executed(held, way):
    assert held.output("sh", "-ec", f"cd /work; {WAYS_TO_OUR_PROGRAM[way]}; chmod a+x it") == (0, "")

    with pytest.raises(JoinRefused, match="cannot run /work/it: ") as caught:
        held.output("/work/it")

    assert caught.value.answer.exit_code == 126


@pytest.mark.parametrize(
    ("first_line", "answer"),
    [
        ("#!/bin/sh", "fine"),
        ("#! /usr/bin/env  sh", "fine"),
        ("#!other", "fine"),
        ("#!/no/such/program", "the interpreter it names"),
        ("#!/dev", "not executable for the job"),
        ("#!", "it is no program of this machine"),
        ("", "it is no program of this machine"),
    ],
)
def test_other_scripts_are_executed_or_refused_as_by_the_kernel(held, first_line, answer):
    held.output("sh", "-c", f"cd /work; printf '%s\\necho fine\\n' '{first_line}' > it; chmod +x it; cp /bin/sh other")

    try:
        _, output = held.output("./it")
    except JoinRefused as refused:
        output = str(refused)

    assert answer in output


def test_a_pipe_or_a_device_is_no_command_and_is_not_waited_for(held):
    held.output("sh", "-c", "mkfifo -m 777 /work/pipe")

    for path in ("/work/pipe", "/dev/null", "/work"):
        with pytest.raises(JoinRefused, match="not executable for the job"):
            held.output(path)


def test_a_program_that_may_be_executed_but_not_read_is_executed(launching, tmp_path):
    tmp_path.chmod(0o755)
    shutil.copy("/bin/true", tmp_path / "program")
    (tmp_path / "program").chmod(0o711)
    sandbox = host_sandbox(binds=(*host_sandbox().binds, Bind(str(tmp_path), "/opt/programs")))

    record, _ = launching.run("/opt/programs/program", sandbox=sandbox)

    assert (record.reason, record.exit_code) == ("Completed", 0), record


def test_a_terminal_is_no_way_to_type_for_others(held):
    code, output = held.output(
        "python3", "-c", "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b'x')", terminal=(80, 24)
    )

    assert code != 0
    assert "not permitted" in output


def test_what_is_left_in_the_background_goes_with_the_run(launching):
    held = Held(launching)
    # It says so once it is in a session of its own: what is in that of the command ends with that.
    script = "setsid sh -c 'echo left; exec sleep 777003' & disown; read"
    with held.join("bash", "-c", script, streams=("stdin", "stdout")) as session:
        read_until(session.stdout, b"left")
        write_all(session.stdin, b"\n")
        session.wait(WAIT_SECONDS)
    assert any_process(b"777003")

    held.end()

    launching.until(lambda: not any_process(b"777003"))
    assert not any_process(b"777003")
