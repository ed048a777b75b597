"""Going into a run: what is executed there, its streams, its end; and what becomes of it when somebody is killed."""

import contextlib
import hashlib
import os
import select
import signal
import socket
import threading
from pathlib import Path

import pytest

from controller.cgroup import choose
from controller.cgroup.limits import Limits
from controller.launcher import join_request, protocol
from controller.launcher.join_request import Ended, JoinRequest, Refused, Started
from controller.launcher.joined import JoinRefused, open_session
from support.joining import Held, read_all, read_some, read_until, request_for, write_all
from support.launching import MIB, WAIT_SECONDS, readable

needs_root = pytest.mark.needs_root


@pytest.fixture
def held(launching):
    held = Held(launching, "sh", "-c", "echo begun; exec sleep 1000")
    yield held
    held.end()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children_named(pid, name):
    found = []
    for each in os.listdir("/proc"):
        if each.isdecimal():
            try:
                with open(f"/proc/{each}/stat") as file:
                    head, _, tail = file.read().rpartition(") ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if head.endswith(f"({name}") and (pid is None or int(tail.split()[1]) == pid):
                found.append(int(each))
    return found


def sleeping(seconds):
    """Processes that sleep for so long."""
    found = []
    for pid in children_named(None, "sleep"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if str(seconds).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def test_a_request_comes_back_as_it_was_sent():
    request = JoinRequest(
        7, 9, "parent", "run-1", "execute", ("sh", "-c", "\udcff\n"), {"A": "b=c"}, "/work", ("stdout",)
    )

    assert join_request.read(join_request.to_text(request)) == request


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"version":1}', b'{"version":2}', b"null", b'{"version":1,"terminal":[1],"argv":["a"]}'],
)
def test_what_is_no_request_is_refused(text):
    with pytest.raises(ValueError, match="request|Expecting"):
        join_request.read(text)


@pytest.mark.parametrize(
    "fields", [{"argv": ()}, {"argv": ("a\0b",)}, {"env": {"a=b": ""}}, {"env": {"A": "\0"}}, {"terminal": (1, 1)}]
)
def test_a_request_that_no_exec_could_do_is_none(fields):
    with pytest.raises(ValueError, match="cannot go into a run"):
        JoinRequest(1, 1, "p", "c", "execute", **{"argv": ("a",), "streams": ("stdin",), **fields})


@pytest.mark.parametrize("answer", [Started(), Ended(137, 9), Refused("no", 127), Refused("over", None, True)])
def test_an_answer_comes_back_as_it_was_given(answer):
    assert join_request.read_answer(join_request.answer_to_plain(answer)) == answer


@needs_root
def test_output_errors_and_exit_code_come_back_each_on_its_own(held):
    with held.join("sh", "-c", "echo out; echo err >&2; exit 7") as session:
        assert read_all(session.stdout) == b"out\n"
        assert read_all(session.stderr) == b"err\n"
        assert session.wait(WAIT_SECONDS) == 7


@needs_root
def test_a_death_by_signal_is_told_as_a_shell_does(held):
    assert held.output("sh", "-c", "kill -TERM $$")[0] == 128 + signal.SIGTERM


@needs_root
def test_the_end_of_stdin_ends_what_reads_it_and_nothing_else(held):
    assert held.output("sh", "-c", "cat; echo more", stdin=b"in") == (0, "inmore\n")


@needs_root
def test_fifty_megabytes_go_in_and_come_out_as_they_are(held):
    content = os.urandom(50 * MIB)
    with held.join("cat") as session:
        writer = threading.Thread(target=lambda: (write_all(session.stdin, content), session.close_stdin()))
        writer.start()
        got = hashlib.sha256()
        while chunk := read_some(session.stdout):
            got.update(chunk)
        writer.join()
        assert session.wait(WAIT_SECONDS) == 0
    assert got.hexdigest() == hashlib.sha256(content).hexdigest()


@needs_root
def test_who_does_not_read_holds_up_the_writer_and_no_memory(held):
    with held.join("sh", "-c", "yes | head -c 10000000; echo done >&2") as session:
        assert not readable(session.stderr, 0.3)
        out = read_all(session.stdout)
        assert read_all(session.stderr) == b"done\n"
    assert len(out) == 10_000_000


@needs_root
def test_a_terminal_is_the_runs_own_and_has_the_size_it_is_given(held):
    script = "trap 'stty size; exit 3' WINCH; tty; stty size; while :; do sleep 0.05; done"
    with held.join("bash", "-c", script, terminal=(100, 30)) as session:
        read_until(session.stdout, b"30 100\r\n")
        session.resize(120, 40)
        rest = read_all(session.stdout)
        assert session.wait(WAIT_SECONDS) == 3
    assert b"40 120\r\n" in rest


@needs_root
def test_a_terminals_keys_become_signals(held):
    with held.join("sh", "-c", "echo ready; exec sleep 100", terminal=(80, 24)) as session:
        read_until(session.stdout, b"ready")
        os.write(session.stdin, b"\x03")
        assert session.wait(WAIT_SECONDS) == 128 + signal.SIGINT


@needs_root
@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "USR1"])
def test_signals_are_sent_on(held, name):
    with held.join("sh", "-c", f"trap 'exit 9' {name}; echo ready; while :; do sleep 0.02; done") as session:
        read_until(session.stdout, b"ready")
        session.signal(name)
        assert session.wait(WAIT_SECONDS) == 9


