"""What is short to write and long to work off: it is refused, or costs little more than what is read.

The bounds of time are generous: what each case did before took minutes, or all memory.
"""

import json
import time

import pytest

from api.errors import About, BadRequest, TooLarge
from api.kinds import CLUSTER_ROLE, CONFIG_MAP, JOB
from api.objects import patch, selectors, strategic
from api.objects.patch import PatchType
from api.objects.selectors import MOST_TERMS
from api.objects.shapes import of as shape_of
from support.http import serving
from support.objects import a_job, by, open_verbs

SECONDS = 5
MANY = 4000


@pytest.fixture
def within():
    """The test takes no more than a few seconds of processor time, whoever else uses the host."""
    begun = time.process_time()
    yield
    assert time.process_time() - begun < SECONDS


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def verbs(tmp_path):
    verbs, store = open_verbs(tmp_path)
    yield verbs
    store.close()


@pytest.mark.invariant("P6")
@pytest.mark.usefixtures("within")
def test_a_field_selector_full_of_spaces_is_read_at_once():
    """It was tried at each of them, in the event loop: any viewer stopped all of the API for a minute."""
    spaces = " " * 60_000
    assert selectors.parse(JOB, None, f"metadata.name=x{spaces}y").name == f"x{spaces}y"
    with pytest.raises(BadRequest, match="invalid field selector"):
        selectors.parse(JOB, None, f"metadata.name{spaces}y")


@pytest.mark.parametrize("text", ["metadata.name=a", " metadata.name == a ", "metadata.name\t=\ta,"])
def test_spaces_around_the_words_of_a_field_selector_say_nothing(text):
    assert selectors.parse(JOB, None, text).name == "a"


