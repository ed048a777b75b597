"""Admission: whatever is sent, it is stored whole or refused with causes, and never breaks the server."""

import json

from hypothesis import given
from hypothesis import strategies as st

from api import kinds
from api.errors import ApiError
from api.kinds import JOB, KINDS
from api.objects import admission, reading, shapes
from api.objects.admission import WriteOptions
from support.objects import admit

_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
_keys = st.sampled_from(
    ["name", "value", "command", "env", "files", "path", "text", "resources", "limits", "cpu", "labels", "finalizers"]
) | st.text(max_size=4)
junk = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4), max_leaves=12
)
_fields = sorted(shapes.of(JOB.type).fields["spec"].fields)
_metadata = st.dictionaries(st.sampled_from(sorted(shapes.of(JOB.type).fields["metadata"].fields)), junk, max_size=3)
_specs = st.dictionaries(st.sampled_from(_fields), junk, max_size=5) | junk
documents = st.fixed_dictionaries(
    {"metadata": (_metadata | junk), "spec": _specs}, optional={"apiVersion": junk, "kind": junk, "status": junk}
)


def outcome(function, *arguments):
    """Return what a function returns, or its refusal."""
    try:
        return function(*arguments), None
    except ApiError as refusal:
        return None, refusal


@given(st.sampled_from(KINDS), documents | junk, st.sampled_from(["Strict", "Warn", "Ignore"]))
def test_any_document_is_admitted_or_refused_with_a_reason(kind, document, mode):
    admitted, refusal = outcome(admit, kind, document, "default", WriteOptions(field_validation=mode))
    if refusal is not None:
        assert refusal.code in (400, 413, 422)
        assert refusal.message
        assert json.dumps(refusal.status())
        return
    kind.type.model_validate(admitted.document)
    assert json.loads(json.dumps(admitted.document)) == admitted.document


@given(documents)
def test_an_admitted_document_is_admitted_again_as_it_is(document):
    once, refusal = outcome(admit, JOB, document, "default", WriteOptions(field_validation="Ignore"))
    if refusal is not None:
        return
    again = admit(JOB, once.document, "default", WriteOptions(field_validation="Strict"))

    assert again.document == once.document
    assert again.warnings == ()


@given(st.dictionaries(st.text("xyz", min_size=1, max_size=3), junk, min_size=1, max_size=3))
def test_every_unknown_field_is_named_and_pruned(unknown):
    unknown = {"x-" + name: value for name, value in unknown.items()}
    document = {"metadata": {"name": "a"}, "spec": {"command": ["true"]} | unknown}

    admitted = admit(JOB, document, "default", WriteOptions())

    told = [warning.partition(": did you mean")[0] for warning in admitted.warnings]
    assert sorted(told) == sorted(f'unknown field "spec.{name}"' for name in unknown)
    assert admitted.document["spec"] == {"command": ["true"]}


@given(st.binary(max_size=200) | st.text("[]{}&*!:-? \n'\"#|>%@ab01<,", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(body):
    for read in (reading.read_json, reading.read_yaml):
        value, refusal = outcome(read, body)
        shapes.check_caps(value)
        assert refusal is None or refusal.message.startswith("cannot read the ")


@given(junk)
def test_json_is_read_as_what_it_says(value):
    body = json.dumps(value).encode()

    assert json.loads(body) == reading.read_json(body)


@given(junk)
def test_anything_may_claim_to_be_a_kind(document):
    kind, refusal = outcome(admission.identify, document)

    if refusal is None:
        assert kind in kinds.KINDS
    else:
        assert "kind" in refusal.message or "apiVersion" in refusal.message or "mapping" in refusal.message
