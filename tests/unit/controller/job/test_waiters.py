from itertools import pairwise

import pytest

from api.meta import ObjectKey
from api.ports import Change, ChangeType
from controller.job.waiters import Waiters
from support.ordering import an_other


def key(name):
    return ObjectKey("Job", "default", name)


class Jobs(dict):
    """Jobs by their names, as a store has them."""

    def add(self, *jobs):
        self.update({ObjectKey.of(job): job for job in jobs})
        return self


def waiters_of(*jobs):
    found = Waiters(Jobs().add(*jobs).get)
    for job in jobs:
        found.learn(job)
    return found


def modified(before, after):
    return Change(ChangeType.MODIFIED, 7, ObjectKey.of(after), after, before)


def test_the_end_of_a_job_wakes_those_that_wait_for_it():
    waiters = waiters_of(an_other("load", after=("extract",)), an_other("other", after=("check",)))

    assert waiters.changed(modified(an_other("extract"), an_other("extract", ended="Failed"))) == (key("load"),)


def test_so_do_its_coming_and_its_going():
    waiters = waiters_of(an_other("load", after=("extract",)))
    job = an_other("extract")

    assert waiters.changed(Change(ChangeType.ADDED, 7, key("extract"), job, None)) == (key("load"),)
    assert waiters.changed(Change(ChangeType.DELETED, 8, key("extract"), job, job)) == (key("load"),)


def test_a_change_that_is_no_end_wakes_nobody():
    waiters = waiters_of(an_other("load", after=("extract",)))

    assert waiters.changed(modified(an_other("extract"), an_other("extract", message="run 1 is running"))) == ()


@pytest.mark.parametrize(
    "now",
    [
        an_other("load", after=("extract",), met=("extract",)),
        an_other("load", after=("extract",), ended="Failed"),
        an_other("load", after=("extract",), deletionTimestamp="2026-01-02T03:04:05Z"),
        an_other("load"),
    ],
    ids=["met", "over", "going", "changed"],
)
def test_a_job_that_waits_no_more_is_woken_no_more(now):
    waiters = waiters_of(an_other("load", after=("extract",)))
    waiters.learn(now)

    assert waiters.of(key("extract")) == ()


def test_jobs_of_another_namespace_are_others():
    waiters = waiters_of(an_other("load", after=("extract",)))

    assert waiters.of(ObjectKey("Job", "team", "extract")) == ()


def test_a_deleted_job_waits_no_more():
    job = an_other("load", after=("extract",))
    waiters = waiters_of(job)
    waiters.changed(Change(ChangeType.DELETED, 8, key("load"), job, job))

    assert waiters.of(key("extract")) == ()


def test_a_ring_is_found_from_each_of_its_jobs():
    waiters = waiters_of(
        an_other("a", after=("b",)), an_other("b", after=("c",)), an_other("c", after=("a", "d")), an_other("d")
    )

    assert waiters.cycle(key("a")) == ("a", "b", "c", "a")
    assert waiters.cycle(key("c")) == ("c", "a", "b", "c")
    assert waiters.cycle(key("d")) == ()


def test_a_job_that_waits_for_a_ring_is_in_none():
    waiters = waiters_of(an_other("a", after=("b",)), an_other("b", after=("a",)), an_other("z", after=("a",)))

    assert waiters.cycle(key("z")) == ()


def test_a_ring_is_still_one_when_the_first_of_it_has_failed_for_that():
    failed = an_other("b", after=("a",), ended="Failed", reason="DependencyCycle")
    waiters = waiters_of(an_other("a", after=("b",)), failed)

    assert waiters.cycle(key("a")) == ("a", "b", "a")


def test_what_was_noted_of_a_job_and_is_so_no_more_makes_no_ring():
    jobs = Jobs().add(an_other("a", after=("b",)), an_other("b", after=("a",)))
    waiters = Waiters(jobs.get)
    for job in jobs.values():
        waiters.learn(job)
    jobs.add(an_other("b"))

    assert waiters.cycle(key("a")) == ()


def test_a_job_is_awaited_while_one_that_is_there_has_not_noted_its_end():
    jobs = Jobs().add(an_other("load", after=("extract",)))
    waiters = Waiters(jobs.get)
    waiters.learn(jobs[key("load")])
    waiting = waiters.is_awaited(key("extract"))
    jobs.add(an_other("load", after=("extract",), met=("extract",)))

    assert (waiting, waiters.is_awaited(key("extract"))) == (True, False)


def test_a_chain_of_a_thousand_is_no_work():
    names = [f"job-{number}" for number in range(1000)]
    chain = [an_other(name, after=(before,)) for before, name in pairwise(names)]

    assert waiters_of(*chain).cycle(key("job-999")) == ()
