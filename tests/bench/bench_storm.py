"""How late jobs start when very many are due in one second, beside jobs that start one after the other.

    python tests/bench/bench_storm.py [JOBS]

Two storms on the real daemon: jobs with one `startAt`, and CronJobs with one minute, all of them there a minute before
it. Lateness is from that moment to the first instruction of each job, as the kernel and the supervisors say it. The jobs are `true`, in the host's directories.
`ready` is how many had their runs made ready half a second before. The daemon's CPU is of all that becomes of a job
from a minute before its moment to its end; who waits for them asks for a metric, not for all jobs.
"""

import os
import statistics
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from api.kinds import CRON_JOB, JOB, Kind  # noqa: E402
from api.meta import Document, read_time, wire_time  # noqa: E402
from support.builders import a_job_document  # noqa: E402
from support.cron_jobs import a_cron_job_document  # noqa: E402
from support.daemon import Daemon, a_daemon  # noqa: E402

DEFAULT_JOBS = 1000
GOAL_SECONDS = 5.0
KNOWN_SECONDS = 60
PATIENCE_SECONDS = 300
RUNS = "var/lib/runwright/runs"


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_JOBS
    print(f"{count} jobs of a `true` due in one second, {os.cpu_count()} CPUs; seconds late")
    print("             first   median      p95     last   jobs/s   CPU ms of the daemon a job   ready")
    for name, storm in (("startAt", storm_of_jobs), ("CronJobs", storm_of_cron_jobs)):
        with a_daemon() as daemon:
            report(name, *storm(daemon, count))
    print(f"goal: the last at most {GOAL_SECONDS:g} s late")
    return 0


def storm_of_jobs(daemon: Daemon, count: int) -> tuple[list[float], float, int]:
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=KNOWN_SECONDS + 5 + count // 80)
    documents = [a_job_document(f"storm-{n}", command=["/bin/true"], startAt=wire_time(due)) for n in range(count)]
    return storm(daemon, JOB, documents, due)


def storm_of_cron_jobs(daemon: Daemon, count: int) -> tuple[list[float], float, int]:
    known = datetime.now(UTC) + timedelta(seconds=KNOWN_SECONDS + 5 + count // 80)
    due = known.replace(second=0, microsecond=0) + timedelta(minutes=1)
    schedule = f"{due.minute} {due.hour} * * *"
    template = {"spec": {"command": ["/bin/true"]}}
    documents = [a_cron_job_document(f"storm-{n}", schedule=schedule, jobTemplate=template) for n in range(count)]
    return storm(daemon, CRON_JOB, documents, due)


def storm(daemon: Daemon, kind: Kind, documents: list[Document], due: datetime) -> tuple[list[float], float, int]:
    """Make what is due, wait for the moment and for all jobs.

    Return how late each started, the daemon's CPU time, and how many had their runs made ready before.
    """
    for document in documents:
        daemon.client.create(kind, "default", document)
    if datetime.now(UTC) >= due - timedelta(seconds=KNOWN_SECONDS):
        raise SystemExit("making the objects took longer than was thought: try fewer")
    quiet = threading.Event()  # Nobody asks meanwhile: who does is served meanwhile.
    quiet.wait((due - datetime.now(UTC)).total_seconds() - KNOWN_SECONDS)
    before = cpu_seconds(daemon.pid)
    quiet.wait((due - datetime.now(UTC)).total_seconds() - 0.5)
    ready = sum(1 for directory in (daemon.root / RUNS).iterdir() if any(directory.iterdir()))
    quiet.wait(0.5 + GOAL_SECONDS)
    daemon.until("all have ended", lambda: ended(daemon) >= len(documents), PATIENCE_SECONDS, every=1.0)
    cpu = cpu_seconds(daemon.pid) - before
    jobs = daemon.jobs().values()
    late = sorted((read_time(job["status"]["startTime"]) - due).total_seconds() for job in jobs)
    return late, cpu, ready


def ended(daemon: Daemon) -> int:
    """Return how many jobs have ended."""
    lines = daemon.client.transport.text("/metrics").splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("runwright_jobs_finished_total"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(name: str, late: list[float], cpu: float, ready: int) -> None:
    p95 = statistics.quantiles(late, n=20)[-1]
    rate, cost = len(late) / max(late[-1], 0.001), cpu / len(late) * 1000
    print(
        f"{name:10} {late[0]:7.2f} {statistics.median(late):8.2f} {p95:8.2f} {late[-1]:8.2f} {rate:8.0f} {cost:9.1f} {ready:26}"
    )


if __name__ == "__main__":
    sys.exit(main())
