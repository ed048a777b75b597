from datetime import timedelta

import pytest

from api.meta import read_time, wire_micro_time
from api.types.job import RunState
from controller.job import tally
from support.builders import NOW, a_failed_run, a_job, a_run, with_runs

RUNNING, ENDED = RunState.RUNNING, RunState.ENDED


def indexed(completions=5, parallelism=2, **spec):
    return a_job(completionMode="Indexed", completions=completions, parallelism=parallelism, **spec)


def done(attempt, index=None, *, seconds_ago=0.0):
    finished = wire_micro_time(NOW - timedelta(seconds=seconds_ago))
    return a_run(attempt, ENDED, index=index, reason="Completed", exit_code=0, finished_at=finished)


def went_on(job, *runs, **status):
    """The job as it was when all of `runs` went on, and the runs as they are now."""
    before = [run.model_copy(update={"state": RUNNING, "finished_at": None}) for run in runs]
    stored = with_runs(job, *before, **status)
    template = job.spec.template_hash()
    return stored, tuple(run.model_copy(update={"template_hash": template}) for run in runs)


def of(job, *runs, **status):
    stored, now = went_on(job, *runs, **status)
    return stored, now, tally.of(stored, now)


def test_what_ended_since_is_added_to_what_is_on_record():
    _, _, so_far = of(indexed(), done(4, 3), a_failed_run(5, index=4), completed_indexes="0-1", failed=2)

    assert (str(so_far.completed), so_far.succeeded, so_far.failed) == ("0-1,3", 3, 3)


def test_what_is_on_record_of_another_template_counts_for_nothing():
    job, _ = went_on(indexed(), done(1, 0), completed_indexes="0-3", failed=2, template_hash="other")

    assert tally.of(job, ()).succeeded == 0


def test_runs_without_indexes_are_counted():
    _, _, so_far = of(a_job(completions=3), done(3), succeeded=1)

    assert (so_far.succeeded, str(so_far.completed)) == (2, "")


def test_an_index_that_failed_more_often_than_it_may_has_failed_for_good():
    job = indexed(backoffLimitPerIndex=1)

    _, _, once = of(job, a_failed_run(1, index=2, index_failures=0))
    _, _, twice = of(job, a_failed_run(2, index=2, index_failures=1))

    assert (str(once.failed_indexes), str(twice.failed_indexes)) == ("", "2")


@pytest.mark.parametrize(
    ("spec", "succeeded", "active", "wanted"),
    [
        ({"completions": 5, "parallelism": 3}, 1, 0, 3),
        ({"completions": 5, "parallelism": 3}, 4, 0, 1),
        ({"completions": 5, "parallelism": 3}, 5, 0, 0),
        ({"completions": 5}, 0, 0, 1),
        ({"parallelism": 3}, 0, 1, 3),
        ({"parallelism": 3}, 1, 2, 2),
        ({"completions": 5, "parallelism": 0}, 0, 2, 0),
    ],
)
def test_as_many_runs_are_wanted_as_batch_has_it(spec, succeeded, active, wanted):
    runs = tuple(a_run(number, RUNNING) for number in range(1, active + 1))
    job = with_runs(a_job(**spec), *runs, succeeded=succeeded)

    assert tally.wanted(job, tally.of(job, runs)) == wanted


def chosen(job, *runs, **status):
    stored, now, so_far = of(job, *runs, **status)
    return tally.next_run(stored, now, so_far, NOW)


def test_the_lowest_index_that_has_neither_ended_nor_a_run_comes_next():
    assert chosen(indexed(parallelism=3), a_run(3, RUNNING, index=2), completed_indexes="0").index == 1


def test_no_further_run_is_chosen_while_one_is_about_to_start():
    stored = with_runs(indexed(), a_run(1, index=0))

    assert tally.next_run(stored, stored.status.runs, tally.of(stored, stored.status.runs), NOW) is None


def test_failures_hold_the_next_run_back_until_one_succeeds():
    job = a_job(completions=9, parallelism=4, backoffSeconds=10)
    failures = [a_failed_run(1, seconds_ago=30), a_failed_run(2, seconds_ago=4)]

    assert chosen(job, *failures).due == NOW + timedelta(seconds=16)
    assert chosen(job, *failures, done(3, seconds_ago=1)).due is None


def test_with_a_limit_of_its_own_an_index_waits_alone():
    job = indexed(parallelism=2, backoffLimitPerIndex=3, backoffSeconds=10)
    failed = a_failed_run(1, index=0, index_failures=1, seconds_ago=2)

    both = chosen(job, failed)
    alone = chosen(job, failed, a_run(2, RUNNING, index=1))

    assert (both.index, both.due) == (1, None)
    assert (alone.index, alone.failures, alone.due) == (0, 2, NOW + timedelta(seconds=18))


def test_runs_that_stop_or_wait_go_before_the_youngest_when_there_are_too_many():
    runs = (a_run(1, RUNNING, index=0), a_run(2, RUNNING, index=1), a_run(3, RUNNING, index=2), a_run(4, index=3))
    job = with_runs(indexed(parallelism=1), *runs)

    found = tally.surplus(job, tally.of(job, runs), stopping=frozenset({1}))

    assert [run.attempt for run in found] == [1, 4, 3]


