from contextlib import nullcontext

import pytest

from api.errors import Invalid
from api.kinds import JOB
from api.objects.verbs import Verbs
from controller.daemon.order_admission import OrderAdmission
from state.store import Store
from support.hand_clock import HandClock
from support.objects import a_job, by

ME = by("me")


@pytest.fixture
def verbs(tmp_path):
    store = Store.open(tmp_path / "store.db", HandClock())
    verbs = Verbs(store, HandClock(), OrderAdmission(store.get, lambda *_job: None, lambda *_job: nullcontext()).judged)
    verbs.bootstrap()
    yield verbs
    store.close()


def create(verbs, name, *others):
    return verbs.create(JOB, "default", a_job(name, after=[{"job": other} for other in others]), ME)


@pytest.mark.invariant("O2")
def test_a_job_that_closes_a_ring_is_refused_and_the_ring_is_named(verbs):
    create(verbs, "a", "b")
    create(verbs, "b", "c")

    with pytest.raises(Invalid) as refused:
        create(verbs, "c", "a")

    cause = refused.value.causes[0]
    assert cause.field == "spec.after"
    assert "c waits for a, a waits for b, b waits for c" in str(cause)


def test_a_job_that_waits_for_itself_is_refused(verbs):
    with pytest.raises(Invalid, match="a waits for a"):
        create(verbs, "a", "a")


def test_so_is_one_that_is_over_and_comes_to_wait_for_itself(verbs):
    job = create(verbs, "a").document
    status = {"phase": "Succeeded", "observedGeneration": job["metadata"]["generation"]}
    verbs.storage.update_status(job | {"status": status})
    patch = {"spec": {"after": [{"job": "a"}]}}

    with pytest.raises(Invalid, match="a waits for a"):
        verbs.patch(JOB, "default", "a", patch, "application/merge-patch+json", ME)


def test_so_is_a_change_that_closes_one(verbs):
    create(verbs, "a", "b")
    create(verbs, "b")
    patch = {"spec": {"after": [{"job": "a"}]}}

    with pytest.raises(Invalid, match="b waits for a, a waits for b"):
        verbs.patch(JOB, "default", "b", patch, "application/merge-patch+json", ME)


def test_a_lattice_with_very_many_ways_through_it_is_looked_at_once_each(verbs):
    create(verbs, "bottom")
    below = ["bottom"]
    for level in range(12):
        names = [f"l{level}-{side}" for side in ("left", "right")]
        for name in names:
            create(verbs, name, *below)
        below = names

    assert create(verbs, "top", *below).created
