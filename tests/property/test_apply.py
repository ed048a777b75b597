"""Server-side apply, whatever managers apply in whatever order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.errors import About, Conflict
from api.kinds import JOB
from api.meta import Document
from api.objects import apply, field_sets, shapes
from api.objects.managed_fields import APPLY, UPDATE, Entry, after_update

SHAPE = shapes.of(JOB.type)
MANAGERS = ("directory", "inbox", "kubectl")

_words = st.sampled_from(["a", "b", "c"])
_env = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("ABCD")}, optional={"value": _words}),
    unique_by=lambda item: item["name"],
    max_size=4,
)
_specs = st.fixed_dictionaries(
    {},
    optional={
        "command": st.lists(_words, min_size=1, max_size=2),
        "env": _env,
        "runtime": _words,
        "suspend": st.booleans(),
        "resources": st.fixed_dictionaries(
            {}, optional={"limits": st.dictionaries(st.sampled_from(["cpu", "memory"]), _words)}
        ),
    },
)
_labels = st.dictionaries(_words, _words, max_size=3)
_finalizers = st.lists(st.sampled_from(["x/a", "x/b", "x/c"]), unique=True, max_size=3)
_metadata = st.fixed_dictionaries({}, optional={"labels": _labels, "finalizers": _finalizers})
parts = st.fixed_dictionaries({"spec": _specs}, optional={"metadata": _metadata})
applies = st.tuples(st.sampled_from(MANAGERS), parts)


def entry(manager: str, operation: str = APPLY) -> Entry:
    return Entry(manager, operation, "v", "2026-01-02T03:04:05Z", frozenset())


def run(
    live: Document, entries: tuple[Entry, ...], manager: str, wanted: Document, *, force: bool = True
) -> apply.Applied:
    return apply.apply(live, wanted, SHAPE, entries, entry(manager), force=force, about=About())


def after(history: list[tuple[str, Document]]) -> apply.Applied:
    state = apply.Applied({}, ())
    for manager, wanted in history:
        state = run(state.document, state.entries, manager, wanted)
    return state


def fields_of(state: apply.Applied, manager: str) -> frozenset[Any]:
    return next((each.fields for each in state.entries if each.manager == manager), frozenset())


@given(st.lists(applies, max_size=5), applies)
def test_applying_the_same_again_changes_nothing(history, last):
    once = after([*history, last])

    assert run(once.document, once.entries, *last, force=False) == once


@given(st.lists(applies, max_size=5), applies)
def test_everything_that_was_applied_is_there_and_owned(history, last):
    manager, wanted = last
    state = after([*history, last])

    live = field_sets.leaves(state.document, SHAPE)
    for path, value in field_sets.leaves(wanted, SHAPE).items():
        if path and value not in ({}, []):
            assert live[path] == value
            assert path in fields_of(state, manager)


@given(st.lists(applies, min_size=1, max_size=6))
def test_nothing_is_there_that_nobody_owns_and_nothing_owned_is_missing(history):
    state = after(history)

    owned = frozenset().union(*(each.fields for each in state.entries))
    live = field_sets.leaves(state.document, SHAPE)
    present = live.keys() | field_sets.containers(state.document, SHAPE)
    assert owned <= present
    unowned = {path for path, value in live.items() if path and value not in ({}, []) and path not in owned}
    assert unowned == set()


@given(st.lists(applies, max_size=5), st.sampled_from(MANAGERS))
def test_a_manager_that_applies_nothing_lets_go_of_exactly_what_nobody_else_has(history, leaver):
    before = after(history)
    kept = frozenset().union(*(each.fields for each in before.entries if each.manager != leaver))

    state = run(before.document, before.entries, leaver, {"spec": {}})

    old, new = field_sets.leaves(before.document, SHAPE), field_sets.leaves(state.document, SHAPE)
    assert {path for path in old if path in kept} <= new.keys()
    gone = {path for path in fields_of(before, leaver) if path not in kept}
    still_there = {path for path in gone if path in new and new[path] not in ({}, []) and path[-1][:2] == "f:"}
    assert {path for path in still_there if not path[-2].startswith("k:")} == set()


@given(st.lists(applies, max_size=4), applies)
def test_an_apply_either_conflicts_or_leaves_every_field_of_others_as_it_was(history, last):
    manager, wanted = last
    before = after(history)
    try:
        state = run(before.document, before.entries, manager, wanted, force=False)
    except Conflict as error:
        conflict = error
    else:
        conflict = None
    if conflict is not None:
        assert {cause.reason for cause in conflict.causes} == {"FieldManagerConflict"}
        return
    old, new = field_sets.leaves(before.document, SHAPE), field_sets.leaves(state.document, SHAPE)
    for each in before.entries:
        if each.manager != manager:
            for path in each.fields & old.keys():
                if old[path] not in ({}, []):
                    assert new[path] == old[path]


@given(st.lists(applies, max_size=4), applies)
def test_the_order_of_items_of_the_applied_list_is_kept(history, last):
    _manager, wanted = last
    state = after([*history, last])

    names = [item["name"] for item in wanted["spec"].get("env", [])]
    live = [item["name"] for item in state.document.get("spec", {}).get("env", [])]
    assert [name for name in live if name in names] == names


@given(parts)
def test_a_set_of_fields_survives_its_encoding(part):
    fields = frozenset(field_sets.leaves(part, SHAPE)) - {()}

    assert field_sets.decode(field_sets.encode(fields)) == fields


@given(st.lists(st.tuples(st.sampled_from(MANAGERS), parts), min_size=1, max_size=5))
def test_ordinary_writes_leave_every_leaf_with_exactly_one_owner(history):
    live: Document = {}
    entries: list[Entry] = []
    for manager, wanted in history:
        entries = after_update(entries, entry(manager, UPDATE), live, wanted, SHAPE)
        live = wanted

    for path in field_sets.leaves(live, SHAPE).keys() - {()}:
        assert len([each for each in entries if path in each.fields]) == 1
    present = field_sets.leaves(live, SHAPE).keys() | field_sets.containers(live, SHAPE)
    assert all(each.fields <= present for each in entries)
