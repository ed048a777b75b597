"""The CRDs are structural, complete, and say the same as the types."""

from typing import Any

import pytest

from api import crd, kinds
from api.meta import GROUP, Document

OURS = [kind for kind in kinds.KINDS if kind.group == GROUP]


def every_schema(schema: Document, path: str = "") -> list[tuple[str, Document]]:
    found = [(path, schema)]
    for name, below in schema.get("properties", {}).items():
        found += every_schema(below, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            found += every_schema(schema[name], f"{path}[]")
    return found


def at(schema: Any, path: str) -> Document:
    for name in path.split("."):
        schema = schema.get("items", schema)["properties"][name]
    return schema


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.name)
def test_a_schema_is_structural(kind):
    """Source: apiextensions.k8s.io, "Specifying a structural schema"."""
    for path, schema in every_schema(crd.schema_of(kind)):
        anything = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
        assert "type" in schema or anything, path
        assert not {"$ref", "allOf", "oneOf", "not", "title", "const", "$defs"} & schema.keys(), path
        assert "anyOf" not in schema or schema.get("x-kubernetes-int-or-string"), path
        assert not ("properties" in schema and "additionalProperties" in schema), path
        assert isinstance(schema.get("exclusiveMinimum", True), bool), path


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.name)
def test_every_field_of_a_spec_and_status_is_described(kind):
    schema = crd.schema_of(kind)["properties"]
    fields = [
        pair
        for part in ("spec", "status")
        if part in schema
        for pair in every_schema(schema[part], part)
        if not pair[0].endswith("[]")
    ]

    assert [path for path, field in fields if not field.get("description")] == []


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.name)
def test_the_keys_of_a_map_list_are_required_in_its_items(kind):
    for path, schema in every_schema(crd.schema_of(kind)):
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            assert key in schema["items"]["required"], path


def test_quantities_may_be_numbers_or_text():
    memory = at(crd.schema_of(kinds.JOB), "spec.resources.limits.memory")

    assert memory["x-kubernetes-int-or-string"] is True
    assert memory["anyOf"] == [{"type": "integer"}, {"type": "string"}]


def test_a_bound_that_is_left_out_itself_is_a_bound_and_a_flag():
    seconds = at(crd.schema_of(kinds.JOB), "spec.activeDeadlineSeconds")

    assert (seconds["minimum"], seconds["exclusiveMinimum"]) == (0, True)


def test_the_spec_has_defaults_and_the_status_none():
    schema = crd.schema_of(kinds.JOB)

    assert at(schema, "spec.backoffLimit")["default"] == 6
    assert [path for path, each in every_schema(at(schema, "status")) if "default" in each] == []


def test_the_columns_are_those_of_the_kind_and_the_age():
    columns = crd.crd_of(kinds.RUNTIME)["spec"]["versions"][0]["additionalPrinterColumns"]

    assert columns[0]["jsonPath"] == '.status.conditions[?(@.type=="Ready")].status'
    assert columns[-1]["name"] == "Age"


def test_writing_removes_only_what_was_generated(tmp_path):
    (tmp_path / "old.yaml").write_text(crd.HEADER + "kind: Gone\n")
    (tmp_path / "mine.yaml").write_text("kind: Mine\n")

    crd.write(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["mine.yaml", *crd.crds()])
