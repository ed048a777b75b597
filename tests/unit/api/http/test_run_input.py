"""Attaching to the standard input of a run: what goes in, what ends it, and who waits for whom. The run is a pipe."""

import contextlib
import json
import os
import select
import socket
import threading

import pytest

from api import channels
from api.channels import Channel
from api.client_stream import Stream
from api.client_transport import Address
from api.errors import BadRequest, ServiceUnavailable
from support.http import serving
from support.objects import a_job

WAIT_SECONDS = 20
PIPE_BYTES = 1 << 16
CLOSE_STDIN = channels.frame(Channel.CLOSE, bytes((Channel.STDIN,)))
ONCE = {"stdin": True, "stdinOnce": True}


class Input:
    """What writes to a pipe, whose other end a test reads; how it was let go of comes by `ended` and `closed`."""

    def __init__(self, problem=None):
        self.read_fd, self._fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        self.ended, self.closed = threading.Event(), threading.Event()
        self.problem = problem

    def fileno(self):
        return self._fd

    def end(self):
        self.close()
        self.ended.set()
        if self.problem is not None:
            raise self.problem

    def close(self):
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self.closed.set()

    def read_some(self, most=1 << 20):
        assert select.select([self.read_fd], [], [], WAIT_SECONDS)[0]
        chunk = os.read(self.read_fd, most)
        assert chunk
        return chunk

    def read(self, count):
        out = b""
        while len(out) < count:
            out += self.read_some(count - len(out))
        return out


@pytest.fixture
def inputs(api):
    with feeding(api) as inputs:
        yield inputs


@contextlib.contextmanager
def feeding(api):
    """The inputs that were opened, oldest first; the run goes on until the test's end."""
    made, over = [], threading.Event()

    def opened():
        made.append(Input())
        return made[-1]

    def log(job, attempt, options, stopped):
        while not (over.wait(0.02) or stopped()):
            yield b""

    api.above.stdin, api.above.log, api.end_run = opened, log, over.set
    yield made
    over.set()
    for each in made:
        each.close()
        os.close(each.read_fd)


def a_pod(api, **fields):
    api.client.post(api.jobs(), json=a_job("eats", **fields))
    body = json.dumps({"status": {"runs": [{"attempt": 1, "state": "Running"}]}})
    headers = {"content-type": "application/merge-patch+json"}
    assert api.client.patch(api.jobs("eats", "status"), content=body, headers=headers).status_code == 200
    return f"/api/v1/namespaces/{api.space}/pods/eats-1"


def attached(api, pod, *names):
    streams = names or ("stdin", "stdout", "stderr")
    return Stream.open(Address.of_socket(api.socket), f"{pod}/attach", [(name, "true") for name in streams])


def said(content):
    return channels.frame(Channel.STDIN, content)


def status_of(stream):
    while not stream.is_over:
        for channel, payload in map(channels.split, stream.receive()):
            if channel == Channel.STATUS:
                return json.loads(payload)
        assert select.select([stream], [], [], WAIT_SECONDS)[0]
    raise AssertionError("it was over without a status")


def test_what_is_sent_is_what_the_run_reads(api, inputs):
    with attached(api, a_pod(api, stdin=True)) as stream:
        stream.send(said(b"one\n"))
        stream.send(said(b"two\n"))

        assert inputs[0].read(8) == b"one\ntwo\n"


@pytest.mark.invariant("X62")
def test_who_ends_their_input_ends_that_of_the_run_if_it_is_once(api, inputs):
    with attached(api, a_pod(api, **ONCE)) as stream:
        stream.send(said(b"all"))
        stream.send(CLOSE_STDIN)

        assert inputs[0].ended.wait(WAIT_SECONDS)
        assert inputs[0].read(3) == b"all"
        api.end_run()
        assert status_of(stream)["status"] == "Success"


@pytest.mark.invariant("X62")
def test_who_goes_ends_it_too(api, inputs):
    with attached(api, a_pod(api, **ONCE)):
        pass

    assert inputs[0].ended.wait(WAIT_SECONDS)


@pytest.mark.parametrize("ends", [True, False])
def test_without_once_neither_an_end_nor_going_ends_it_and_another_may_come(api, inputs, ends):
    pod = a_pod(api, stdin=True)
    with attached(api, pod) as stream:
        if ends:
            stream.send(CLOSE_STDIN)
            assert inputs[0].closed.wait(WAIT_SECONDS)
            stream.send(said(b"late"))
    assert inputs[0].closed.wait(WAIT_SECONDS)

    with attached(api, pod) as stream:
        stream.send(said(b"more"))
        assert inputs[1].read(4) == b"more"
    assert [each.ended.is_set() for each in inputs] == [False, False]


