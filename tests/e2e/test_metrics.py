"""/metrics as Prometheus scrapes it: valid, complete from the start, true to what happened, and small."""

import itertools
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import host
from support.daemon import a_daemon, sample

pytestmark = pytest.mark.needs_root

OUTCOMES = (
    "Completed", "Error", "OOMKilled", "DeadlineExceeded", "Stopped", "Superseded", "SandboxFailed",
    "ContainerCannotRun", "RunLost",
)  # fmt: skip
PER_JOB = (
    "runwright_job_cpu_seconds_total",
    "runwright_job_cpu_throttled_seconds_total",
    "runwright_job_oom_kills_total",
    "runwright_job_memory_bytes",
    "runwright_job_memory_peak_bytes",
    "runwright_job_processes",
)


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon("jobs.workers=8") as daemon:
        yield daemon
    host.assert_as_before(before)


def promtool(text):
    """Have Prometheus' own linter read it; return what it says."""
    tool = shutil.which("promtool")
    if tool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no promtool: install Debian's package prometheus")
        pytest.skip("there is no promtool: install Debian's package prometheus")
    done = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def runs(text):
    return {outcome: sample(text, "runwright_runs_total", outcome=outcome) for outcome in OUTCOMES}


def test_every_outcome_is_there_as_0_before_anything_ran(daemon):
    text = daemon.metrics()

    assert runs(text) == dict.fromkeys(OUTCOMES, 0)
    assert sample(text, "runwright_jobs_finished_total", outcome="Succeeded") == 0
    assert sample(text, "runwright_manifests", source="inbox", state="Invalid") == 0
    assert sample(text, "controller_runtime_reconcile_errors_total", controller="job") == 0


def test_promtool_has_nothing_to_say_while_jobs_run_and_after(daemon):
    daemon.shell("lint", "echo ready; exec sleep 60", resources={"limits": {"cpu": "500m", "memory": "64Mi"}})
    daemon.printed("lint", "ready")
    during = daemon.metrics()
    daemon.delete("lint", grace_seconds=0)
    daemon.gone("lint", 5)

    assert sample(during, "runwright_job_memory_bytes", job="lint", namespace="default") > 0
    assert promtool(during) == (0, "")
    assert promtool(daemon.metrics()) == (0, "")


@pytest.mark.invariant("J7")
def test_runs_are_counted_by_outcome_each_once(daemon):
    before = runs(daemon.metrics())
    expected = dict.fromkeys(OUTCOMES, 0)
    jobs = [
        ("ok-1", {"command": ["true"]}, {"Completed": 1}),
        ("ok-2", {"command": ["true"]}, {"Completed": 1}),
        ("bad", {"command": ["false"], "backoffLimit": 2, "backoffSeconds": 0.05}, {"Error": 3}),
        ("nothing", {"command": ["no-such"]}, {"ContainerCannotRun": 1}),
        ("late", {"command": ["sleep", "60"], "activeDeadlineSeconds": 0.3}, {"DeadlineExceeded": 1}),
        (
            "hog",
            {"command": ["python3", "-c", "bytearray(1 << 29)"], "resources": {"limits": {"memory": "32Mi"}}},
            {"OOMKilled": 1},
        ),
    ]
    finished = sample(daemon.metrics(), "runwright_jobs_finished_total", outcome="Failed")
    for name, spec, outcomes in jobs:
        daemon.apply(name, **spec)
        for outcome, count in outcomes.items():
            expected[outcome] += count
    daemon.shell("halted", "exec sleep 60")
    daemon.running("halted")
    daemon.stop("halted")
    expected["Stopped"] += 1
    for name in (*(job[0] for job in jobs), "halted"):
        daemon.ended(name)

    def counted():
        now = runs(daemon.metrics())
        return {outcome: now[outcome] - before[outcome] for outcome in OUTCOMES}

    daemon.until("all counted", lambda: sum(counted().values()) >= sum(expected.values()), 5)
    assert counted() == expected
    assert sample(daemon.metrics(), "runwright_jobs_finished_total", outcome="Failed") == finished + 5
    launches = sample(daemon.metrics(), "runwright_run_launch_seconds_count")
    assert launches >= sum(expected.values())


def test_series_of_a_run_are_there_while_it_runs_and_gone_after(daemon):
    daemon.shell("series", "echo ready; exec sleep 60")
    daemon.printed("series", "ready")

    during = daemon.metrics()
    daemon.stop("series")
    daemon.ended("series")
    daemon.until("gone", lambda: 'job="series"' not in daemon.metrics(), 5)

    values = {name: sample(during, name, job="series", namespace="default") for name in PER_JOB}
    assert all(value is not None for value in values.values()), values
    assert values["runwright_job_processes"] == 1
    assert 0 < values["runwright_job_memory_bytes"] <= values["runwright_job_memory_peak_bytes"]


def test_what_is_asked_for_is_counted_under_names_that_nobody_can_make_up(daemon):
    for path in ("/apis/runwright.dev/v1alpha1/made-up", "/no/such/path", "/api/v1/namespaces/x/pods/y/log"):
        with pytest.raises(Exception, match="."):
            daemon.client.transport.send("GET", path)

    text = daemon.metrics()

    resources = set(re.findall(r'runwright_api_requests_total\{[^}]*resource="([^"]*)"', text))
    assert not [name for name in resources if "made-up" in name or "such" in name], resources
    assert sample(text, "runwright_store_writes_total") > 10
    assert sample(text, "runwright_store_commit_seconds_count") > 0


def test_the_metrics_of_the_engine_have_the_names_that_dashboards_know(daemon):
    daemon.apply("reconciled")
    daemon.ended("reconciled")
    text = daemon.metrics()

    assert sample(text, "controller_runtime_reconcile_total", controller="job", result="success") > 0
    assert sample(text, "controller_runtime_reconcile_time_seconds_count", controller="job") > 0
    assert sample(text, "workqueue_adds_total", name="job") > 0
    assert sample(text, "workqueue_depth", name="job") is not None
    assert sample(text, "workqueue_queue_duration_seconds_count", name="job") > 0
    assert sample(text, "controller_runtime_active_workers", controller="job") is not None
    assert sample(text, "controller_runtime_max_concurrent_reconciles", controller="job") == 8


def test_workers_rest_while_much_is_asked_for_and_make_their_passes_all_the_same(daemon):
    def create(number):
        name = f"one-of-many-{number}"
        daemon.apply(name, command=["true"], suspend=True)
        return name

    names = itertools.count()
    before = daemon.metric("runwright_worker_rests_total", controller="job")
    with ThreadPoolExecutor(8) as people:

        def has_rested():
            made.extend(people.map(create, itertools.islice(names, 16)))
            return daemon.metric("runwright_worker_rests_total", controller="job") > before

        made = []
        daemon.until("a worker has rested", has_rested)

    for name in made:
        daemon.until(f"{name} is seen", lambda name=name: daemon.status(name).get("conditions"))
        daemon.delete(name)
    assert made
