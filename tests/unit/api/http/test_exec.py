"""What is refused before anybody goes into a run, and attaching to what it prints; the rest is tested with real runs."""

import json
import select

import pytest

from api import channels
from api.channels import Channel
from api.client_stream import Stream
from api.client_transport import Address
from api.errors import ApiError, BadRequest, NotFound, ServiceUnavailable
from api.ports import CannotExecute
from support.objects import a_job

MERGE = {"content-type": "application/merge-patch+json"}
ALL = [("stdout", "true"), ("stderr", "true")]


@pytest.fixture
def pod(api):
    api.client.post(api.jobs(), json=a_job())

    def state(name):
        body = json.dumps({"status": {"runs": [{"attempt": 1, "state": name, "exitCode": 0}]}})
        assert api.client.patch(api.jobs("etl", "status"), content=body, headers=MERGE).status_code == 200

    state("Running")
    api.state = state
    return f"/api/v1/namespaces/{api.space}/pods/etl-1"


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


def test_nothing_is_sent_to_a_run_by_attaching_and_whoever_tries_is_told(api, pod):
    with pytest.raises(BadRequest, match="it is /dev/null: use exec -i"):
        opened(api, f"{pod}/attach", ("stdin", "true"))


def test_attaching_to_what_left_no_log_is_not_found(api, pod):
    api.above.log = None

    with pytest.raises(NotFound):
        opened(api, f"{pod}/attach")


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
