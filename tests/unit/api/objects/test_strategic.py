import pytest

from api.errors import BadRequest
from api.kinds import NAMESPACE
from api.objects import shapes, strategic
from api.objects.shapes import Form, Shape

LEAF = Shape(Form.LEAF)
ITEM = Shape(Form.STRUCT, {"name": LEAF, "value": LEAF})
SHAPE = Shape(
    Form.STRUCT,
    {
        "plain": Shape(Form.LIST, element=LEAF),
        "set": Shape(Form.SET, element=LEAF),
        "keyed": Shape(Form.KEYED, element=ITEM, keys=("name",)),
        "map": Shape(Form.MAP, element=LEAF),
    },
)
A, B = {"name": "a", "value": 1}, {"name": "b", "value": 2}


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({"plain": [9]}, {"plain": [9]}),
        ({"set": [2, 3]}, {"set": [1, 2, 3]}),
        ({"set": [3, 3, 1, 3]}, {"set": [1, 2, 3]}),
        ({"set": [True, True]}, {"set": [1, 2, True]}),
        ({"$deleteFromPrimitiveList/set": [1]}, {"set": [2]}),
        ({"keyed": [{"name": "a", "value": 5}]}, {"keyed": [{"name": "a", "value": 5}, B]}),
        ({"keyed": [{"name": "c"}]}, {"keyed": [A, B, {"name": "c"}]}),
        ({"keyed": [{"name": "a", "$patch": "delete"}]}, {"keyed": [B]}),
        ({"keyed": [{"$patch": "replace"}, {"name": "c"}]}, {"keyed": [{"name": "c"}]}),
        ({"keyed": [], "$setElementOrder/keyed": [{"name": "b"}, {"name": "a"}]}, {"keyed": [B, A]}),
        ({"$setElementOrder/set": [2, 1]}, {"set": [2, 1]}),
        ({"map": {"x": None, "z": "3"}}, {"map": {"y": "2", "z": "3"}}),
        ({"map": {"$patch": "replace", "z": "3"}}, {"map": {"z": "3"}}),
        ({"map": {"$patch": "delete"}}, {"map": {}}),
        ({"map": {"$retainKeys": ["y"]}}, {"map": {"y": "2"}}),
        ({"plain": None}, {"plain": None}),
    ],
)
def test_a_strategic_patch_merges_each_list_as_it_is(change, result):
    before = {"plain": [1], "set": [1, 2], "keyed": [A, B], "map": {"x": "1", "y": "2"}}
    expected = {name: value for name, value in (before | result).items() if value is not None}

    assert strategic.patch(before, change, SHAPE) == expected
    assert before["keyed"] == [A, B]


@pytest.mark.parametrize(
    "change",
    [[], {"map": {"$patch": "explode"}}, {"keyed": [1]}, {"keyed": [{"value": 1}]}, {"$setElementOrder/set": 1},
     {"$retainKeys": [1]}, {"$patch": []}],
)  # fmt: skip
def test_what_is_no_strategic_patch_is_refused(change):
    with pytest.raises(BadRequest, match="cannot read the strategic merge patch"):
        strategic.patch({"set": [1]}, change, SHAPE)


def test_finalizers_of_a_namespace_are_a_set():
    before = {"metadata": {"finalizers": ["a"]}}
    change = {"metadata": {"finalizers": ["b"]}}

    assert strategic.patch(before, change, shapes.of(NAMESPACE.type))["metadata"]["finalizers"] == ["a", "b"]
