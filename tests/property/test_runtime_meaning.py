"""What latest and ranges mean, through any sequence of publications, sick versions, rollbacks and updates."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import runtime_spec
from api.runtime_requests import GOES_AT_GC, GOES_NOW
from api.runtime_spec import version_order
from api.types.runtime import HistoryEntry, RuntimeSpec, UpdatePolicy
from controller.runtime import keeping, meaning
from controller.runtime.keeping import Retained
from controller.runtime.observed import Wanted
from controller.runtime.plan import RemoveVersion, plan
from support.runtime_builders import a_runtime, a_tree_of, observed

VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "1.3.0-rc.1", "2.0.0", "2.1.0")
ASKED = st.sampled_from(["latest", "^1.0", "~1.1", ">=1.1 <2.1", "^2"])
SETS = st.frozensets(st.sampled_from(VERSIONS))
EVENTS = st.one_of(
    st.tuples(st.just("usable"), SETS),
    st.tuples(st.just("rollback"), st.one_of(st.none(), st.sampled_from(VERSIONS))),
    st.tuples(st.just("update"), st.none()),
)
AT = "2026-01-02T03:04:05Z"


def a_spec(asked: str, policy: UpdatePolicy = UpdatePolicy.AUTO, retain: int = 1) -> RuntimeSpec:
    return RuntimeSpec(versions=(asked,), update_policy=policy, retain=retain)


@pytest.mark.invariant("I31")
@settings(max_examples=300, deadline=None)
@given(ASKED, st.sampled_from(UpdatePolicy), st.lists(EVENTS, max_size=12))
def test_nothing_moves_down_but_by_a_rollback_and_nothing_held_back_comes_by_itself(asked, policy, events):
    spec, usable, history = a_spec(asked, policy), frozenset[str](), ()
    for what, value in events:
        before, held = meaning.meant(history, asked), meaning.holds(spec, history)
        if what == "rollback":
            done = meaning.rolled_back(spec, history, value, set(VERSIONS) - usable, AT)
            assert done.refused == (done.history == history)
            history = done.history
            if not done.refused:
                now = meaning.meant(history, asked)
                assert version_order(now) < version_order(before)
                assert now in usable
                assert runtime_spec.matches(asked, now)
                assert any(hold.excludes(before) for hold in meaning.holds(spec, history))
            continue
        usable = value if what == "usable" else usable
        history = meaning.moved(spec, history, usable, AT, ignoring_holds=what == "update")
        now = meaning.meant(history, asked)
        if now == before:
            continue
        assert now in usable
        assert before is None or version_order(now) > version_order(before)
        if what == "usable" and before is not None:
            assert policy is UpdatePolicy.AUTO
            assert not any(hold.excludes(now) for hold in held)
        assert now == runtime_spec.best(asked, meaning.without_held(
            [v for v in usable if runtime_spec.matches(asked, v)], () if what == "update" else held
        ))  # fmt: skip


@given(ASKED, st.permutations(VERSIONS))
def test_an_update_after_a_rollback_means_the_newest_again(asked, order):
    spec = a_spec(asked)
    history = ()
    for index in range(len(order)):
        history = meaning.moved(spec, history, order[: index + 1], AT)
    newest = meaning.meant(history, asked)
    done = meaning.rolled_back(spec, history, None, (), AT)

    kept = meaning.moved(spec, done.history, VERSIONS, AT)
    updated = meaning.moved(spec, done.history, VERSIONS, AT, ignoring_holds=True)

    assert kept == done.history
    assert meaning.meant(updated, asked) == newest


@given(ASKED, st.lists(SETS, max_size=8), st.integers(0, 3))
def test_as_many_versions_are_retained_as_the_spec_says_and_never_what_is_meant_now(asked, seen, retain):
    spec, history = a_spec(asked, retain=retain), tuple[HistoryEntry, ...]()
    for usable in seen:
        history = meaning.moved(spec, history, usable, AT)
    retained = meaning.retained(spec, history)

    meant_before = {entry.version for entry in history} - {meaning.meant(history, asked)}
    assert len(retained) == min(retain, len(meant_before))
    assert retained.keys() <= meant_before


times = st.one_of(st.none(), st.datetimes(timezones=st.timezones()))


@pytest.mark.invariant("I32")
@given(
    st.lists(
        st.builds(Retained, st.sampled_from("abc"), st.sampled_from(VERSIONS), times, st.integers(1, 100)),
        unique_by=lambda r: (r.name, r.version),
    ),
    st.integers(-10, 500),
)
def test_under_pressure_the_oldest_uses_go_first_and_no_more_than_needed(candidates, needed):
    going = keeping.under_pressure(candidates, needed)
    gone = [c for c in candidates if (c.name, c.version) in going]
    kept = [c for c in candidates if c not in gone]

    def age(candidate: Retained) -> object:
        return (candidate.last_used is not None, candidate.last_used)

    assert all(one.last_used is None or (k.last_used is not None and one.last_used <= k.last_used)
               for one in gone for k in kept)  # fmt: skip
    freed = sum(candidate.bytes for candidate in gone)
    assert freed >= needed or not kept
    assert not gone or freed - max(c.bytes for c in gone) < needed


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.floats(1, 100), st.integers(0, 10**12))
def test_what_has_to_become_free_is_just_enough_for_both_limits(total, free, percent, least):
    free = min(free, total)
    needed = keeping.bytes_needed(total, free, percent, least)

    assert needed >= 0
    assert free + needed >= least
    assert total - free - needed <= int(total * percent / 100)
    if needed:
        assert free + needed - 1 < least or total - free - needed + 1 > int(total * percent / 100)


TREES = st.lists(
    st.builds(a_tree_of, st.sampled_from(VERSIONS), ours=st.booleans(), problem=st.sampled_from(["", "broken"])),
    max_size=6, unique_by=lambda tree: tree.version,
)  # fmt: skip


@pytest.mark.invariant("I32")
@settings(max_examples=200, deadline=None)
@given(ASKED, st.lists(SETS, max_size=5), TREES, SETS, SETS, st.booleans(), st.booleans())
def test_nothing_that_is_wanted_used_or_somebody_elses_is_removed(
    asked, seen, trees, used, pressed, asks_gc, rolls_back
):
    spec, history = a_spec(asked), tuple[HistoryEntry, ...]()
    for usable in seen:
        history = meaning.moved(spec, history, usable, AT)
    if rolls_back:
        history = meaning.rolled_back(spec, history, None, (), AT).history
    status = {"history": [entry.to_document() for entry in history]}
    runtime = a_runtime(asked, status=status)
    if asks_gc:
        annotations = {"requests.runwright.dev/gc": "now"}
        runtime = runtime.model_copy(update={"metadata": runtime.meta.model_copy(update={"annotations": annotations})})
    usable = [tree.version for tree in trees if not tree.problem]
    wanted = meaning.target(asked, usable, meaning.holds(spec, history))
    host = observed(
        *trees, wanted=(Wanted(asked, wanted),), in_use=dict.fromkeys(used, ("job/default/etl",)), pressed=pressed
    )

    gone = {step.version for step in plan(runtime, host).steps if isinstance(step, RemoveVersion)}
    kept = keeping.keep(runtime, host)

    by_version = {tree.version: tree for tree in trees}
    assert not gone & used
    assert wanted not in gone
    assert keeping.current(runtime, host, asked) not in gone
    assert all(by_version[version].origin is not None for version in gone)
    if not asks_gc:
        assert not gone & (kept.retained.keys() - pressed)
    for tree in trees:
        said = keeping.kept_because(kept, host, tree)
        assert (said.endswith(GOES_NOW) or said.endswith(GOES_AT_GC)) >= (tree.version in gone)
