"""What is refused before anybody goes into a run, and attaching to what it prints; the rest is tested with real runs."""

import json
import select
import threading

import pytest

from api import channels
from api.channels import Channel
from api.client_stream import Stream
from api.client_transport import Address
from api.errors import ApiError, BadRequest, NotFound, ServiceUnavailable
from api.kinds import JOB
from api.ports import CannotExecute
from controller.job.logs import JobLogs, log_directory

ALL = [("stdout", "true"), ("stderr", "true")]


def opened(api, path, *params):
    return Stream.open(Address.of_socket(api.socket), path, [*ALL, *params])


def messages_of(stream):
    while not stream.is_over:
        yield from map(channels.split, stream.receive())
        if not stream.is_over:
            assert select.select([stream], [], [], 10)[0]


@pytest.mark.parametrize("what", ["exec", "attach"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_asks_without_a_websocket_is_told(api, pod, what, method):
    answer = api.client.request(method, f"{pod}/{what}")

    assert answer.status_code == 400
    assert "Upgrade request required" in answer.json()["message"]


@pytest.mark.parametrize("what", ["exec", "attach", "portforward"])
def test_who_falls_back_to_spdy_is_told_why_its_websocket_was_refused(api, pod, what):
    missing = api.client.post(f"/api/v1/namespaces/{api.space}/pods/none-1/{what}")
    other = api.client.post(f"{pod}/{what}", params={"container": "other"})
    api.state("Ended")
    ended = api.client.post(f"{pod}/{what}")

    assert (missing.status_code, other.status_code, ended.status_code) == (404, 400, 400)
    assert "container other is not valid" in other.json()["message"]
    assert "it has ended" in ended.json()["message"]


@pytest.mark.parametrize(
    ("params", "cause"),
    [
        ([], "at least 1 command"),
        ([("command", "")], "at least 1 command"),
        ([("command", "true"), ("container", "other")], "container other is not valid"),
        ([("command", "true"), ("tty", "perhaps")], 'cannot read tty="perhaps"'),
        ([("command", "tr\0ue")], "NUL"),
    ],
)
def test_what_cannot_be_executed_is_refused_with_a_status(api, pod, params, cause):
    with pytest.raises(BadRequest, match=cause):
        opened(api, f"{pod}/exec", *params)


def test_who_wants_no_stream_at_all_is_refused(api, pod):
    with pytest.raises(BadRequest, match="at least one of stdin, stdout, stderr"):
        Stream.open(Address.of_socket(api.socket), f"{pod}/exec", [("command", "true")])


def test_a_run_that_has_ended_is_not_gone_into(api, pod):
    api.state("Ended")

    with pytest.raises(BadRequest, match="it has ended"):
        opened(api, f"{pod}/exec", ("command", "true"))


@pytest.mark.parametrize("path", ["none-1/exec", "etl-2/exec", "etl-01/exec", "etl-1/other"])
def test_what_is_not_there_is_not_found(api, pod, path):
    with pytest.raises(NotFound):
        opened(api, f"/api/v1/namespaces/{api.space}/pods/{path}", ("command", "true"))


def test_a_failure_to_go_in_is_told_as_it_is(api, pod):
    api.above.refusal = ServiceUnavailable("cannot go into the run: no launcher")

    with pytest.raises(ServiceUnavailable, match="no launcher"):
        opened(api, f"{pod}/exec", ("command", "true"))


def test_a_command_that_cannot_be_executed_ends_with_a_shells_code(api, pod):
    api.above.refusal = CannotExecute("cannot run x: there is no such file", 127)

    with opened(api, f"{pod}/exec", ("command", "x")) as stream:
        errors, status = messages_of(stream)

    assert errors == (Channel.STDERR, b"cannot run x: there is no such file\n")
    assert channels.exit_code_of(json.loads(status[1])) == 127


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ([("stdout", "true"), ("tty", "true")], b"cannot run x: there is no such file\r\n"),
        ([("stdout", "true"), ("stderr", "true"), ("tty", "true")], b"cannot run x: there is no such file\r\n"),
        ([("stdout", "true")], b"cannot run x: there is no such file\n"),
    ],
)
def test_who_has_no_stderr_is_told_on_stdout_why_a_command_cannot_be_executed(api, pod, params, said):
    api.above.refusal = CannotExecute("cannot run x: there is no such file", 127)

    with Stream.open(Address.of_socket(api.socket), f"{pod}/exec", [*params, ("command", "x")]) as stream:
        output, status = messages_of(stream)

    assert output == (Channel.STDOUT, said)
    assert channels.exit_code_of(json.loads(status[1])) == 127


def test_a_client_behind_a_proxy_may_send_an_origin_that_is_not_ours(api, pod):
    """As Kubernetes decides: what keeps a browser's certificate from being used by any page is not to give it one."""
    websocket = {
        "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-protocol": channels.V5,
    }  # fmt: skip
    api.above.log = lambda *_: iter([b""])
    answer = api.client.get(f"{pod}/attach?stdout=true", headers=websocket | {"origin": "https://dashboard.test"})

    assert answer.status_code == 101
    assert "access-control-allow-origin" not in answer.headers


