import pytest

from api.errors import About, BadRequest, Invalid, TooLarge, UnsupportedMediaType
from api.objects import patch
from api.objects.patch import PatchType

ETL = About("runwright.dev", "jobs", "etl")


@pytest.mark.parametrize(
    ("target", "change", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396(target, change, result):
    assert patch.patch(target, change, PatchType.MERGE, ETL) == result


def test_a_json_patch_is_done_in_order():
    change = [
        {"op": "test", "path": "/a", "value": 1},
        {"op": "add", "path": "/list/-", "value": 2},
        {"op": "move", "from": "/a", "path": "/b"},
        {"op": "remove", "path": "/list/0"},
    ]

    assert patch.patch({"a": 1, "list": [1]}, change, PatchType.JSON, ETL) == {"b": 1, "list": [2]}


def test_a_failed_test_is_an_invalid_request():
    change = [{"op": "test", "path": "/a/b~1c", "value": 2}]
    with pytest.raises(Invalid, match="testing path failed") as caught:
        patch.patch({"a": {"b/c": 1}}, change, PatchType.JSON, ETL)
    assert [cause.field for cause in caught.value.causes] == ["a.b/c"]


@pytest.mark.parametrize(
    "change",
    [
        [{"op": "remove", "path": "/none"}],
        [{"op": "add", "path": "/a/b/c", "value": 1}],
        [{"op": "replace", "path": "/x/9", "value": 1}],
    ],
)
def test_a_json_patch_that_does_not_fit_says_to_what(change):
    with pytest.raises(Invalid, match=r'cannot apply the JSON patch to jobs.runwright.dev "etl"'):
        patch.patch({"a": 1}, change, PatchType.JSON, ETL)


@pytest.mark.parametrize(
    "change", [{}, "x", [1], [{"op": "burn", "path": "/a"}], [{"path": "/a"}], [{"op": "add", "path": 3}]]
)
def test_what_is_no_json_patch_is_refused(change):
    with pytest.raises(BadRequest, match="cannot read the JSON patch"):
        patch.patch({"a": 1}, change, PatchType.JSON, ETL)


def test_a_merge_patch_must_be_an_object():
    with pytest.raises(BadRequest, match="must be a JSON object"):
        patch.patch({}, [1], PatchType.MERGE, ETL)


def test_a_patch_may_not_make_something_else_than_an_object():
    with pytest.raises(BadRequest, match="not an object"):
        patch.patch({}, [{"op": "replace", "path": "", "value": 1}], PatchType.JSON, ETL)


def test_the_operations_of_one_patch_are_limited():
    operations = [{"op": "add", "path": "/a", "value": 1}] * (patch.MOST_OPERATIONS + 1)

    with pytest.raises(TooLarge, match="the most is 10000"):
        patch.patch({}, operations, PatchType.JSON, ETL)


def test_a_strategic_merge_patch_is_unsupported_and_the_message_says_what_is_not():
    with pytest.raises(UnsupportedMediaType, match="application/merge-patch"):
        patch.patch({}, {}, "application/strategic-merge-patch+json", ETL)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ({"op": "test", "path": "/spec/secret", "value": "y"}, 'testing path failed: "/spec/secret" is not'),
        ({"op": "test", "path": "/spec/no", "value": "y"}, 'testing path failed: "/spec/no" is not'),
        ({"op": "replace", "path": "/no/x", "value": 1}, "replace \"/no/x\": member 'no' not found"),
        ({"op": "copy", "from": "/no/x", "path": "/y"}, "copy \"/y\": member 'no' not found"),
        (
            {"op": "add", "path": "/spec/secret/x", "value": 1},
            "nothing can be below a value that is neither an object nor",
        ),
        ({"op": "remove", "path": "/spec/no"}, "remove \"/spec/no\": can't remove a non-existent object 'no'"),
    ],
)
def test_a_json_patch_that_does_not_fit_names_its_path_and_shows_nothing_of_the_object(operation, said):
    document = {"spec": {"secret": "hunter2"}}

    with pytest.raises(Invalid) as caught:
        patch.patch(document, [{"op": "add", "path": "/a", "value": 1}, operation], PatchType.JSON, ETL)

    assert said in caught.value.message
    assert "hunter2" not in f"{caught.value.message} {caught.value.causes}"
    assert document == {"spec": {"secret": "hunter2"}}