@needs_root
@pytest.mark.parametrize(
    ("argv", "exit_code", "cause"),
    [
        (("nonesuch",), 127, "it is in no directory of PATH"),
        (("/work/none",), 127, "there is no such file in the sandbox"),
        (("/etc/passwd",), 126, "not executable"),
        (("/proc/self/exe", "-c", "1"), 126, "link of /proc"),
    ],
)
def test_a_command_that_cannot_be_executed_says_why(held, argv, exit_code, cause):
    with pytest.raises(JoinRefused, match=cause) as refused:
        held.join(*argv)

    assert refused.value.answer.exit_code == exit_code


@needs_root
def test_a_working_directory_that_is_not_there_says_so(held):
    with pytest.raises(JoinRefused, match="cannot enter the working directory /none"):
        held.join("true", cwd="/none")


@needs_root
def test_nobody_goes_into_a_run_that_has_ended(launching):
    held = Held(launching, "true")
    launching.record_of(held.spec)

    with pytest.raises(JoinRefused, match="the run has ended") as refused:
        held.join("true")

    assert refused.value.answer.run_is_over


@needs_root
def test_a_pid_that_is_another_process_by_now_is_not_gone_into(held):
    request = request_for(held.spec, held.started, "true")
    other = JoinRequest(
        request.pid, request.start_time + 1, request.cgroup_parent, request.cgroup, "execute", ("true",)
    )

    with pytest.raises(JoinRefused, match="the run has ended"):
        held.launching.client.join(other)


@needs_root
def test_nobody_goes_into_a_process_that_is_no_run(held):
    with open(f"/proc/{os.getpid()}/stat") as file:
        start_time = int(file.read().rpartition(") ")[2].split()[19])
    ours = JoinRequest(os.getpid(), start_time, held.spec.cgroup_parent, held.spec.cgroup, "execute", ("true",))

    with pytest.raises(JoinRefused, match="still being started"):
        held.launching.client.join(ours)


@needs_root
def test_the_end_of_the_run_ends_who_is_inside(launching):
    held = Held(launching)
    with held.join("sh", "-c", "echo ready; exec sleep 1000") as session:
        read_until(session.stdout, b"ready")
        record = held.end()
        assert session.wait(WAIT_SECONDS) == 128 + signal.SIGKILL
    assert record.reason == "Stopped"


@needs_root
def test_how_it_ends_changes_nothing_about_the_run(launching):
    held = Held(launching, "sh", "-c", "while [ ! -e /work/go ]; do sleep 0.02; done; exit 5")

    assert held.output("sh", "-c", "exit 9")[0] == 9
    assert held.output("sh", "-c", "kill -9 $$")[0] == 137
    assert held.output("touch", "/work/go")[0] == 0

    assert launching.record_of(held.spec).exit_code == 5


@needs_root
def test_who_closes_the_session_ends_what_is_inside(held):
    session = held.join("sh", "-c", "echo ready; exec sleep 4321")
    read_until(session.stdout, b"ready")
    held.launching.until(lambda: sleeping(4321))
    (pid,) = sleeping(4321)

    session.close()

    held.launching.until(lambda: not is_alive(pid))
    assert not is_alive(pid)


