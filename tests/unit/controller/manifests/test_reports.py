import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from api.meta import ObjectKey
from api.types.manifest import ManifestState as State
from controller.engine.recorder import Recorder
from controller.manifests.reports import ManifestMetrics, Report, Reports
from controller.manifests.sources import FeedKind
from state.store import Store
from support.hand_clock import HandClock

ETL = ObjectKey("Job", "default", "etl")


@pytest.fixture
def reports(store: Store, recorder: Recorder, clock: HandClock, registry: CollectorRegistry) -> Reports:
    return Reports(store, recorder, clock, ManifestMetrics(registry))


def a_report(state: State = State.APPLIED, message: str = "", file: str = "a.yaml") -> Report:
    return Report(FeedKind.DIRECTORY, "directory", file, 3, state, message, ETL)


def test_a_report_says_source_file_line_object_state_message_and_since(reports: Reports):
    reports.replace(FeedKind.DIRECTORY, [a_report(State.INVALID, "a.yaml:3: no")])

    assert reports.reports() == [
        {
            "source": "directory",
            "file": "a.yaml",
            "line": 3,
            "object": "job/default/etl",
            "state": "Invalid",
            "message": "a.yaml:3: no",
            "since": "2026-01-02T03:04:05Z",
        }
    ]


def test_a_feed_that_fails_keeps_what_is_known_of_its_manifests(reports: Reports):
    reports.replace(FeedKind.DIRECTORY, [a_report()])

    reports.feed_failed(FeedKind.DIRECTORY, "cannot read manifests")
    reports.feed_failed(FeedKind.DIRECTORY, "cannot read manifests")

    assert [(r["file"], r["state"]) for r in reports.reports()] == [("*", "Unreadable"), ("a.yaml", "Applied")]


def test_feeds_are_reported_apart(reports: Reports):
    reports.replace(FeedKind.DIRECTORY, [a_report()])
    reports.replace(FeedKind.INBOX, [Report(FeedKind.INBOX, "inbox/x", "row", 1, State.APPLIED)])
    reports.replace(FeedKind.DIRECTORY, [])

    assert [r["source"] for r in reports.reports()] == ["inbox/x"]


def test_a_manifest_that_is_wrong_is_one_event_until_it_is_wrong_in_another_way(
    reports: Reports, recorder: Recorder, store: Store
):
    for message in ("no", "no", "still no"):
        reports.replace(FeedKind.DIRECTORY, [a_report(State.INVALID, message)])
    reports.replace(FeedKind.DIRECTORY, [a_report(State.CONFLICT, "others own it")])
    recorder.flush()

    found = {(event["reason"], event["message"], event["count"]) for event in store.list("Event").items}
    assert found == {
        ("InvalidManifest", "no", 1),
        ("InvalidManifest", "still no", 1),
        ("ManifestConflict", "others own it", 1),
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_promtool_finds_nothing_wrong_with_the_metrics(reports: Reports, registry: CollectorRegistry):
    reports.replace(FeedKind.DIRECTORY, [a_report()])

    checked = subprocess.run(["promtool", "check", "metrics"], input=generate_latest(registry), capture_output=True)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