def test_two_may_write_at_once_but_not_where_the_first_ends_it(api, inputs):
    pod = a_pod(api, stdin=True)
    with attached(api, pod) as one, attached(api, pod) as other:
        one.send(said(b"1"))
        other.send(said(b"2"))
        assert (inputs[0].read(1), inputs[1].read(1)) == (b"1", b"2")


def test_where_the_first_ends_it_a_second_is_refused_until_the_first_has_gone(api, inputs):
    pod = a_pod(api, **ONCE)
    with attached(api, pod), pytest.raises(BadRequest, match="somebody is attached"):
        attached(api, pod)
    assert inputs[0].ended.wait(WAIT_SECONDS)

    api.above.stdin, api.above.refusal = None, BadRequest("it has ended")
    with pytest.raises(BadRequest, match="it has ended"):
        attached(api, pod)


@pytest.mark.invariant("X61")
def test_nothing_more_is_read_from_who_sends_to_a_run_that_does_not_read(api, inputs):
    pod = a_pod(api, stdin=True)
    with attached(api, pod) as stream, attached(api, pod) as other:
        content = os.urandom(64 * PIPE_BYTES)
        for start in range(0, len(content), PIPE_BYTES):
            stream.send(said(content[start : start + PIPE_BYTES]))

        assert stream.is_behind
        other.send(said(b"x"))
        assert inputs[1].read(1) == b"x"
        taken = b""
        while len(taken) < len(content):
            stream.flush()
            taken += inputs[0].read_some()
    assert taken == content


def test_who_goes_while_the_run_does_not_read_is_noticed(api, inputs):
    with attached(api, a_pod(api, **ONCE)) as stream:
        for _ in range(64):
            stream.send(said(bytes(PIPE_BYTES)))
        stream._socket.shutdown(socket.SHUT_RDWR)

    assert inputs[0].ended.wait(WAIT_SECONDS)


def test_a_run_that_reads_no_more_is_still_listened_to(api, inputs):
    with attached(api, a_pod(api, stdin=True)) as stream:
        stream.send(said(b"x"))
        inputs[0].read(1)
        os.close(inputs[0].read_fd)
        inputs[0].read_fd = os.open("/dev/null", os.O_RDONLY)
        stream.send(said(b"y"))

        assert inputs[0].closed.wait(WAIT_SECONDS)
        api.end_run()
        assert status_of(stream)["status"] == "Success"
    assert not inputs[0].ended.is_set()


def test_who_wants_to_see_nothing_is_told_when_all_was_taken(api, inputs):
    with attached(api, a_pod(api, **ONCE), "stdin") as stream:
        stream.send(said(b"all"))
        stream.send(CLOSE_STDIN)

        assert status_of(stream)["status"] == "Success"
    assert (inputs[0].ended.is_set(), inputs[0].read(3)) == (True, b"all")


def test_who_wants_to_see_nothing_is_told_that_the_run_has_ended(api, inputs):
    with attached(api, a_pod(api, **ONCE), "stdin") as stream:
        api.end_run()

        assert status_of(stream)["status"] == "Success"


def test_an_input_that_could_not_be_ended_is_told(api, inputs):
    api.above.stdin = lambda: inputs.append(Input(ServiceUnavailable("the pipe is full"))) or inputs[-1]

    with attached(api, a_pod(api, **ONCE), "stdin") as stream:
        stream.send(CLOSE_STDIN)
        status = status_of(stream)

    assert (status["status"], status["message"]) == ("Failure", "the pipe is full")


@pytest.mark.invariant("X62")
def test_a_daemon_that_ends_ends_no_input(tmp_path):
    with serving(tmp_path) as api, feeding(api) as inputs:
        with attached(api, a_pod(api, **ONCE)) as stream:
            stream.send(said(b"x"))
            inputs[0].read(1)

            api.server.stop()

        assert inputs[0].closed.is_set()
        assert not inputs[0].ended.is_set()


def test_a_job_without_one_is_not_written_to(api, inputs):
    with pytest.raises(BadRequest, match="it is /dev/null: set spec.stdin"):
        attached(api, a_pod(api))
    assert inputs == []


def test_once_without_a_standard_input_is_refused(api):
    answer = api.client.post(api.jobs(), json=a_job("odd", stdinOnce=True))

    assert (answer.status_code, "stdinOnce needs stdin" in answer.json()["message"]) == (422, True)
