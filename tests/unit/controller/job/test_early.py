"""Which jobs have their runs made ready before they are due."""

from datetime import timedelta

import pytest

from api.meta import wire_micro_time
from api.types.cron_job import AHEAD_ANNOTATION
from controller.job.early import EarlyStarts
from support.builders import NOW, a_job

MOMENT = NOW + timedelta(seconds=30)
MADE = {"annotations": {AHEAD_ANNOTATION: "1"}}


def a_scheduled_job(moment=MOMENT, **spec):
    return a_job(startAt=wire_micro_time(moment), **spec)


def crowded():
    early = EarlyStarts()
    for number in range(100):
        job = a_scheduled_job(meta={"uid": f"uid-{number}"})
        early.ready_from(job, NOW)
    return early


def test_one_that_is_due_with_few_others_is_not_made_ready_ahead():
    early = EarlyStarts()

    assert early.ready_from(a_scheduled_job(), NOW) == MOMENT - timedelta(seconds=1)
    assert early.ready_from(a_scheduled_job(), MOMENT - timedelta(seconds=1)) is None


def test_one_of_very_many_is():
    assert (MOMENT - crowded().ready_from(a_scheduled_job(), NOW)).total_seconds() == pytest.approx(10.1)


@pytest.mark.parametrize(
    "spec",
    [
        {"suspend": True},
        {"completions": 3},
        {"parallelism": 2},
        {"after": [{"job": "other"}]},
        {"volumeMounts": [{"name": "data"}]},
        {"resources": {"limits": {"example.com/gpu": 1}}},
        {"network": {"name": "bridge"}},
        {"network": {"name": "host"}},
        {"envFrom": [{"secretRef": {"name": "s"}}]},
        {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]},
        {"files": [{"path": "f", "secretKeyRef": {"name": "s", "key": "k"}}]},
        {"files": [{"path": "f", "hostPath": "/srv/f"}]},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_what_it_takes_from_others_or_what_may_change_until_then_is_taken_at_its_time(spec):
    early = EarlyStarts(network_of=lambda job: job.spec.network.name if job.spec.network else "none")

    assert early.ready_from(a_scheduled_job(**spec, meta=MADE), NOW) is None
    assert early.ready_from(a_scheduled_job(meta=MADE), NOW) == NOW


def test_where_all_jobs_are_in_a_network_none_is_made_ready():
    assert EarlyStarts(network_of=lambda _job: "bridge").ready_from(a_scheduled_job(meta=MADE), NOW) is None


def test_one_that_a_cron_job_has_made_ahead_is_made_ready_at_once():
    assert EarlyStarts().ready_from(a_scheduled_job(meta=MADE), NOW) == NOW


def test_but_not_more_than_a_minute_ahead():
    assert EarlyStarts().ready_from(a_scheduled_job(NOW + timedelta(seconds=61), meta=MADE), NOW) is None


@pytest.mark.parametrize("moment", [NOW, NOW - timedelta(days=1)])
def test_one_that_is_due_is_begun_as_ever(moment):
    assert crowded().ready_from(a_scheduled_job(moment, meta=MADE), NOW) is None


def test_one_without_a_start_time_and_one_that_goes_are_not():
    assert crowded().ready_from(a_job(meta=MADE), NOW) is None
    assert (
        EarlyStarts().ready_from(a_scheduled_job(meta=MADE | {"deletionTimestamp": "2026-01-02T03:04:05Z"}), NOW)
        is None
    )
