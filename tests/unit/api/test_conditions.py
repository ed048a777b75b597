from api import conditions
from api.conditions import Condition, ConditionStatus
from api.meta import wire_time
from support.hand_clock import START

OURS = frozenset({"Ready"})
NOW = wire_time(START)
BEFORE = "2025-12-31T00:00:00Z"


def a_condition(status: ConditionStatus, reason: str = "", at: str | None = None) -> Condition:
    return Condition(type="Ready", status=status, reason=reason, last_transition_time=at)


def test_a_condition_that_stays_keeps_its_time_and_takes_the_new_reason():
    old = a_condition(ConditionStatus.FALSE, "Installing", BEFORE)

    (merged,) = conditions.merge([old], [a_condition(ConditionStatus.FALSE, "Conflict")], START, ours=OURS)

    assert (merged.reason, merged.last_transition_time) == ("Conflict", BEFORE)


def test_a_condition_that_changes_gets_the_time_of_now():
    old = a_condition(ConditionStatus.FALSE, at=BEFORE)

    (merged,) = conditions.merge([old], [a_condition(ConditionStatus.TRUE)], START, ours=OURS)

    assert merged.last_transition_time == NOW


def test_a_condition_of_ours_that_is_not_named_again_is_dropped():
    assert conditions.merge([a_condition(ConditionStatus.TRUE, at=BEFORE)], [], START, ours=OURS) == ()


def test_what_somebody_else_says_is_left_as_it_is():
    theirs = Condition(type="example.com/Billed", status=ConditionStatus.TRUE)
    ready = a_condition(ConditionStatus.TRUE, at=BEFORE)

    assert conditions.merge([theirs, ready], [ready], START, ours=OURS) == (ready, theirs)


def test_a_condition_is_found_by_its_type():
    ready = a_condition(ConditionStatus.TRUE)

    assert conditions.find([ready], "Ready") is ready
    assert conditions.find([ready], "Failed") is None
