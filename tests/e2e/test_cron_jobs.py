"""CronJobs by the real daemon, with the machine's own clock: it starts a job at its minute, and a kill starts no second."""

import pytest

from api.kinds import CRON_JOB
from api.meta import read_time
from support.cron_jobs import a_cron_job_document
from support.daemon import a_daemon

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


@pytest.mark.slow  # It waits for a minute to come.
@pytest.mark.invariant("T3")
def test_a_job_starts_at_its_minute_and_a_kill_starts_no_second():
    with a_daemon() as daemon:
        template = {"spec": {"command": ["sh", "-c", "echo it is time"], "backoffLimit": 0}}
        daemon.client.create(CRON_JOB, "default", a_cron_job_document("tick", jobTemplate=template))
        made = daemon.until("its minute came", lambda: list(daemon.jobs()), 70)
        daemon.kill_daemon()
        daemon.start()
        status = daemon.until("its job is on record", lambda: recorded(daemon.get(CRON_JOB, "tick")), 30)

        due = read_time(status["lastScheduleTime"])
        ended = daemon.ended(made[0])
        assert made == [f"tick-{int(due.timestamp()) // 60}"]
        assert (ended["phase"], ended["attempts"]) == ("Succeeded", 1)
        assert 0 <= (read_time(ended["startTime"]) - due).total_seconds() < 30
        made_events = [event for event in daemon.events("tick") if event["reason"] == "SuccessfulCreate"]
        assert sum(event["count"] for event in made_events) <= len(daemon.jobs())


def recorded(cron_job):
    status = cron_job.get("status", {})
    return status if status.get("lastScheduleTime") and status.get("active") == [] else None
