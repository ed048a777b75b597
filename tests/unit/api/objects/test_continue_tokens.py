"""Tokens of lists: what was written is read, and what nobody wrote is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import BadRequest
from api.objects import continue_tokens


@given(st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=99), max_size=4))
def test_what_was_written_is_read_again(facts):
    token = continue_tokens.write(facts)

    assert continue_tokens.read(token) == facts
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@pytest.mark.parametrize("said", [b"", b"7", b"[1]", b'"rv"', b"{", b"\xff\xfe", b"null", b"[" * 100_000])
def test_what_holds_no_facts_is_refused(said):
    with pytest.raises(BadRequest, match="continue key is not valid"):
        continue_tokens.read(base64.urlsafe_b64encode(said).decode())


@pytest.mark.parametrize("token", ["=", "a", "!!!!", "é", "e30 ", "+/+/"])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(BadRequest, match="continue key is not valid"):
        continue_tokens.read(token)
