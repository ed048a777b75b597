"""Servers and catalogues that lie, stall, lead elsewhere or send what may not be: refused with the reason, and nothing left.

Each runs a real install from a real server, beside a version that was installed before and may not change.
"""

import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from controller.engine.errors import TerminalError, TransientError
from controller.registry import catalogue, location
from controller.registry.access import Access, origin_of
from controller.registry.catalogue import InvalidCatalogue
from controller.registry.resume import Patience
from controller.runtime.archives.archive import Limits
from controller.runtime.sources.archive import ArchiveSource
from controller.runtime.sources.registry import Package
from controller.runtime.trees import install, origin
from controller.runtime.trees.install import Host
from support.hostile_server import Exchange, hostile_server
from support.registry_fixtures import (
    RegistryOnDisk,
    a_file,
    a_hardlink,
    a_host,
    a_package,
    a_special,
    a_symlink,
    an_archive,
    snapshot,
)
from support.zip_builders import PACKINGS, a_zip, a_zip_file, a_zip_of_many, a_zip_of_overlaps

HASTY = Patience(silence_seconds=0.25, window_seconds=0.3, window_bytes=50_000, attempts=2, pause_seconds=0.001)
GOOD = a_package(
    "a", "2.0.0", a_symlink("link", "isolated"), a_file("noise", os.urandom(200_000)), a_file("last", os.urandom(9000))
)
TOKEN = "t0ps3cret"
Behaviour = Callable[[Exchange], None]


@dataclass
class Place:
    """A host with a@1.0.0 installed, to which somebody offers a@2.0.0."""

    host: Host
    before: dict[str, str]

    def source(self, url: str, data: bytes = GOOD, size: int | None = None) -> ArchiveSource:
        return ArchiveSource("a", "2.0.0", url, hashlib.sha256(data).hexdigest(), size)

    def refusal(self, source: object) -> tuple[str, str]:
        """Install, which must fail and leave everything as it was; return the reason and the message."""
        with pytest.raises((TransientError, TerminalError)) as caught:
            install.install(source, self.host)
        assert self.seen() == self.before
        staging = self.host.root / origin.STAGING
        assert not staging.exists() or os.listdir(staging) == []
        return caught.value.reason, caught.value.message

    def seen(self) -> dict[str, str]:
        """Return all of the root, but for what takes turns: locks."""
        return {
            name: what
            for name, what in snapshot(self.host.root).items()
            if "lock" not in name and not name.startswith(".staging")
        }


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    registry = RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0")
    with a_host(tmp_path / "root", patience=HASTY, limits=Limits(entries=1000, free_bytes=1 << 20)) as host:
        install.install(registry.package("a"), host)
        made = Place(host, {})
        made.before = made.seen()
        yield made


def stalls(it: Exchange) -> None:
    it.head(200, len(GOOD))
    it.send(GOOD[:5000])
    it.stall()


def trickles(it: Exchange) -> None:
    it.head(200, len(GOOD))
    it.trickle(GOOD)


def trickles_headers(it: Exchange) -> None:
    it.raw(b"HTTP/1.1 200 OK\r\nX: ")
    it.trickle(b"y" * 10_000)


def answers_nothing(it: Exchange) -> None:
    it.raw(b"")


def says_nonsense(it: Exchange) -> None:
    it.raw(b"\x00\x01\x02 nonsense\r\n\r\n")


def sends_headers_without_end(it: Exchange) -> None:
    it.raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000)


def truncates(it: Exchange) -> None:
    it.serve_range(GOOD, upto=5000)


def says_less_than_it_sends(it: Exchange) -> None:
    it.head(200, len(GOOD) - 100)
    it.send(GOOD)


def says_more_than_it_sends(it: Exchange) -> None:
    it.head(200, len(GOOD) + 100)
    it.send(GOOD)


def says_a_length_that_is_none(it: Exchange) -> None:
    it.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + GOOD)


def says_two_lengths(it: Exchange) -> None:
    it.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n" + GOOD)


def sends_another_file(it: Exchange) -> None:
    it.answer(a_package("a", "2.0.1"))


def sends_a_page(it: Exchange) -> None:
    it.answer(b"<html>Please log in</html>")


def changes_it_on_the_way(it: Exchange) -> None:
    data = GOOD if not it.number else bytes(len(GOOD))
    it.serve_range(data, upto=None if it.number else 5000)


