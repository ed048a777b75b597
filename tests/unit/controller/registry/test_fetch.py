"""Where a request may lead, and what goes along with it."""

import logging
import os
import socket

import pytest

from controller.engine.clock import SystemClock
from controller.engine.errors import TransientError
from controller.registry import fetch
from controller.registry.access import ANYONE, Access, origin_of
from support.hostile_server import Exchange, hostile_server

TOKEN = "s3cr3t-t0ken"


@pytest.fixture
def client(tmp_path):
    with fetch.new_client(tmp_path / "credentials") as client:
        yield client


def read(client, url: str, access: Access = ANYONE) -> bytes:
    fetched = fetch.fetch(client, url, SystemClock(), max_bytes=10_000, access=access)
    assert fetched is not None
    return fetched.body


def failure(client, url: str, access: Access = ANYONE) -> TransientError:
    with pytest.raises(TransientError) as caught:
        read(client, url, access)
    return caught.value


def test_a_server_that_is_not_there_is_told_without_the_number_of_the_error(client):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    url = f"http://127.0.0.1:{port}/registry.json"
    assert failure(client, url).message == f"cannot read {url}: Connection refused"


def test_redirects_are_followed(client):
    with hostile_server(lambda it: it.answer(b"here") if it.path == "/b" else it.redirect("/b")) as server:
        assert read(client, f"{server.url}/a") == b"here"


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd", "FILE:/etc/passwd", "ftp://127.0.0.1/x", "gopher://x/", "unix:///run/x.sock",
        "data:text/plain,x", "javascript:1", "x-private:thing",
    ],
)  # fmt: skip
def test_a_redirect_to_a_file_or_another_scheme_is_refused(client, target: str):
    with hostile_server(lambda it: it.redirect(target)) as server:
        error = failure(client, server.url)

    assert error.reason == "RedirectRefused"
    assert "is neither http nor https" in error.message
    assert "passwd" not in error.message


def test_a_redirect_in_circles_is_refused(client):
    with hostile_server(lambda it: it.redirect("/b" if it.path == "/a" else "/a")) as server:
        error = failure(client, f"{server.url}/a")

    assert (error.reason, "redirects more than 5 times" in error.message) == ("RedirectRefused", True)
    assert len(server.requests) == 6


@pytest.mark.parametrize("target", ["http://user:pw@127.0.0.1/x", "http://[::1", "http://", "//"])
def test_a_redirect_to_an_address_with_a_password_or_none_is_refused(client, target: str):
    with hostile_server(lambda it: it.redirect(target)) as server:
        error = failure(client, server.url)

    assert error.reason == "RedirectRefused"
    assert "pw" not in error.message


def test_from_https_there_is_no_way_back_to_http():
    with pytest.raises(TransientError, match="redirects from https to http") as caught:
        fetch._redirected("https://a.org/x", "https://a.org/x", "http://a.org/y")
    assert caught.value.reason == "RedirectRefused"


@pytest.mark.parametrize("where", ["fifo", "directory", "nowhere", "/dev/zero"])
def test_what_is_no_file_is_not_read(client, tmp_path, where: str):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    error = failure(client, f"file://{tmp_path / where}")

    assert error.reason in ("Unreachable", "NotFound")


@pytest.fixture
def token_file(tmp_path):
    (tmp_path / "credentials").mkdir(mode=0o700)
    path = tmp_path / "credentials/token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


def a_right(url: str, token_file) -> Access:
    return Access(origin_of(url), token_file=str(token_file))


def test_the_token_goes_to_the_registrys_own_server(client, token_file):
    with hostile_server(lambda it: it.answer(b"yes")) as server:
        read(client, f"{server.url}/registry.json", a_right(server.url, token_file))

    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_the_token_stays_with_its_server_through_redirects_on_it(client, token_file):
    with hostile_server(lambda it: it.answer(b"") if it.path == "/b" else it.redirect("/b")) as server:
        read(client, f"{server.url}/a", a_right(server.url, token_file))

    assert all("authorization" in request.headers for request in server.requests)


@pytest.mark.invariant("I21")
def test_the_token_goes_to_no_other_host_nor_port_after_a_redirect(client, token_file):
    with (
        hostile_server(lambda it: it.answer(b"elsewhere")) as other,
        hostile_server(lambda it: it.redirect(f"{other.url}/x")) as server,
    ):
        assert read(client, server.url, a_right(server.url, token_file)) == b"elsewhere"

    assert "authorization" in server.requests[0].headers
    assert "authorization" not in other.requests[0].headers


def test_the_token_goes_to_no_other_server_at_first_hand(client, token_file):
    with hostile_server(lambda it: it.answer(b"")) as server:
        read(client, server.url, a_right("http://example.org", token_file))
        read(client, server.url.replace("127.0.0.1", "localhost"), a_right(server.url, token_file))

    assert all("authorization" not in request.headers for request in server.requests)


@pytest.mark.invariant("I21")
def test_the_token_is_in_no_message_and_no_log_even_if_the_server_says_it(client, token_file, caplog):
    caplog.set_level(logging.DEBUG)

    def behave(it: Exchange) -> None:
        it.raw(f"HTTP/1.1 403 {it.headers['authorization']}\r\nContent-Length: 0\r\n\r\n".encode())

    with hostile_server(behave) as server:
        access = a_right(server.url, token_file)
        error = failure(client, server.url, access)

    assert error.reason == "Refused"
    assert TOKEN not in f"{error.message} {access!r} {caplog.text}"


