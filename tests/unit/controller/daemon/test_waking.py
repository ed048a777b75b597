"""Who is woken by which change of what jobs wait for; and that a change that matters to none costs no look at them."""

import pytest

from api.kinds import NETWORK, VOLUME
from api.meta import ObjectKey
from api.ports import Change, ChangeType
from controller.daemon.waking import Waking, concerns_jobs
from support.builders import a_job_document
from support.stores import a_store, job_key

READY = {"conditions": [{"type": "Ready", "status": "True"}]}


class Counting:
    """A store that counts which jobs were looked at."""

    def __init__(self, store):
        self.store, self.looked_at = store, []

    def each(self, *args, **kwargs):
        for job in self.store.each(*args, **kwargs):
            self.looked_at.append(job["metadata"]["name"])
            yield job


class World:
    def __init__(self, store):
        self.store, self.counting = store, Counting(store)
        self.wakes = dict(Waking(self.counting).of_jobs())

    def a_job(self, name, status=None, **spec):
        stored = self.store.create(a_job_document(name, **spec))
        self.store.update_status(stored | {"status": status or {"phase": "Pending"}})

    def woken_by(self, kind, before, after, type_=ChangeType.MODIFIED, name="data", **meta):
        def document(status):
            metadata = {"name": name, "namespace": "default", "uid": "u", **meta}
            return None if status is None else {"kind": kind.name, "metadata": metadata, "spec": {}, "status": status}

        key = ObjectKey(kind.name, "default", name)
        return self.wakes[kind.name](Change(type_, 2, key, document(after), document(before)))


@pytest.fixture
def world(tmp_path):
    with a_store(tmp_path) as store:
        yield World(store)


def a_change(before, after, type_=ChangeType.MODIFIED):
    def document(status):
        return {"kind": "Runtime", "metadata": {"name": "a"}, "spec": {}, "status": status}

    return Change(type_, 2, ObjectKey("Runtime", "", "a"), document(after), document(before))


def test_how_far_an_install_is_wakes_no_job_and_its_end_does():
    some = {"versions": [{"version": "1.0.0", "state": "Installing", "doneBytes": 1}]}
    more = {"versions": [{"version": "1.0.0", "state": "Installing", "doneBytes": 2}]}
    done = {"versions": [{"version": "1.0.0", "state": "Installed"}]}

    assert not concerns_jobs(a_change(some, more))
    assert concerns_jobs(a_change(more, done))
    assert concerns_jobs(a_change(done, done, ChangeType.DELETED))
    assert concerns_jobs(a_change({"versions": 3, "runtimes": 1}, {"versions": 4, "runtimes": 1}))
    assert not concerns_jobs(a_change({"lastFetchTime": "a"}, {"lastFetchTime": "b"}))


def test_who_names_a_volume_and_has_not_started_looks_again_when_there_is_news_of_it(world):
    world.a_job("waits", volumeMounts=[{"name": "data"}])
    world.a_job("goes-on", {"phase": "Running", "ready": 1}, volumeMounts=[{"name": "data"}])
    world.a_job("runs", {"phase": "Running"}, volumeMounts=[{"name": "data"}])
    world.a_job("other", volumeMounts=[{"name": "code"}])
    world.a_job("says-it", command=["data"])
    waiting = (job_key("goes-on"), job_key("waits"))

    assert world.woken_by(VOLUME, {}, READY) == waiting
    assert world.woken_by(VOLUME, None, {}) == waiting
    assert world.woken_by(VOLUME, READY, READY, ChangeType.DELETED) == waiting
    assert "other" not in world.counting.looked_at


def test_no_job_is_looked_at_when_a_volume_has_other_users_or_another_connection_is_refused(world):
    world.a_job("waits", {"phase": "Pending", "reason": "NetworkNotReady"}, volumeMounts=[{"name": "data"}])
    used = READY | {"usedBy": [{"job": "etl"}], "usedBytes": 7, "phase": "InUse"}

    assert world.woken_by(VOLUME, READY, used) == ()
    assert world.woken_by(NETWORK, READY, READY | {"refused": 3, "refusals": [{}]}) == ()
    assert world.counting.looked_at == []


def test_who_waits_for_a_network_looks_again_when_one_is_ready_though_it_names_none(world):
    world.a_job("waits", {"phase": "Pending", "reason": "NetworkNotReady"})
    world.a_job("queued", {"phase": "Pending", "reason": "HostBusy"})
    world.a_job("says-it", {"phase": "Running", "message": '"NetworkNotReady"'})

    assert world.woken_by(NETWORK, {}, READY, name="bridge") == (job_key("waits"),)
    assert world.woken_by(NETWORK, READY, READY, ChangeType.DELETED, name="bridge") == (job_key("waits"),)
    assert set(world.counting.looked_at) == {"waits"}
