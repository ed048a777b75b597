"""What goes over a WebSocket of a process in a run, as Kubernetes says it."""

import json

import pytest

from api import channels
from api.channels import Channel


def test_the_best_subprotocol_that_is_offered_is_chosen():
    assert channels.choose(["v4.channel.k8s.io", "v5.channel.k8s.io"]) == "v5.channel.k8s.io"
    assert channels.choose(["channel.k8s.io", "v4.channel.k8s.io"]) == "v4.channel.k8s.io"
    assert channels.choose(["channel.k8s.io", ""]) is None


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"{}", b'{"Width":80}', b'{"Width":"80","Height":24}', b'{"Width":-1,"Height":24}',
     b'{"Width":65536,"Height":24}', b'{"Width":1.5,"Height":24}', b'{"Width":true,"Height":24}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_size_is_none(payload):
    assert channels.size(payload) is None


def test_a_size_comes_back_as_it_was_sent():
    channel, payload = channels.split(channels.resize(80, 24))

    assert (channel, channels.size(payload)) == (Channel.RESIZE, (80, 24))


def test_an_exit_code_is_told_as_kubectl_reads_it():
    status = channels.end_of(7)

    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


@pytest.mark.parametrize("code", [0, 1, 127, 137, 255])
def test_an_exit_code_comes_back_as_it_was_told(code):
    assert channels.exit_code_of(json.loads(json.dumps(channels.end_of(code)))) == code


@pytest.mark.parametrize(
    "status",
    [{}, {"status": "Failure"}, {"status": "Failure", "details": None}, {"status": "Failure", "details": {"causes": []}},
     {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "x"}]}}],
)  # fmt: skip
def test_another_failure_has_no_exit_code(status):
    assert channels.exit_code_of(status) is None
