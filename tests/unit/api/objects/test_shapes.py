import pytest

from api.caps import MOST_DEPTH, MOST_VALUES
from api.errors import BadRequest
from api.kinds import EVENT, JOB, KINDS, RUNTIME
from api.objects import shapes
from api.objects.shapes import Form
from support.objects import a_job

JOB_SPEC = shapes.of(JOB.type).fields["spec"]


def test_lists_merge_as_their_fields_say():
    assert (JOB_SPEC.fields["env"].form, JOB_SPEC.fields["env"].keys) == (Form.KEYED, ("name",))
    assert (JOB_SPEC.fields["files"].form, JOB_SPEC.fields["files"].keys) == (Form.KEYED, ("path",))
    assert shapes.of(RUNTIME.type).fields["spec"].fields["versions"].form is Form.SET
    assert JOB_SPEC.fields["command"].form is Form.LIST


def test_metadata_merges_as_in_kubernetes():
    metadata = shapes.of(EVENT.type).fields["metadata"]

    assert metadata.fields["finalizers"].form is Form.SET
    assert metadata.fields["ownerReferences"].keys == ("uid",)
    assert metadata.fields["labels"].form is Form.MAP


def test_fields_have_their_names_on_the_wire():
    assert "ephemeral-storage" in JOB_SPEC.fields["resources"].fields["limits"].fields
    assert "backoffLimit" in JOB_SPEC.fields
    assert "backoff_limit" not in JOB_SPEC.fields


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_a_shape(kind):
    assert {"apiVersion", "kind", "metadata"} <= shapes.of(kind.type).fields.keys()


def test_unknown_fields_are_pruned_and_named_by_their_path():
    document = a_job(bogus=1, env=[{"name": "A"}, {"name": "B", "valu": "x"}]) | {"extra": {}}

    pruned, unknown = shapes.prune(document, shapes.of(JOB.type))

    assert pruned == a_job(env=[{"name": "A"}, {"name": "B"}])
    assert sorted(unknown) == ["extra", "spec.bogus", "spec.env[1].valu"]
    assert document["spec"]["bogus"] == 1


def test_python_names_are_unknown_on_the_wire():
    _, unknown = shapes.prune(a_job(backoff_limit=1), shapes.of(JOB.type))

    assert unknown == ["spec.backoff_limit"]


def test_a_null_is_the_same_as_no_field():
    document = a_job()
    document["spec"]["runtime"] = None

    assert shapes.prune(document, shapes.of(JOB.type)) == (a_job(), [])


@pytest.mark.parametrize("value", [["x"] * MOST_VALUES, {str(n): n for n in range(MOST_VALUES // 2)}])
def test_the_number_of_values_has_a_limit_keys_among_them(value):
    shapes.check_caps(value[:-1] if isinstance(value, list) else dict(list(value.items())[:-1]))

    with pytest.raises(BadRequest, match="it has more than 100000 values"):
        shapes.check_caps(value)


def test_depth_has_a_limit():
    nested: object = "x"
    for _ in range(MOST_DEPTH - 1):
        nested = {"a": [nested]} if isinstance(nested, str) else {"a": nested}
    shapes.check_caps(nested)

    with pytest.raises(BadRequest, match="nests deeper than 64 levels"):
        shapes.check_caps({"a": nested})