@pytest.mark.parametrize("text", ["two\nlines", "a b", "", "tök", "x" * 9000, "a\r\nX-Evil: 1", "\x00"])
def test_what_is_no_token_is_not_sent_and_not_told(client, token_file, text: str):
    token_file.write_text(text)
    with hostile_server(lambda it: it.answer(b"")) as server:
        error = failure(client, server.url, a_right(server.url, token_file))

    assert error.reason == "CredentialsUnusable"
    assert not text or text not in error.message
    assert server.requests == []


@pytest.mark.parametrize(
    ("mode", "is_usable"), [(0o600, True), (0o640, True), (0o604, False), (0o620, False), (0o601, False)]
)
def test_a_file_that_others_may_read_or_change_is_refused(client, token_file, mode: int, is_usable: bool):
    token_file.chmod(mode)
    with hostile_server(lambda it: it.answer(b"")) as server:
        access = a_right(server.url, token_file)
        if is_usable:
            assert read(client, server.url, access) == b""
        else:
            assert "chmod it to 0600" in failure(client, server.url, access).message


@pytest.mark.needs_root
def test_a_file_of_somebody_else_is_refused(client, token_file):
    os.chown(token_file, 1234, 0)
    with hostile_server(lambda it: it.answer(b"")) as server:
        assert "belongs to uid 1234" in failure(client, server.url, a_right(server.url, token_file)).message


def test_a_token_that_is_not_there_is_said_to_be_so(client, tmp_path, monkeypatch):
    monkeypatch.delenv("RUNWRIGHT_TOKEN_R1", raising=False)
    with hostile_server(lambda it: it.answer(b"")) as server:
        origin = origin_of(server.url)
        assert (
            "No such file"
            in failure(client, server.url, Access(origin, token_file=str(tmp_path / "credentials/x"))).message
        )
        assert (
            "RUNWRIGHT_TOKEN_R1 of the daemon is not set"
            in failure(client, server.url, Access(origin, token_env="RUNWRIGHT_TOKEN_R1")).message
        )


@pytest.mark.invariant("I21")
def test_no_file_but_one_put_there_to_be_sent_is_sent(client, tmp_path, token_file):
    """Whoever declares registries may have a server of their own."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(TOKEN)
    elsewhere.chmod(0o600)
    (token_file.parent / "link").symlink_to("../elsewhere")
    (token_file.parent / "absolute").symlink_to(elsewhere)
    refused = {
        str(elsewhere): "is not beneath",
        f"{token_file.parent}-other/token": "is not beneath",
        f"{token_file.parent}/../elsewhere": "leads out of its directory",
        f"{token_file.parent}//../elsewhere": "leads out of its directory",
        f"{token_file.parent}/link": "leads out of its directory",
        f"{token_file.parent}/absolute": "leads out of its directory",
        f"{token_file.parent}/": "cannot read",
    }
    with hostile_server(lambda it: it.answer(b"")) as server:
        for path, why in refused.items():
            error = failure(client, server.url, Access(origin_of(server.url), token_file=path))
            assert (error.reason, why in error.message) == ("CredentialsUnusable", True), error.message
    assert server.requests == []


def test_a_token_of_a_directory_within_is_used(client, token_file):
    (token_file.parent / "team").mkdir()
    (token_file.parent / "current").symlink_to("team")
    token_file.rename(token_file.parent / "team/token")
    with hostile_server(lambda it: it.answer(b"")) as server:
        read(client, server.url, a_right(server.url, token_file.parent / "current/token"))

    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_directory_that_others_may_change_is_refused(client, token_file):
    token_file.parent.chmod(0o777)
    with hostile_server(lambda it: it.answer(b"")) as server:
        assert "others may change" in failure(client, server.url, a_right(server.url, token_file)).message
    assert server.requests == []


def test_without_a_directory_of_credentials_there_are_none(token_file):
    with hostile_server(lambda it: it.answer(b"")) as server, fetch.new_client() as client:
        assert "is not beneath" in failure(client, server.url, a_right(server.url, token_file)).message
    assert server.requests == []


@pytest.mark.invariant("I21")
def test_no_other_variable_of_the_daemon_is_sent(client, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", TOKEN)
    with hostile_server(lambda it: it.answer(b"")) as server:
        error = failure(client, server.url, Access(origin_of(server.url), token_env="AWS_SECRET_ACCESS_KEY"))

    assert error.reason == "CredentialsUnusable"
    assert "begin with RUNWRIGHT_TOKEN_" in error.message
    assert server.requests == []


@pytest.mark.invariant("I21")
@pytest.mark.parametrize(
    "host", ["runtimes.example", "10.0.0.1", "[2001:db8::1]", "localhost.example", "127.0.0.1.example"]
)
def test_no_token_goes_over_a_network_in_clear_text(client, token_file, host: str):
    error = failure(client, f"http://{host}/registry.json", a_right(f"http://{host}", token_file))

    assert error.reason == "CredentialsUnusable"
    assert "by https only" in error.message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.8.8"])
def test_a_token_may_go_to_this_host_by_http(token_file, host: str):
    url = f"http://{host}:1/registry.json"

    assert a_right(url, token_file).headers(url, token_file.parent) == {"Authorization": f"Bearer {TOKEN}"}


def test_a_token_may_be_in_the_environment(client, monkeypatch):
    monkeypatch.setenv("RUNWRIGHT_TOKEN_R1", TOKEN)
    with hostile_server(lambda it: it.answer(b"")) as server:
        read(client, server.url, Access(origin_of(server.url), token_env="RUNWRIGHT_TOKEN_R1"))

    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