def test_a_run_whose_index_is_not_wanted_any_more_is_too_many():
    runs = (a_run(1, RUNNING, index=0), a_run(2, RUNNING, index=4))
    job = with_runs(indexed(completions=2, parallelism=2), *runs)

    assert [run.index for run in tally.surplus(job, tally.of(job, runs), frozenset())] == [4]


def outcome(job, *runs, **status):
    stored, now, so_far = of(job, *runs, **status)
    return tally.outcome(stored, so_far, now, NOW)


def test_an_indexed_job_is_complete_when_each_index_has_succeeded():
    result = outcome(indexed(completions=3), done(5, 2), completed_indexes="0-1")

    assert (result.complete, result.message) == (True, "3 of 3 completed (0-2)")
    assert read_time(result.finished_at) == NOW


def test_a_job_of_no_completions_is_complete_at_once():
    assert outcome(a_job(completions=0)).complete


def test_any_success_is_enough_where_completions_are_not_said_once_the_others_have_ended():
    job = a_job(parallelism=2)

    assert outcome(job, done(1), a_run(2, RUNNING)) is None
    assert outcome(job, done(1), a_failed_run(2)).complete


def test_more_failures_than_the_limit_end_the_job_though_others_run():
    result = outcome(
        indexed(backoffLimit=1), a_failed_run(2, index=1), a_failed_run(3, index=0), a_run(4, RUNNING, index=2)
    )

    assert (result.complete, result.reason) == (False, "BackoffLimitExceeded")
    assert result.message.startswith("2 runs failed, backoffLimit is 1; the last of index ")


def test_failed_indexes_fail_the_job_when_all_others_are_done():
    job = indexed(completions=3, backoffLimitPerIndex=0)

    assert outcome(job, a_failed_run(2, index=1), completed_indexes="0") is None
    result = outcome(job, a_failed_run(2, index=1, index_failures=0), completed_indexes="0,2")
    assert (result.reason, result.message) == ("FailedIndexes", "index 1 failed for good, backoffLimitPerIndex is 0")


def test_more_failed_indexes_than_allowed_fail_the_job_at_once():
    job = indexed(backoffLimitPerIndex=0, maxFailedIndexes=1)

    result = outcome(job, a_failed_run(9, index=4, index_failures=0), failed_indexes="1")

    assert (result.reason, result.message) == (
        "MaxFailedIndexesExceeded",
        "indexes 1,4 failed, maxFailedIndexes is 1",
    )


def test_a_job_that_has_completed_stays_so_when_it_is_scaled():
    complete = {"type": "Complete", "status": "True", "reason": "Completed", "message": "2 of 2"}
    job = indexed(completions=5, status={"completedIndexes": "0-1", "conditions": [complete]})
    job = with_runs(job, completion_time="2026-01-02T03:04:00Z")

    result = tally.outcome(job, tally.of(job, ()), (), NOW)

    assert (result.complete, result.finished_at) == (True, "2026-01-02T03:04:00Z")


def test_the_record_keeps_what_goes_on_and_the_last_fifty_and_the_receipts_of_three():
    ended = [done(number, number - 2).model_copy(update={"receipt": {"pids": 1}}) for number in range(2, 202)]
    job = with_runs(indexed(completions=300), a_run(1, RUNNING, index=299), *ended)

    kept = tally.kept(job, job.status.runs, tally.of(job, job.status.runs))

    assert [run.attempt for run in kept] == [1, *range(152, 202)]
    assert sum(run.receipt is not None for run in kept) == 3


def test_the_record_keeps_the_failures_that_retries_are_counted_from():
    early = a_failed_run(1, index=7, index_failures=0)
    job = with_runs(indexed(completions=300, backoffLimitPerIndex=2), early, *(done(n, n + 10) for n in range(2, 202)))

    kept = tally.kept(job, job.status.runs, tally.of(job, job.status.runs))

    assert kept[0].index == 7


def kept_of(job, on_host=()):
    runs = job.status.runs
    return [run.attempt for run in tally.kept(job, runs, tally.of(job, runs), on_host)]


def test_a_run_that_ended_last_stays_on_record_though_many_after_it_ended_before_and_holds_the_next_back():
    quick = [done(number, number, seconds_ago=500 - number) for number in range(2, 122)]
    long = a_failed_run(1, index=0).model_copy(update={"receipt": {"pids": 1}})
    job = with_runs(indexed(completions=300, backoffSeconds=10), long, *quick)

    kept = tally.kept(job, job.status.runs, tally.of(job, job.status.runs))

    assert [run.attempt for run in kept] == [1, *range(73, 122)]
    assert kept[0].receipt == {"pids": 1}
    later = with_runs(job, *kept)
    assert tally.next_run(later, kept, tally.of(later, kept), NOW).due == NOW + timedelta(seconds=10)


def test_a_run_stays_on_record_until_nothing_of_it_is_left_on_the_host():
    job = with_runs(indexed(completions=300), *(done(number, number, seconds_ago=-number) for number in range(1, 102)))

    assert kept_of(job, on_host=[7, 101]) == [7, *range(52, 102)]
    assert kept_of(job) == [*range(52, 102)]
