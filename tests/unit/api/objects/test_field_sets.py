import pytest

from api.kinds import JOB, RUNTIME
from api.objects import field_sets, shapes
from support.objects import a_job, a_runtime

SHAPE = shapes.of(JOB.type)


def test_what_the_server_owns_is_no_managers():
    document = a_job(metadata={"uid": "u", "labels": {"a": "b"}, "managedFields": []}) | {
        "status": {"phase": "Running"}
    }

    assert field_sets.owned_part(document, "") == {"metadata": {"labels": {"a": "b"}}, "spec": {"command": ["true"]}}
    assert field_sets.owned_part(document, "status") == {"status": {"phase": "Running"}}


def test_the_leaves_are_written_as_fields_v1():
    part = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"command": ["a", "b"], "env": [{"name": "A", "value": "1"}], "resources": {}},
    }

    assert field_sets.encode(field_sets.leaves(part, SHAPE)) == {
        "f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {
            "f:command": {},
            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
            "f:resources": {},
        },
    }


def test_the_values_of_a_set_are_members():
    part = field_sets.owned_part(a_runtime(versions=["1.0.0", "latest"]), "")

    assert field_sets.encode(field_sets.leaves(part, shapes.of(RUNTIME.type))) == {
        "f:spec": {"f:versions": {'v:"1.0.0"': {}, 'v:"latest"': {}}}
    }


@pytest.mark.parametrize("env", [[{"name": "A"}, {"name": "A"}], [{"value": "x"}], ["A"], [{"name": {}}], "A", {}])
def test_a_list_whose_items_cannot_be_told_apart_is_one_leaf(env):
    assert ("f:spec", "f:env") in field_sets.leaves({"spec": {"env": env}}, SHAPE)


def test_the_containers_are_maps_and_keyed_lists_but_not_structs():
    part = {"metadata": {"labels": {"a": "b"}}, "spec": {"env": [{"name": "A"}], "command": ["x"]}}

    assert field_sets.containers(part, SHAPE) == {("f:metadata", "f:labels"), ("f:spec", "f:env")}


@pytest.mark.parametrize("bad", [[], {"f:a": []}, {"spec": {}}, {"x:y": {}}, {"f:a": {"b": {}}}])
def test_what_is_no_fields_v1_is_refused(bad):
    with pytest.raises(ValueError, match=r"path element|made of objects"):
        field_sets.decode(bad)


def test_paths_are_shown_as_kubernetes_shows_them():
    assert field_sets.display(("f:metadata", "f:labels", "f:a/b")) == ".metadata.labels.a/b"
    assert field_sets.display(("f:spec", "f:versions", 'v:"1.0.0"')) == '.spec.versions[="1.0.0"]'
    assert field_sets.display(("f:x", 'k:{"a":"b","n":1}', "f:c")) == '.x[a="b",n=1].c'
