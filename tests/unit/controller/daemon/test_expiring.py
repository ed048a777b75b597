"""Tokens and certificates that ended long ago are removed; those of last week are still shown."""

from datetime import timedelta

import pytest

from api.kinds import CERTIFICATE, TOKEN
from api.meta import wire_time
from api.objects.verbs import WriteOptions
from controller.daemon.expiring import KEPT, Expiring
from support.hand_clock import HandClock
from support.objects import open_verbs


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def verbs(tmp_path, clock):
    verbs, store = open_verbs(tmp_path, clock)
    yield verbs
    store.close()


def make(verbs, kind, name, ends, **metadata):
    spec = {"user": "alice", "expires": wire_time(ends)} | ({"sha256": "0" * 64} if kind is TOKEN else {})
    verbs.create(kind, "", {"metadata": {"name": name, **metadata}, "spec": spec}, WriteOptions())


@pytest.mark.parametrize("kind", [TOKEN, CERTIFICATE], ids=lambda kind: kind.plural)
def test_what_ended_a_week_ago_goes_and_nothing_else(verbs, clock, kind):
    now = clock.now()
    make(verbs, kind, "long-over", now - KEPT)
    make(verbs, kind, "over", now - KEPT + timedelta(seconds=1))
    make(verbs, kind, "good", now + timedelta(days=1))

    assert Expiring(verbs, clock).sweep() == 1
    assert [item["metadata"]["name"] for item in verbs.list(kind).items] == ["good", "over"]
    assert Expiring(verbs, clock).sweep() == 0


def test_what_somebody_holds_is_asked_to_go_once(verbs, clock):
    make(verbs, TOKEN, "held", clock.now() - KEPT, finalizers=["example.com/audit"])

    Expiring(verbs, clock).sweep()

    assert "deletionTimestamp" in verbs.get(TOKEN, "", "held")["metadata"]
    before = verbs.revision()
    Expiring(verbs, clock).sweep()
    assert verbs.revision() == before


def test_what_says_no_time_stays(verbs, clock):
    make(verbs, TOKEN, "odd", clock.now() - KEPT)
    stored = verbs.get(TOKEN, "", "odd")
    stored["spec"].pop("expires")
    verbs.storage.update(stored)

    assert Expiring(verbs, clock).sweep() == 0
