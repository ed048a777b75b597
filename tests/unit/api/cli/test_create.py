"""`rnx create job --from=cronjob/NAME` and CronJobs in tables, on the real API."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from api.kinds import CRON_JOB, JOB
from api.meta import wire_time
from support.cron_jobs import a_cron_job_document


@pytest.fixture
def tick(live):
    return live.create(CRON_JOB, a_cron_job_document("tick", timeZone="Europe/Berlin"))


def test_a_job_is_made_from_a_cron_job_as_kubectl_makes_it(rnx, live, tick):
    said = rnx("create", "job", "now", "--from=cronjob/tick")

    metadata = live.get(JOB, "now")["metadata"]
    owner = metadata["ownerReferences"][0]
    assert (said.code, said.out) == (0, "job.runwright.dev/now created\n")
    assert metadata["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    assert (owner["kind"], owner["name"], owner["controller"], "blockOwnerDeletion" in owner) == (
        "CronJob", "tick", True, False,
    )  # fmt: skip


def test_what_would_be_made_can_be_seen_first(rnx, live, tick):
    said = rnx("create", "job", "now", "--from=cj/tick", "--dry-run=server", "-o", "json")

    assert json.loads(said.out)["spec"] == {"command": ["true"]}
    assert (
        rnx("create", "job", "now", "--from=cj/tick", "--dry-run").out
        == "job.runwright.dev/now created (server dry run)\n"
    )
    assert live.client.list(JOB, "default")["items"] == []


@pytest.mark.parametrize("source", ["tick", "job/tick", "cronjob"])
def test_what_is_no_cron_job_is_refused(rnx, tick, source):
    said = rnx("create", "job", "now", f"--from={source}")

    assert said.code == 2
    assert f'--from: "{source}" is no CronJob: write cronjob/NAME' in said.err


def test_a_cron_job_that_is_not_there_is_told(rnx, live):
    said = rnx("create", "job", "now", "--from=cronjob/nope")

    assert (said.code, 'cronjobs.runwright.dev "nope" not found' in said.err) == (1, True)


def test_the_table_is_kubectls(rnx, live, tick):
    before = rnx("get", "cronjobs").lines
    then = wire_time(datetime.now(UTC) - timedelta(minutes=30))  # From ten on, no seconds are shown.
    live.set_status(CRON_JOB, "tick", lastScheduleTime=then, active=[{"name": "tick-1"}])
    after = rnx("get", "cj").lines[1].split()

    assert re.split(r" {2,}", before[0]) == [
        "NAME",
        "SCHEDULE",
        "TIMEZONE",
        "SUSPEND",
        "ACTIVE",
        "LAST SCHEDULE",
        "AGE",
    ]
    assert before[1].split()[6:-1] == ["Europe/Berlin", "False", "0", "<none>"]
    assert after[6:-1] == ["Europe/Berlin", "False", "1", "30m"]
