"""Merge patches and JSON patches, whatever is patched by whatever."""

import copy
import json

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from api.errors import About, ApiError
from api.objects import patch

_scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)
objects = st.dictionaries(st.sampled_from("abc"), _values, max_size=3)


def without_nulls(value):
    """Return the value without members that are null, which a merge patch cannot make."""
    if isinstance(value, dict):
        return {name: without_nulls(child) for name, child in value.items() if child is not None}
    return value


@given(objects, objects)
def test_a_merge_patch_made_from_two_objects_turns_one_into_the_other(old, new):
    old, new = without_nulls(old), without_nulls(new)

    made = patch.merge(old, patch.merge_of(old, new))

    assert json.dumps(made, sort_keys=True) == json.dumps(new, sort_keys=True)  # For Python, 1 and true are equal.
    assert patch.merge_of(new, new) == {}


@given(objects, objects)
def test_a_merge_patch_done_twice_is_done_once(target, change):
    once = patch.merge(target, change)

    assert patch.merge(once, change) == once


@given(objects, objects)
def test_patching_leaves_what_is_patched_as_it_was(target, change):
    before = copy.deepcopy(target)

    patch.patch(target, change, patch.PatchType.MERGE, About())

    assert target == before


@given(objects, objects)
def test_a_json_patch_made_from_two_objects_turns_one_into_the_other(old, new):
    operations = jsonpatch.make_patch(old, new).patch
    before = copy.deepcopy(old)

    assert patch.patch(old, operations, patch.PatchType.JSON, About()) == new
    assert old == before


_pointers = st.lists(st.sampled_from(["a", "b", "0", "-", "~0", "~1", "~2", ""]), max_size=3).map(
    lambda parts: "".join("/" + part for part in parts)
)
_operations = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "burn"]) | _values,
        "path": _pointers | _values,
        "from": _pointers | _values,
        "value": _values,
    },
)


@given(objects, st.lists(_operations | _values, max_size=4) | _values)
def test_any_json_patch_works_or_is_refused_and_never_fails(target, change):
    before = copy.deepcopy(target)
    try:
        result = patch.patch(target, change, patch.PatchType.JSON, About())
    except ApiError as refusal:
        result = refusal.code

    assert isinstance(result, dict) or result in (400, 422)
    assert target == before
