"""The launcher as its clients know it: requests, answers, and clients that talk nonsense."""

import contextlib
import os
import signal
import socket
from pathlib import Path
from struct import pack

import pytest

from controller.launcher import protocol
from controller.launcher.client import RunRefused, Started, start_request
from controller.launcher.protocol import Decoder
from controller.launcher.records import Exited, Running
from support.launching import host_sandbox, readable

pytestmark = pytest.mark.needs_root


@pytest.fixture
def raw(launching):
    """A connection that says what a test wants it to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(launching.root / "launcher.sock"))
        yield connection


def answers(connection, count):
    decoder, read = Decoder(), []
    while len(read) < count:
        received = connection.recv(65536)
        assert received, f"the launcher hung up after {read}"
        read += decoder.feed(received)
    return read


def asking_for(spec, request_id):
    request, *attached = start_request(spec)
    return protocol.encode({"id": request_id, **request}, *attached)


def test_only_root_may_connect(launching):
    assert (launching.root / "launcher.sock").stat().st_mode & 0o777 == 0o600


def test_many_requests_may_be_sent_before_the_first_answer(raw):
    raw.sendall(b"".join(protocol.encode({"id": number, "op": "ping"}) for number in range(50)))

    assert [answer["id"] for answer in answers(raw, 50)] == list(range(50))


def test_many_runs_may_be_asked_for_before_the_first_answer(launching, raw):
    specs = [launching.spec("true") for _ in range(8)]
    raw.sendall(b"".join(asking_for(spec, spec.run_id) for spec in specs))

    assert {answer["id"] for answer in answers(raw, 8)} == {spec.run_id for spec in specs}
    assert {launching.record_of(spec).reason for spec in specs} == {"Completed"}


@pytest.mark.parametrize(
    "junk",
    [
        pack(">I", 7) + b"no json",
        pack(">I", protocol.MAX_MESSAGE_BYTES + 1),
        protocol.encode({"id": 1, "op": "nonesuch"}),
        protocol.encode({"id": 1}),
        protocol.encode({"id": 1, "op": "start"}),
        protocol.encode({"id": 1, "op": "start", "spec": [7]}),
        protocol.encode({"id": 1, "op": "start", "parent": "p", "cgroup": "c", "ahead": True}, b"{}"),
        protocol.encode(
            {"id": 1, "op": "start", "parent": "p", "cgroup": "c", "ahead": True, "attached": ["{}", "{}"]}
        ),
        protocol.encode({"id": 1, "op": ["hello"]}),
        os.urandom(64).replace(b"\0", b"\1"),
    ],
)
def test_nonsense_is_answered_with_an_error_and_a_hang_up_and_disturbs_nobody(launching, raw, junk):
    raw.sendall(junk)

    (answer,) = answers(raw, 1)
    assert "cannot " in answer["error"]
    assert raw.recv(1) == b""
    assert launching.run("true")[0].reason == "Completed"


def test_another_version_is_refused_and_may_still_have_the_launcher_end(launching, raw):
    raw.sendall(protocol.encode({"id": 1, "op": "hello", "version": 999}))
    assert answers(raw, 1)[0]["kind"] == "version"

    raw.sendall(protocol.encode({"id": 2, "op": "shutdown"}))

    assert answers(raw, 1)[0] == {"id": 2}
    launching.client.ensure_running()


def test_a_run_is_started_and_known_by_its_pid_and_start_time(launching):
    spec = launching.spec("sleep", "600")

    started = launching.client.start(spec)

    running = launching.observe(spec)
    assert isinstance(started, Started)
    assert isinstance(running, Running)
    assert (running.pid, running.start_time) == (started.pid, started.start_time)


def test_a_run_asked_for_twice_is_executed_once(launching):
    spec = launching.spec("sh", "-c", "echo ran")

    first = launching.client.start(spec)
    second = launching.client.start(spec)
    launching.record_of(spec)
    third = launching.client.start(spec)

    assert isinstance(first, Started)
    assert second is None
    assert third is None
    assert launching.output_of(spec) == "ran\n"


def test_a_run_that_is_none_is_refused_without_a_trace(launching):
    spec = launching.spec("true")
    object.__setattr__(spec, "argv", ("a\0b",))

    with pytest.raises(RunRefused, match="NUL character"):
        launching.client.start(spec)

    assert os.listdir(spec.run_dir) == []


def test_a_run_without_its_directory_is_an_error_and_not_made_up(launching):
    spec = launching.spec("true")
    os.rmdir(spec.run_dir)

    with pytest.raises(ConnectionError, match=f"cannot claim the run in {spec.run_dir}: No such file or directory"):
        launching.client.start(spec)


def test_runs_go_on_when_the_launcher_ends_and_the_next_leaves_their_slots_alone(launching):
    spec = launching.spec("sleep", "600")
    launching.client.start(spec)
    launching.client.shutdown()
    launching.client.ensure_running()

    record, _ = launching.run("true")

    assert isinstance(launching.observe(spec), Running)
    launching.stop(spec)
    assert launching.record_of(spec).receipt["hostUid"] != record.receipt["hostUid"]


def test_the_next_launcher_takes_the_socket_and_no_second_one_does(launching):
    first = launching.client.ping()
    launching.client.ensure_running()

    assert launching.client.ping() == first


def test_a_client_that_goes_away_takes_no_run_along(launching, raw):
    spec = launching.spec("sh", "-c", "echo ran")
    raw.sendall(asking_for(spec, 1))
    raw.shutdown(socket.SHUT_RDWR)

    launching.until(lambda: isinstance(launching.observe(spec), Exited))
    assert launching.output_of(spec) == "ran\n"


def test_a_ready_supervisor_that_was_killed_costs_no_run_and_each_request_has_one_answer(launching, raw):
    """The launcher is held meanwhile, so that it has the request before it hears of their end."""
    launching.until(lambda: launching.client.status()["warm"] > 0)
    launcher = launching.client.ping()
    spec = launching.spec("sh", "-c", "echo ran")
    os.kill(launcher, signal.SIGSTOP)
    raw.sendall(asking_for(spec, 1))
    kill_and_wait(Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split())
    os.kill(launcher, signal.SIGCONT)

    (answer,) = answers(raw, 1)
    assert (answer["id"], answer.get("claimed")) == (1, False), answer
    assert launching.record_of(spec).reason == "Completed"
    raw.sendall(protocol.encode({"id": 2, "op": "ping"}))
    assert [answer["id"] for answer in answers(raw, 1)] == [2]


@pytest.fixture
def hold():
    """Stops processes until the end of the test."""
    with contextlib.ExitStack() as held:

        def stop(pids):
            for pid in pids:
                fd = held.enter_context(os.fdopen(os.pidfd_open(pid))).fileno()
                held.callback(resume, fd)
                signal.pidfd_send_signal(fd, signal.SIGSTOP)

        yield stop


def resume(fd):
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(fd, signal.SIGCONT)


@pytest.mark.parametrize("large", [False, True])
def test_ready_supervisors_that_hang_hold_up_neither_the_launcher_nor_their_runs(launching, raw, hold, large):
    """Stopped, they are as ones whose sandbox's source is on a server that does not answer."""
    spec = launching.spec("sh", "-c", "echo ran")
    launching.client.start(spec)
    launching.record_of(spec)
    launching.until(lambda: launching.client.status()["running"] == 0)  # Its supervisor ends after it has told.
    launching.until(lambda: launching.client.status()["made"] >= 1)
    stopped = children_of(launching.client.ping())
    hold(stopped)
    env = {"PATH": "/usr/bin:/bin"} | {f"NAME_{number}": "x" * 1000 for number in range(900 if large else 0)}
    specs = [launching.spec("sh", "-c", "echo ran", env=env) for _ in range(3)]

    raw.sendall(b"".join(asking_for(spec, number) for number, spec in enumerate(specs)))
    raw.sendall(protocol.encode({"id": "ping", "op": "ping"}))

    said = answers(raw, 4)
    assert said[0]["id"] == "ping"
    assert {(each["id"], each["claimed"]) for each in said[1:]} == {(0, False), (1, False), (2, False)}
    assert {launching.output_of(spec) for spec in specs if launching.record_of(spec)} == {"ran\n"}
    still = set(stopped) & set(children_of(launching.client.ping()))
    kill_and_wait(still)
    launching.until(lambda: launching.client.status()["running"] == 0)


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_and_wait(pids):
    for pid in map(int, pids):
        fd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        assert readable(fd, 20)
        os.close(fd)


def test_status_counts_what_runs(launching):
    spec = launching.spec("sleep", "600")
    launching.client.start(spec)

    status = launching.client.status()

    assert (status["running"], status["started"]) == (1, 1)


def test_a_large_run_goes_through(launching):
    env = {f"NAME_{number}": "x" * 1000 for number in range(100)}

    record, output = launching.shell("env | wc -c", env={"PATH": "/usr/bin:/bin", **env}, sandbox=host_sandbox())

    assert record.reason == "Completed"
    assert int(output) > 100_000
