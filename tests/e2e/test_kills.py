"""The promise that nothing is lost and nothing runs twice, under SIGKILLs at random moments."""

import random
import threading

import pytest

from support.daemon import Daemon

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

MANIFEST = """\
apiVersion: runwright.dev/v1alpha1
kind: Job
metadata: {{name: {name}}}
spec:
  command: [sh, -c, "echo ran $JOB_ID; sleep {seconds}; exit {code}"]
  backoffLimit: 1
  backoffSeconds: 0.5
"""


INSTANT = """\
apiVersion: runwright.dev/v1alpha1
kind: Job
metadata: {{name: instant-{number}}}
spec: {{command: [/bin/false], backoffLimit: 2, backoffSeconds: 0.2}}
"""


def drop_jobs(daemon: Daemon, count: int, moments: random.Random) -> dict[str, int]:
    """Put one file a job into the watched directory; return how each is going to exit."""
    codes = {f"job-{number}": int(number % 10 == 0) for number in range(count)}
    for name, code in codes.items():
        daemon.write(f"{name}.yaml", MANIFEST.format(name=name, seconds=round(moments.random() / 2, 3), code=code))
    return codes


def storm(daemon: Daemon, controller_kills: int, launcher_kills: int, moments: random.Random) -> None:
    """Kill controller and launcher at random moments, and start the controller again each time."""
    never = threading.Event()
    kills = ["controller"] * controller_kills + ["launcher"] * launcher_kills
    moments.shuffle(kills)
    for victim in kills:
        never.wait(moments.uniform(0.05, 0.8))
        if victim == "controller":
            daemon.kill_daemon()
            daemon.start_daemon()
        else:
            daemon.kill_launcher()


def check(daemon: Daemon, codes: dict[str, int], seconds: float) -> None:
    """Wait for all jobs, and see that each attempt ran once and has one outcome."""

    def all_ended():
        jobs = daemon.jobs()
        phases = {name: job.get("status", {}).get("phase") for name, job in jobs.items()}
        return set(phases) == set(codes) and all(phase in ("Succeeded", "Failed") for phase in phases.values()) and jobs

    jobs = daemon.until("all jobs ended", all_ended, seconds, every=0.2)
    for name, code in codes.items():
        status = jobs[name]["status"]
        attempts = 2 if code else 1
        assert (status["phase"], status["attempts"]) == ("Failed" if code else "Succeeded", attempts), status
        assert [run["exitCode"] for run in status["runs"]] == [code] * attempts
        for attempt in range(1, attempts + 1):
            uid = jobs[name]["metadata"]["uid"]
            assert daemon.log_of(name, attempt) == f"ran {uid}-{attempt}\n"


@pytest.mark.invariant("J1")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("jobs", "of_the_controller", "of_the_launcher", "seed"),
    [(100, 17, 7, 20261122), *(pytest.param(300, 50, 20, None, marks=pytest.mark.slow) for _ in range(5))],
)
def test_jobs_survive_kills_of_the_controller_and_of_the_launcher(
    host_is_clean, jobs, of_the_controller, of_the_launcher, seed
):
    moments = random.Random(seed)
    with Daemon() as daemon:
        daemon.start()
        codes = drop_jobs(daemon, jobs, moments)
        storm(daemon, of_the_controller, of_the_launcher, moments)
        check(daemon, codes, 400)


@pytest.mark.invariant("J1")
def test_runs_that_end_before_anybody_sees_them_running_are_recorded_and_cleared(host_is_clean):
    with Daemon() as daemon:
        daemon.start()
        for number in range(40):
            daemon.write(f"instant-{number}.yaml", INSTANT.format(number=number))

        def all_failed():
            jobs = daemon.jobs()
            return len(jobs) == 40 and all(job.get("status", {}).get("phase") == "Failed" for job in jobs.values())

        daemon.until("all jobs failed", all_failed, 40)
        runs = daemon.root / "var/lib/runwright/runs"
        daemon.until("nothing is left of their runs", lambda: not list(runs.iterdir()), 10)

        assert {job["status"]["attempts"] for job in daemon.jobs().values()} == {3}