@pytest.mark.invariant("I20")
@pytest.mark.parametrize(
    ("behave", "reason", "why"),
    [
        (stalls, "Unreachable", "nothing came for 0.25 s"),
        (trickles, "Unreachable", "bytes came in 0.3"),
        (trickles_headers, "Unreachable", "no answer in 0.25 s"),
        (answers_nothing, "Unreachable", "cannot read http"),
        (says_nonsense, "Unreachable", "cannot read http"),
        (sends_headers_without_end, "Unreachable", "cannot read http"),
        (truncates, "Unreachable", "5000 bytes had come, 2 more tries gave no more"),
        (says_less_than_it_sends, "ChecksumMismatch", "its checksum is"),
        (says_more_than_it_sends, "Unreachable", "more tries gave no more"),
        (says_a_length_that_is_none, "Unreachable", "cannot read http"),
        (says_two_lengths, "Unreachable", "cannot read http"),
        (sends_another_file, "ChecksumMismatch", "its checksum is"),
        (sends_a_page, "ChecksumMismatch", "its checksum is"),
        (changes_it_on_the_way, "ChecksumMismatch", "its checksum is"),
        (lambda it: it.answer(b"", 404), "NotFound", "the server answered 404 Not Found"),
        (lambda it: it.answer(b"", 401), "Refused", "the server answered 401 Unauthorized"),
        (lambda it: it.answer(b"", 500), "Unreachable", "the server answered 500"),
        (lambda it: it.redirect("file:///etc/shadow"), "RedirectRefused", "neither http nor https"),
        (lambda it: it.redirect("ftp://127.0.0.1/a"), "RedirectRefused", "neither http nor https"),
        (lambda it: it.redirect("rsync://127.0.0.1/a"), "RedirectRefused", "neither http nor https"),
        (lambda it: it.redirect(it.path), "RedirectRefused", "redirects more than 5 times"),
        (lambda it: it.redirect(f"{it.path}x"), "RedirectRefused", "redirects more than 5 times"),
        (lambda it: it.redirect("//user:secret@127.0.0.1/"), "RedirectRefused", "an address with a password"),
    ],
)
def test_a_server_that_misbehaves_gets_nothing_installed(place: Place, behave: Behaviour, reason: str, why: str):
    with hostile_server(behave) as server:
        found, message = place.refusal(place.source(f"{server.url}/a.tar.gz"))

    assert (found, why in message) == (reason, True), message


@pytest.mark.parametrize("behave", [says_less_than_it_sends, says_more_than_it_sends])
def test_a_length_that_is_not_the_promised_one_is_refused_before_a_byte_is_read(place: Place, behave: Behaviour):
    with hostile_server(behave) as server:
        reason, message = place.refusal(place.source(server.url, size=len(GOOD)))

    assert reason == "SizeMismatch"
    assert f"spec.archive promised {len(GOOD)}" in message


def test_a_body_without_end_is_cut_off_at_the_promised_size(place: Place):
    def behave(it: Exchange) -> None:
        it.head(200, Transfer_Encoding="chunked")
        for _ in range(1000):
            it.send(b"2000\r\n" + bytes(0x2000) + b"\r\n")

    with hostile_server(behave) as server:
        assert place.refusal(place.source(server.url, size=100_000))[0] == "SizeMismatch"


def many_files() -> bytes:
    return an_archive(*(a_file(f"f{number}", b"") for number in range(1001)))


def a_sparse_file() -> bytes:
    info, content = a_file("sparse", b"x" * 512)
    info.pax_headers = {"GNU.sparse.map": "0,512", "GNU.sparse.size": str(1 << 40), "GNU.sparse.numblocks": "1"}
    return an_archive((info, content))


def a_bomb(packing: str) -> bytes:
    return PACKINGS[packing](gzip.decompress(an_archive(a_file("bomb", bytes(8 << 20)))))


@pytest.mark.invariant("I20")
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (an_archive(a_file("../evil")), "leads out of the tree"),
        (an_archive(a_file("/etc/evil")), "is absolute"),
        (an_archive(a_symlink("evil", "/etc/shadow")), "is absolute"),
        (an_archive(a_symlink("evil", "../../etc/shadow")), "leads out of the tree"),
        (an_archive(a_symlink("d", ".."), a_file("d/evil")), "goes through d"),
        (an_archive(a_hardlink("evil", "/etc/shadow")), "which is no file before it"),
        (an_archive(a_hardlink("evil", "../../a-1.0.0/runtime.yml")), "which is no file before it"),
        (an_archive(a_special("evil", b"3")), "a device"),
        (an_archive(a_special("evil", b"6")), "a pipe"),
        (a_sparse_file(), "a sparse file"),
        (an_archive(a_file("A"), a_file("a")), "differ in case"),
        (an_archive(a_file("caf\u00e9"), a_file("cafe\u0301")), "differ in case or Unicode form"),
        (an_archive(a_file("n" * 5000)), "is too long"),
        (many_files(), "more than 1000 entries"),
        (a_bomb("gzip"), "200 times its own size"),
        (a_bomb("xz"), "200 times its own size"),
        (a_bomb("zstd"), "200 times its own size"),
        (a_zip(a_zip_file("bomb", bytes(8 << 20))), "200 times its own size"),
        (a_zip(a_zip_file("../evil")), "leads out of the tree"),
        (a_zip_of_overlaps(100, bytes(100_000)), "lie over each other"),
        (a_zip_of_many(100_000, 1), "more than 65535 entries"),
        (an_archive(), "it is empty"),
    ],
)
def test_an_archive_that_may_not_be_gets_nothing_installed(place: Place, data: bytes, why: str):
    """Its checksum is right: it is what its owner wanted us to have."""
    with hostile_server(lambda it: it.serve_range(data)) as server:
        reason, message = place.refusal(place.source(server.url, data))

    assert (reason, why in message) == ("InvalidArchive", True), message


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_good_archive_is_installed_however_it_is_packed_and_called(place: Place, packing: str):
    data = PACKINGS[packing](gzip.decompress(GOOD))
    with hostile_server(lambda it: it.serve_range(data)) as server:
        done = install.install(place.source(f"{server.url}/setup.exe", data), place.host)

    assert (done.path / "isolated" / "etc" / "version").read_text() == "2.0.0"


