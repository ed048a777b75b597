"""The Volume kind on volumes of a real disk: what growing says when it cannot be done now."""

import errno
import os

import pytest

from api.types.volume import VolumeType
from controller.engine.errors import Postponed
from controller.linux import capabilities
from controller.linux.capabilities import Capability
from controller.volume.kind import VolumeKind, VolumePolicy
from controller.volume.modes import User
from controller.volume.observed import Detach, Grow
from controller.volume.sources import Sources
from support.hand_clock import HandClock
from support.in_child import in_child
from support.stores import a_store
from support.volumes import MIB, UID, a_backing, a_volume

pytestmark = pytest.mark.needs_root
GIB = 1 << 30


class Runs:
    """The runs that have every volume."""

    def __init__(self, *users):
        self._users = users

    def users(self, _uid):
        return self._users


@pytest.fixture
def backing(host_is_clean):
    with a_backing() as backing:
        backing.make(UID, VolumeType.FILESYSTEM, MIB)
        backing.attach(UID, VolumeType.FILESYSTEM)
        yield backing


@pytest.fixture
def store(tmp_path):
    with a_store(tmp_path) as store:
        yield store


def a_kind(backing, store, runs):
    return VolumeKind(HandClock(), backing, runs, VolumePolicy(MIB, GIB, MIB, {}), Sources(store, backing))


def growing(backing, store, runs, size_bytes):
    kind = a_kind(backing, store, runs)
    with pytest.raises(Postponed) as waits:
        kind.act(a_volume(), Grow(size_bytes))
    return waits.value.reason, waits.value.message


def test_a_volume_that_cannot_grow_while_it_is_used_waits_and_names_who_has_it(backing, store):
    def body():
        capabilities.drop_all_except(frozenset(Capability) - {Capability.SYS_RESOURCE})
        return growing(backing, store, Runs(User("job/default/etl", 2)), 100 * MIB)

    reason, message = in_child(body)
    assert reason == "Resizing"
    assert message.startswith("it holds 1Mi, and shall hold 100Mi: that is done when no run has it: ")
    assert "job/default/etl" in message


def test_one_that_the_host_has_no_room_for_waits_too(backing, store, monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "truncate", full)  # As its host's file system would: an image is made longer first.

    reason, message = growing(backing, store, Runs(), 100 * MIB)
    assert reason == "Resizing"
    assert message.startswith("it holds 1Mi, and shall hold 100Mi: that is done when there is room: ")


def test_one_that_is_made_grows_no_further_than_the_setting_lets_any_be_and_says_so(backing, store):
    kind, volume = a_kind(backing, store, Runs()), a_volume(size="2Gi")

    seen = kind.observe(volume)
    plan = kind.plan(volume, seen)
    status = kind.report(volume, seen, plan)

    assert plan.steps == (Detach(),)  # It is not made larger, and stays mounted no more than others.
    assert status.capacity_bytes == MIB
    assert [(c.type, c.status, c.reason) for c in status.conditions] == [
        ("Ready", "True", "Available"), ("Resizing", "True", "SizeForbidden"),
    ]  # fmt: skip
    assert status.conditions[1].message == (
        "it holds 1Mi, and shall hold 2Gi: the setting volumes.most_size lets it hold 1Gi: ask for less"
    )


def test_one_that_was_made_larger_before_the_setting_said_less_stays_as_it_is(backing, store):
    backing.grow(UID, VolumeType.FILESYSTEM, 2 * MIB, lambda: True)
    kind = VolumeKind(HandClock(), backing, Runs(), VolumePolicy(MIB, MIB, MIB, {}), Sources(store, backing))
    volume = a_volume(size="2Mi")

    status = kind.report(volume, seen := kind.observe(volume), kind.plan(volume, seen))

    assert [(c.type, c.reason) for c in status.conditions] == [("Ready", "Available")]
