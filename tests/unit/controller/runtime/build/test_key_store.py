"""Java's store of certificates without times."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.build import key_store

ENTRIES = [(b"debian:b", 1_700_000_000_000, b"second"), (b"debian:a", 1_600_000_000_000, b"first")]


def a_store(entries=ENTRIES, *, tag: int = 2, tail: bytes = b"") -> bytes:
    body = struct.pack(">III", 0xFEEDFEED, 2, len(entries))
    for alias, time, certificate in entries:
        body += struct.pack(">IH", tag, len(alias)) + alias + struct.pack(">QH", time, 5) + b"X.509"
        body += struct.pack(">I", len(certificate)) + certificate
    body += tail
    return body + hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()


def test_the_same_certificates_make_the_same_bytes_whenever_they_were_added():
    later = [(alias, time + 5, certificate) for alias, time, certificate in reversed(ENTRIES)]

    assert key_store.timeless(a_store(), 1000) == key_store.timeless(a_store(later), 1000)


def test_the_certificates_stay_and_the_store_is_whole():
    assert key_store.timeless(a_store(), 1000) == a_store([(alias, 1_000_000, c) for alias, _, c in sorted(ENTRIES)])


@pytest.mark.parametrize(
    "store",
    [b"", b"PKCS", a_store()[:-1], a_store(tag=1), a_store(tail=b"x"), a_store()[:40] + b"!" + a_store()[41:]],
    ids=["empty", "another format", "cut", "a key in it", "more behind it", "changed"],
)
def test_what_is_not_understood_is_left_as_it_is(store):
    assert key_store.timeless(store, 1000) == store


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data):
    assert key_store.timeless(data, 1000) == data
