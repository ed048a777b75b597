"""What is told of a job, decided from what it was and what it is."""

import pytest
from prometheus_client import CollectorRegistry

from api.meta import ObjectKey
from api.objects.run_events import Events
from api.objects.verbs import Verbs
from api.ports import Change, ChangeType
from api.types.job import Job
from api.types.pod import pods_of
from controller.engine.metrics import EngineMetrics
from controller.engine.recorder import Recorder
from controller.job.announce import Announcer, JobMetrics, news
from controller.job.steps import StopRun
from state.store import Store
from support import objects
from support.hand_clock import HandClock


def a_job(*runs):
    return {"metadata": {"name": "etl"}, "status": {"phase": "Running", "runs": list(runs)}}


PENDING = {"attempt": 1, "state": "Pending"}
RUNNING = {"attempt": 1, "state": "Running", "startedAt": "2026-01-01T00:00:00Z", "runtime": "python@3.11"}
ENDED = RUNNING | {"state": "Ended", "reason": "Error", "message": "exited with 3"}
NEVER_STARTED = {"attempt": 1, "state": "Ended", "reason": "SandboxFailed", "message": "no room"}


def told(before, after):
    return [(item.reason, item.message) for item in news(a_job(*before), a_job(*after))]


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        ([PENDING], [RUNNING], ["Started"]),
        ([RUNNING], [RUNNING], []),
        ([RUNNING], [ENDED], ["Error"]),
        ([PENDING], [ENDED], ["Started", "Error"]),
        ([], [ENDED], ["Started", "Error"]),
        ([ENDED], [ENDED], []),
        ([PENDING], [NEVER_STARTED], ["SandboxFailed"]),
        ([ENDED], [ENDED, PENDING | {"attempt": 2}], []),
        ([ENDED, PENDING | {"attempt": 2}], [ENDED, RUNNING | {"attempt": 2}], ["Started"]),
    ],
)
def test_each_start_and_each_end_is_told_once_however_quick_they_were(before, after, reasons):
    assert [reason for reason, _ in told(before, after)] == reasons


def test_a_start_is_told_with_its_runtime():
    assert told([], [ENDED])[0] == ("Started", "run 1 started in python@3.11")


@pytest.mark.parametrize(
    ("runs", "waits"),
    [
        ([PENDING], [1]),
        ([ENDED, PENDING | {"attempt": 2}], [2]),
        ([PENDING, PENDING | {"attempt": 2}], [None]),
        ([RUNNING], [None]),
        ([], [None]),
    ],
)
def test_what_a_job_waits_for_is_its_runs_where_that_one_waits(runs, waits):
    before = a_job(*runs)
    status = before["status"] | {"phase": "Pending", "reason": "PolicyForbids", "message": "no"}

    assert [item.run and item.run["attempt"] for item in news(before, before | {"status": status})] == waits


class Told:
    """An announcer over a real store, and what clients see of what it told."""

    def __init__(self, path):
        clock, registry = HandClock(), CollectorRegistry()
        self.store = Store.open(path / "store.db", clock)
        self.recorder = Recorder(self.store, clock, EngineMetrics(registry).events)
        self.announcer = Announcer(self.recorder, JobMetrics(registry))
        self.events = Events(Verbs(self.store, clock))
        self.job = self.store.create(objects.a_job(metadata={"namespace": "default"}))

    def change(self, **run):
        status = {"phase": "Running", "runs": [{"attempt": 1, "index": None, **run}]}
        after = self.job | {"status": status}
        self.announcer.keys(Change(ChangeType.MODIFIED, 1, ObjectKey.of(after), after, self.job))
        self.job = after

    def said(self):
        self.recorder.flush()
        return [(item["involvedObject"], item["reason"]) for item in self.events.list("default").items]


@pytest.fixture
def telling(tmp_path):
    made = Told(tmp_path)
    yield made
    made.store.close()


def test_each_event_of_a_run_is_one_row_and_its_pods_own(telling):
    telling.change(state="Running", startedAt="2026-01-01T00:00:00Z")
    telling.announcer.stopping(Job.model_validate(telling.job), StopRun(1, "PodDeleted", 5))
    telling.change(state="Ended", startedAt="2026-01-01T00:00:00Z", reason="OOMKilled", message="too much")
    (pod,) = pods_of(Job.model_validate(telling.job), "host-1")

    said = telling.said()

    assert len(telling.store.list("Event").items) == 3
    for kind in ("Job", "Pod"):
        assert {reason for about, reason in said if about["kind"] == kind} == {"Started", "Killing", "OOMKilled"}
    uids = {(about["name"], about["uid"]) for about, _ in said if about["kind"] == "Pod"}
    assert uids == {(pod["metadata"]["name"], pod["metadata"]["uid"])}


def test_a_run_that_is_told_to_end_is_told_of_with_its_time_and_why(telling):
    telling.change(state="Running", startedAt="2026-01-01T00:00:00Z")
    telling.announcer.stopping(Job.model_validate(telling.job), StopRun(1, "Superseded", 0.5))
    telling.recorder.flush()

    messages = [item["message"] for item in telling.store.list("Event").items if item["reason"] == "Killing"]
    assert messages == ["run 1: it is told to end, and killed after 0.5 s: Superseded"]
