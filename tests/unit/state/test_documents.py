"""Objects to text and back."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import BadRequest
from state import documents
from support.stores import a_document

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_the_revision_is_not_in_the_text_and_is_there_again_when_read():
    written, _ = documents.encode(a_document(resourceVersion="3"))

    assert "resourceVersion" not in written
    assert documents.decode(written, 9) == a_document(resourceVersion="9")


def test_a_detached_document_is_equal_and_shares_nothing():
    given_document = a_document(resourceVersion="3", labels={"a": "b"})

    copy = documents.detach(given_document)

    assert copy == given_document
    assert copy["metadata"]["labels"] is not given_document["metadata"]["labels"]


def test_what_nests_deeper_than_a_parser_goes_is_read_all_the_same():
    tower: object = "top"
    for _ in range(400):
        tower = [tower]
    document = a_document(spec={"tower": tower})

    assert documents.decode(documents.encode(document)[0], 1)["spec"] == document["spec"]
    assert documents.decode(documents.encode_plain(document), 1)["spec"] == document["spec"]


def test_a_tower_of_lists_is_refused_instead_of_breaking_the_process():
    tower: list[object] = []
    for _ in range(100_000):
        tower = [tower]

    with pytest.raises(BadRequest, match="it is not JSON"):
        documents.encode(a_document(spec={"tower": tower}))


@given(JSON)
def test_any_json_comes_back_as_it_was(value):
    document = a_document(spec={"value": value})

    assert documents.decode(documents.encode(document)[0], 1)["spec"] == document["spec"]


@given(JSON)
def test_what_is_written_is_what_the_standard_library_writes_and_reads_as_is_said(value):
    document = a_document(spec={"value": value})

    written, read = documents.encode(document)

    assert json.loads(written) == document == read
    assert repr(read["spec"]) == repr(document["spec"])


def test_what_json_has_another_word_for_is_stored_as_that():
    assert documents.detach(a_document(spec={"value": (1, 2), 3: "x"}))["spec"] == {"value": [1, 2], "3": "x"}


@given(JSON)
def test_what_was_read_is_written_as_it_is(value):
    read = documents.detach(a_document(spec={"value": value}))

    assert documents.decode(documents.encode_plain(read), 1)["spec"] == read["spec"]


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", float("nan"), float("inf"), datetime(2026, 1, 1, tzinfo=UTC), "\ud800"]
)
def test_what_json_cannot_carry_is_refused(value):
    with pytest.raises(BadRequest, match="it is not JSON"):
        documents.detach(a_document(spec={"value": value}))