@pytest.mark.parametrize(("labels", "fields"), [("a=b", None), (None, "metadata.name=a"), ("a=b", "metadata.name=a")])
def test_a_selector_has_so_many_requirements_and_no_more(labels, fields):
    def times(count, text):
        return None if text is None else ",".join([text] * count)

    assert selectors.parse(JOB, times(MOST_TERMS // 2, labels), times(MOST_TERMS // 2, fields))
    with pytest.raises(BadRequest, match="more than 100"):
        selectors.parse(JOB, times(MOST_TERMS + 1, labels), times(MOST_TERMS + 1, fields))


@pytest.mark.invariant("P6")
@pytest.mark.usefixtures("within")
def test_a_json_patch_does_not_double_what_is_there_again_and_again():
    document = {"metadata": {"annotations": {"a": "b"}}}
    operations = [
        {"op": "copy", "from": "/metadata/annotations", "path": f"/metadata/annotations/k{number}"}
        for number in range(40)
    ]
    with pytest.raises(TooLarge, match="copies more than"):
        patch.patch(document, operations, PatchType.JSON, About())


def test_a_json_patch_copies_what_people_copy():
    copied = patch.patch({"a": {"b": [1]}}, [{"op": "copy", "from": "/a/b", "path": "/c"}], PatchType.JSON, About())

    assert copied == {"a": {"b": [1]}, "c": [1]}


@pytest.mark.parametrize(
    "operation", [{"op": "copy", "from": "/no", "path": "/c"}, {"op": "copy", "from": 5, "path": "/c"}]
)
def test_a_copy_of_what_is_not_there_is_refused(operation):
    with pytest.raises((BadRequest, Exception), match=r"cannot (apply|read) the JSON patch"):
        patch.patch({"a": 1}, [operation], PatchType.JSON, About())


def variables(count, value="x"):
    return [{"name": f"V{number}", "value": f"{value}{number}"} for number in range(count)]


@pytest.mark.invariant("P6")
@pytest.mark.usefixtures("within")
def test_letting_go_of_a_long_list_costs_no_more_than_the_list(verbs):
    """Each item that went cost a look at all that were left."""
    verbs.apply(JOB, "default", "long", a_job("long", env=variables(MANY)), by("a"))

    left = verbs.apply(JOB, "default", "long", a_job("long", env=variables(2)), by("a")).document

    assert [each["name"] for each in left["spec"]["env"]] == ["V0", "V1"]


@pytest.mark.invariant("P6")
@pytest.mark.usefixtures("within")
def test_two_long_lists_are_laid_over_each_other_in_one_go(verbs):
    verbs.apply(JOB, "default", "two", a_job("two", env=variables(MANY)[::2]), by("a"))

    both = verbs.apply(JOB, "default", "two", a_job("two", env=variables(MANY)[1::2]), by("b")).document

    assert len(both["spec"]["env"]) == MANY


@pytest.mark.invariant("P6")
@pytest.mark.usefixtures("within")
def test_who_is_in_conflict_with_everybody_is_told_so_soon(verbs):
    verbs.create(CONFIG_MAP, "default", {"metadata": {"name": "all"}, "data": {"k": "x"}}, by("a"))
    managers = [
        {"manager": f"m{number}", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:k": {}}}}
        for number in range(2000)
    ]  # fmt: skip
    verbs.patch(CONFIG_MAP, "default", "all", {"metadata": {"managedFields": managers}}, PatchType.MERGE, by("a"))
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "all"}, "data": {"k": "y"}}

    with pytest.raises(Exception, match="Apply failed with 200") as refused:
        verbs.apply(CONFIG_MAP, "default", "all", mine, by("z"))
    assert len(refused.value.causes) >= 2000


@pytest.mark.invariant("P6")
@pytest.mark.usefixtures("within")
@pytest.mark.parametrize("directive", ["", "$setElementOrder/ownerReferences"])
def test_a_strategic_patch_of_a_long_list_finds_each_item_at_once(directive):
    owners = [{"apiVersion": "v1", "kind": "X", "name": f"o{number}", "uid": f"{number}"} for number in range(MANY)]
    order = {directive: [{"uid": each["uid"]} for each in owners[::-1]]} if directive else {}
    patched = strategic.patch(
        {"metadata": {"ownerReferences": owners}},
        {"metadata": {"ownerReferences": owners[::-1], **order}},
        shape_of(CLUSTER_ROLE.type),
    )

    assert patched["metadata"]["ownerReferences"] == (owners[::-1] if directive else owners)


@pytest.mark.invariant("P6")
@pytest.mark.usefixtures("within")
def test_a_strategic_patch_of_a_long_set_finds_each_value_at_once():
    names = [f"a.b/{number}" for number in range(20_000)]
    change = {"finalizers": [*names, "c.d/new"], "$deleteFromPrimitiveList/finalizers": names[::2]}
    patched = strategic.patch({"metadata": {"finalizers": names}}, {"metadata": change}, shape_of(CLUSTER_ROLE.type))

    assert len(patched["metadata"]["finalizers"]) == 20_001


@pytest.mark.parametrize(
    "change",
    [
        {"finalizers": [{}]},
        {"finalizers": [[1]]},
        {"ownerReferences": [{"uid": []}]},
        {"$deleteFromPrimitiveList/finalizers": [{}]},
    ],
)
def test_what_can_be_no_value_of_a_set_and_no_key_is_refused(change):
    with pytest.raises(BadRequest, match="must be text, a number or a boolean"):
        strategic.patch({"metadata": {"finalizers": ["a.b/c"]}}, {"metadata": change}, shape_of(CLUSTER_ROLE.type))


@pytest.mark.invariant("P6")
@pytest.mark.parametrize(
    "path", ["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "/apis/authentication.k8s.io/v1/tokenreviews"]
)
def test_what_everybody_may_ask_is_short(api, path):
    """It is read in the event loop: 300 KB of YAML took a second of everybody's."""
    answer = api.client.post(path, content=json.dumps({"spec": {"x": "y" * 70_000}}))

    assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")


def test_a_large_body_is_read_as_a_small_one(api):
    large = {"metadata": {"name": "large"}, "data": {f"k{number}": "x" * 100 for number in range(1000)}}
    assert api.client.post("/api/v1/namespaces/default/configmaps", json=large).status_code == 201
    text = "spec:\n  command: ['true']\n" + "".join(f"# {'x' * 90}\n" for _ in range(1000))
    made = api.client.patch(
        api.jobs("of-yaml"), content=f"apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {{name: of-yaml}}\n{text}",
        params={"fieldManager": "x"}, headers={"content-type": "application/apply-patch+yaml"},
    )  # fmt: skip
    assert made.status_code == 201, made.text
    refused = api.client.post(api.jobs(), content="a: [" + "x, " * 90_000, headers={"content-type": "application/yaml"})
    assert refused.status_code == 400