def test_a_bug_of_ours_is_an_internal_error_without_details(api, pod):
    api.above.refusal = RuntimeError("secret")

    with pytest.raises(ApiError) as refused:
        opened(api, f"{pod}/exec", ("command", "true"))

    assert "secret" not in str(refused.value)


def test_attaching_gives_each_stream_on_its_channel_until_the_log_ends(api, pod):
    asked = []

    def read(job, attempt, options, stopped):
        asked.append((options.follow, options.tail_lines))
        yield options.stream.encode()

    api.above.log = read

    with opened(api, f"{pod}/attach") as stream:
        *outputs, status = messages_of(stream)

    assert sorted(outputs) == [(Channel.STDOUT, b"stdout"), (Channel.STDERR, b"stderr")]
    assert json.loads(status[1])["status"] == "Success"
    assert asked == [(True, 0)] * 2


@pytest.fixture
def log(api, pod, tmp_path):
    """The real log of the run; `over` says that it has ended."""
    over = threading.Event()
    logs = JobLogs(tmp_path, api.clock, lambda _job, _attempt: over.is_set(), lambda _job: 5)
    directory = log_directory(tmp_path, api.verbs.get(JOB, api.space, "etl")["metadata"]) / "1"
    directory.mkdir(parents=True)
    return logs, directory / "0.log", over


def test_of_two_streams_that_are_attached_to_the_slower_one_comes_to_its_end_too(api, pod, log):
    logs, file, over = log
    begun, told, ended = ({name: threading.Event() for name in ("stdout", "stderr")} for _ in range(3))

    def read(job, attempt, options, stopped):
        for chunk in logs.read(job, attempt, options, stopped):
            (told if chunk else begun)[options.stream].set()
            yield chunk
        ended[options.stream].set()

    def write(stream, *lines):
        with file.open("ab") as written:
            written.write(b"".join(b"T %b F %b\n" % (stream, line) for line in lines))

    api.above.log = read
    lines = [b"%07d" % number + b"x" * 1016 for number in range(8 << 10)]
    with opened(api, f"{pod}/attach") as stream:
        assert all(event.wait(10) for event in begun.values())
        write(b"stdout", b"first")
        messages = messages_of(stream)
        assert next(messages) == (Channel.STDOUT, b"first\n")
        write(b"stderr", *lines)
        assert told["stderr"].wait(10)
        write(b"stderr", b"LAST")
        over.set()
        assert ended["stdout"].wait(10)
        *outputs, status = messages

    assert {channel for channel, _ in outputs} == {Channel.STDERR}
    assert b"".join(text for _, text in outputs).splitlines() == [*lines, b"LAST"]
    assert json.loads(status[1])["status"] == "Success"


def test_nothing_is_sent_to_a_run_by_attaching_and_whoever_tries_is_told(api, pod):
    with pytest.raises(BadRequest, match="it is /dev/null: set spec.stdin of its job, or use exec -i"):
        opened(api, f"{pod}/attach", ("stdin", "true"))


def test_attaching_to_what_left_no_log_is_not_found(api, pod):
    api.above.log = None

    with pytest.raises(NotFound):
        opened(api, f"{pod}/attach")


def test_attaching_to_a_log_that_is_removed_before_it_is_read_is_refused(api, pod, log):
    logs, file, _ = log

    def read(job, attempt, options, stopped):
        chunks = logs.read(job, attempt, options, stopped)
        if options.stream == "stderr":
            file.parent.rmdir()
        return chunks

    api.above.log = read
    with pytest.raises(NotFound, match="or its log was removed"):
        opened(api, f"{pod}/attach")


def test_attaching_to_a_log_that_is_removed_meanwhile_ends_with_why(api, pod, log):
    logs, file, _ = log

    def read(job, attempt, options, stopped):
        chunks = logs.read(job, attempt, options, stopped)
        if options.stream == "stderr":
            file.parent.rmdir()
        yield b""
        yield from chunks

    api.above.log = read
    with opened(api, f"{pod}/attach") as stream:
        ((channel, status),) = messages_of(stream)

    assert (channel, json.loads(status)["reason"]) == (Channel.STATUS, "NotFound")


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(("path", "cause"), [("", "say which by path"), ("a\0b", "say which by path")])
def test_files_need_a_path(api, pod, method, path, cause):
    answer = api.client.request(method, f"{pod}/files", params={"path": path})

    assert (answer.status_code, cause in answer.json()["message"]) == (400, True)


def test_files_of_a_run_that_has_ended_are_not_to_be_had(api, pod):
    api.state("Ended")

    answers = [api.client.request(method, f"{pod}/files", params={"path": "/work"}) for method in ("GET", "PUT")]

    assert [answer.status_code for answer in answers] == [400, 400]


def test_no_other_method_is_allowed_on_files(api, pod):
    assert api.client.request("DELETE", f"{pod}/files", params={"path": "/work"}).status_code == 405