@needs_root
def test_it_goes_on_without_the_launcher(held):
    with held.join("sh", "-c", "echo ready; cat; exit 6") as session:
        read_until(session.stdout, b"ready")
        launcher = held.launching.client.ping()
        fd = os.pidfd_open(launcher)
        os.kill(launcher, signal.SIGKILL)
        readable(fd, WAIT_SECONDS)
        os.close(fd)
        write_all(session.stdin, b"still here")
        session.close_stdin()
        assert b"still here" in read_all(session.stdout)
        assert session.wait(WAIT_SECONDS) == 6
    held.launching.client.ensure_running()

    assert held.output("echo", "again") == (0, "again\n")


@needs_root
def test_it_ends_with_its_attendant(held):
    with held.join("sh", "-c", "echo ready; exec sleep 5432") as session:
        read_until(session.stdout, b"ready")
        held.launching.until(lambda: sleeping(5432))
        (pid,) = sleeping(5432)
        (attendant,) = children_named(held.launching.client.ping(), "rnx-join")
        os.kill(attendant, signal.SIGKILL)
        held.launching.until(lambda: not is_alive(pid))
        with pytest.raises(JoinRefused, match="was killed"):
            session.wait(WAIT_SECONDS)


@needs_root
def test_a_run_that_may_have_no_more_processes_takes_none_from_us(launching):
    held = Held(launching, "sh", "-c", "sleep 1000 & sleep 1000 & wait", limits=Limits(256 * MIB, None, 3))
    launching.until(lambda: len(children_named(None, "sleep")) >= 2)

    with pytest.raises(JoinRefused, match="cannot start a process in the run: .* spec.resources.limits.pids"):
        held.join("true")
    held.end()


@needs_root
def test_many_at_once_leave_nothing_behind(held):
    before = len(os.listdir("/proc/self/fd"))
    sessions = [held.join("cat") for _ in range(12)]
    for number, session in enumerate(sessions):
        write_all(session.stdin, str(number).encode())
        session.close_stdin()
    got = [read_all(session.stdout) for session in sessions]
    codes = [session.wait(WAIT_SECONDS) for session in sessions]
    for session in sessions:
        session.close()

    assert got == [str(number).encode() for number in range(12)]
    assert set(codes) == {0}
    held.launching.until(lambda: not children_named(held.launching.client.ping(), "rnx-join"))
    assert len(os.listdir("/proc/self/fd")) == before


@needs_root
def test_who_is_not_let_in_waits_for_a_bounded_time_and_nothing_is_done_later(held):
    """As when a run is frozen between the question whether it is and the way in."""
    assert held.output("true")[0] == 0  # It has a cgroup, and goes on.
    connection = held.launching.client._greeted()
    request = request_for(held.spec, held.started, "touch", "/work/came", streams=())
    lifecycle = choose.open_lifecycle(choose.hierarchies_of_host(), held.launching.cgroup_parent)
    try:
        lifecycle.freeze(held.spec.cgroup)
        with pytest.raises(JoinRefused, match="nobody was let in for 0.3 s: try again later"):
            open_session(connection, request, within_seconds=0.3)
    finally:
        lifecycle.thaw(held.spec.cgroup)
        lifecycle.close()

    held.launching.until(lambda: not children_named(None, "rnx-join"))
    assert connection.fileno() == -1
    assert held.output("test", "-e", "/work/came")[0] == 1


@needs_root
def test_one_that_goes_away_while_it_is_let_in_leaves_nothing(held):
    connection = held.launching.client._greeted()
    request = request_for(held.spec, held.started, "sleep", "6543", streams=())
    connection.sendall(protocol.encode({"id": 1, "op": "join"}, join_request.to_text(request)))
    connection.close()

    poll = select.poll()
    held.launching.until(lambda: not poll.poll(20) and not children_named(held.launching.client.ping(), "rnx-join"))
    assert not sleeping(6543)


class Hasty(socket.socket):
    """A connection whose other side has done all and is gone as soon as it was asked."""

    other: socket.socket

    def sendmsg(self, *arguments):
        sent = super().sendmsg(*arguments)
        self.other.recv(1 << 16)
        for said in (Started(), Ended(0, None)):
            self.other.sendall(protocol.encode(join_request.answer_to_plain(said)))
        self.other.close()
        return sent


def test_what_was_done_before_we_looked_is_no_failure_and_so_not_done_again():
    ours, theirs = socket.socketpair()
    connection = Hasty(fileno=ours.detach())
    connection.other = theirs

    with open_session(connection, JoinRequest(1, 1, "p", "c", "execute", ("true",))) as session:
        assert session.wait(WAIT_SECONDS) == 0
