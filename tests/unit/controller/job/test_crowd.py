from api.meta import ObjectKey
from controller.job.crowd import Crowd


def key(name):
    return ObjectKey("Job", "default", name)


class Host:
    """A number of active runs that a test can change."""

    active = 0


def test_while_there_is_room_nobody_waits():
    crowd = Crowd(lambda: 1, 2)

    assert crowd.why_full(key("a")) == ""
    assert crowd.woken() == ()


def test_who_finds_no_room_is_told_why_and_woken_in_the_order_they_came():
    crowd = Crowd(lambda: 2, 2)

    assert crowd.why_full(key("b")) == "2 runs are active on this host, jobs.max_active is 2"
    for name in ("a", "c", "b", "d", "e"):
        crowd.why_full(key(name))

    assert [woken.name for woken in crowd.woken()] == ["b", "a", "c", "d"]
    assert [woken.name for woken in crowd.woken()] == ["e"]
    assert crowd.woken() == ()


def test_who_finds_room_waits_no_more():
    host = Host()
    host.active = 1
    crowd = Crowd(lambda: host.active, 1)
    crowd.why_full(key("a"))
    host.active = 0

    assert crowd.why_full(key("a")) == ""
    assert crowd.woken() == ()
