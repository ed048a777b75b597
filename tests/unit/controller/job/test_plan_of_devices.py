"""How devices go through a job's life: plan, record, retry, environment."""

from api.types.job import RunState
from controller.engine.plan import Plan
from controller.job.environment import environment
from controller.job.observe import given_devices
from controller.job.observed import DevicesFree, DevicesMissing
from controller.job.plan import plan
from controller.job.report import report
from controller.job.steps import AbandonRun, BeginRun, StartRun
from support.builders import a_failed_run, a_job, a_run, exited, observed_job, unclaimed, with_runs

GIVEN = ("nvidia.com/gpu=0",)


def test_a_run_begins_with_its_devices_on_record():
    observed = observed_job(devices=DevicesFree(GIVEN))

    decided = plan(a_job(), observed)

    assert decided == Plan.once_recorded(StartRun(1, None), first=(BeginRun(1, GIVEN),))
    assert report(a_job(), observed, decided, work_bytes=1).runs[0].devices == GIVEN


def test_a_job_waits_for_its_devices_and_says_for_which():
    decided = plan(a_job(), observed_job(devices=DevicesMissing("DevicesUnavailable", "1 wanted")))

    assert (decided.steps, decided.waiting.reason, decided.waiting.message) == ((), "DevicesUnavailable", "1 wanted")
    assert decided.check_again_seconds == 15


def test_a_job_that_waits_for_a_run_of_another_daemon_looks_more_often_as_nobody_tells_it_of_the_end():
    elsewhere = DevicesMissing("DevicesUnavailable", "1 wanted", is_elsewhere=True)

    assert plan(a_job(), observed_job(devices=elsewhere)).check_again_seconds == 2


def test_a_job_that_waits_to_be_tried_again_has_no_devices():
    job = with_runs(a_job(backoffSeconds=10), a_failed_run(), failed=1)

    assert plan(job, observed_job(devices=DevicesFree(GIVEN))).waiting.reason == "BackOff"


def test_a_run_on_record_starts_whatever_others_have_by_now():
    job = with_runs(a_job(), a_run(devices=GIVEN))

    assert plan(job, observed_job(unclaimed(), devices=DevicesMissing("x", "y"))).then == (StartRun(1, None),)


def test_a_run_whose_device_went_before_it_started_is_given_up_and_no_failure():
    job = with_runs(a_job(backoffLimit=0), a_run(devices=GIVEN))

    decided = plan(job, observed_job(unclaimed(), devices_gone="it is gone"))
    assert decided == Plan.once_recorded(AbandonRun(1, "DevicesGone", "it is gone"))

    ended = a_run(1, RunState.ENDED, reason="DevicesGone", devices=GIVEN)
    assert plan(with_runs(job, ended), observed_job(devices=DevicesFree(GIVEN))).steps == (BeginRun(2, GIVEN),)
    status = report(job, observed_job(exited(1, "DevicesGone", None)), Plan.nothing(), work_bytes=1)
    assert (status.failed, status.runs[0].reason, status.runs[0].devices) == (0, "DevicesGone", GIVEN)


def test_devices_are_of_the_run_that_is_asked_for_or_has_not_started():
    runs = (a_run(1, RunState.ENDED, devices=("a/b=0",)), a_run(2, devices=("a/b=1",)))

    assert given_devices(with_runs(a_job(), *runs)) == ("a/b=1",)
    assert given_devices(with_runs(a_job(), *runs), 1) == ("a/b=0",)
    assert given_devices(with_runs(a_job(), runs[0])) == ()


def test_variables_of_devices_win_over_the_runtimes_and_the_jobs_over_both():
    job = a_job(env=[{"name": "JOBS", "value": "job"}])
    variables = environment(
        job, 1, {"A": "runtime", "RUNTIMES": "runtime"}, devices={"A": "device", "JOBS": "device", "JOB_NAME": "x"}
    )

    assert (variables["A"], variables["RUNTIMES"], variables["JOBS"]) == ("device", "runtime", "job")
    assert variables["JOB_NAME"] == "etl"


def test_libraries_of_devices_are_searched_before_the_runtimes_and_after_the_jobs():
    devices = {"LD_LIBRARY_PATH": "/run/devices/lib"}
    job = a_job(env=[{"name": "LD_LIBRARY_PATH", "value": "/work/lib"}])

    assert environment(job, 1, {"LD_LIBRARY_PATH": "/opt/lib"})["LD_LIBRARY_PATH"] == "/work/lib"
    assert environment(job, 1, {}, devices=devices)["LD_LIBRARY_PATH"] == "/work/lib:/run/devices/lib"
    assert environment(a_job(), 1, {}, devices=devices)["LD_LIBRARY_PATH"] == "/run/devices/lib"
    own = environment(a_job(), 1, {"LD_LIBRARY_PATH": "/opt/lib"}, devices=devices)
    assert own["LD_LIBRARY_PATH"] == "/run/devices/lib:/opt/lib"