def test_a_good_archive_over_a_bad_connection_is_installed(place: Place):
    step = len(GOOD) // 3 + 1
    with hostile_server(lambda it: it.serve_range(GOOD, upto=(it.number + 1) * step)) as server:
        done = install.install(place.source(server.url), place.host)

    assert done.origin is not None
    assert done.origin.archive_bytes == len(GOOD)
    assert len(server.requests) == 3


def test_what_a_mirror_has_is_taken_where_the_registry_sends_something_else(place: Place):
    def package(url: str, mirror: str) -> Package:
        entry = catalogue.Entry("a", "2.0.0", url, hashlib.sha256(GOOD).hexdigest(), len(GOOD))
        return Package(entry, url, "tests", (mirror,))

    evil = GOOD[:-1] + bytes([GOOD[-1] ^ 1])
    with (
        hostile_server(lambda it: it.serve_range(GOOD)) as mirror,
        hostile_server(lambda it: it.serve_range(evil)) as server,
    ):
        done = install.install(package(server.url, mirror.url), place.host)
        assert done.origin is not None
        assert done.origin.url == mirror.url

        both = replace(package(server.url, server.url), entry=replace(package("x", "y").entry, version="3.0.0"))
        with pytest.raises(TransientError) as caught:
            install.install(both, place.host)
    assert caught.value.reason == "ChecksumMismatch"


@pytest.mark.invariant("I21")
def test_the_token_of_a_registry_is_kept_from_everybody_else(place: Place, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with (
        hostile_server(lambda it: it.serve_range(GOOD)) as other,
        hostile_server(lambda it: it.redirect(f"{other.url}/stolen")) as server,
    ):
        access = Access(origin_of(server.url), token_file=str(token))
        source = replace(place.source(f"{server.url}/a"), access=access)
        done = install.install(source, place.host)

    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in other.requests[0].headers
    kept = "".join(path.read_text("latin-1") for path in place.host.root.rglob("*.json"))
    assert TOKEN not in f"{done} {source} {kept}"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///etc/shadow", "may not name local files"),
        ("FILE:///etc/shadow", "may not name local files"),
        ("ftp://h/x", "none of file, http and https"),
        ("javascript:x", "none of file, http and https"),
        ("https://user:secret@h/x", "a password in it"),
        ("http://[::1", "cannot download"),
    ],
)
def test_an_address_in_a_catalogue_that_leads_elsewhere_is_refused(url: str, why: str):
    with pytest.raises(TerminalError, match=why) as caught:
        location.archive_url(location.locate("https://a.org/registry.json"), url)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"null", b"{}", b'{"version": 1}', b'{"version": "2", "runtimes": {}}',
        b'{"version": "1"}', b'{"version": "1", "runtimes": []}', b"[" * 100_000, b"\xff\xfe\x00", b"1" * 10_000,
        b'{"version": "' + b"9" * 10_000 + b'"}',
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_catalogue_is_said_to_be_none(body: bytes):
    with pytest.raises(InvalidCatalogue) as caught:
        catalogue.parse(body)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "entry",
    [
        '"1.0.0": 5', '"1.0.0": {}', '"1.0": {}', '"../1.0.0": {}', '"1.0.0": {"version": "2.0.0"}',
        '"1.0.0": {"checksum": "md5:0", "download_url": "x"}', '"1.0.0": {"checksum": 5}',
        '"1.0.0": {"checksum": "sha256:%s", "download_url": "a b"}' % ("0" * 64),
        '"1.0.0": {"checksum": "sha256:%s", "download_url": "x", "size": -1}' % ("0" * 64),
        '"1.0.0": {"checksum": "sha256:%s", "download_url": "x", "size": 1e99}' % ("0" * 64),
        '"1.0.0": {"checksum": "sha256:%s", "download_url": "x", "platforms": "all"}' % ("0" * 64),
    ],
    ids=range(11),
)  # fmt: skip
def test_an_entry_that_may_not_be_is_told_and_costs_no_other(entry: str):
    good = '"2.0.0": {"checksum": "sha256:%s", "download_url": "x"}' % ("0" * 64)
    found = catalogue.parse(f'{{"version": "1", "runtimes": {{"a": {{{entry}, {good}}}}}}}'.encode())

    assert list(found.entries["a"]) == ["2.0.0"]
    assert len(found.problems) == 1


def test_a_catalogue_of_nothing_but_problems_tells_the_first():
    versions = ", ".join(f'"x{number}": 1' for number in range(50_000))
    found = catalogue.parse(f'{{"version": "1", "runtimes": {{"a": {{{versions}}}}}}}'.encode())

    assert (dict(found.entries), len(found.problems)) == ({}, 100)
