import json
import os
import socket
import stat
import tempfile
import threading
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from starlette.applications import Starlette

from api.http import server
from api.http.server import ApiServer, ServerError
from support.http import client_of, serving


def test_the_socket_is_for_root_only(tmp_path):
    with serving(tmp_path) as api:
        assert stat.S_IMODE(api.socket.stat().st_mode) == 0o600
        assert [path.name for path in api.socket.parent.iterdir()] == ["api.sock"]


def test_stopping_removes_the_socket_and_leaves_no_thread(tmp_path):
    before = threading.active_count()
    with serving(tmp_path) as api:
        path = api.socket
        assert api.client.get("/livez").text == "ok"
        api.server.stop()
        assert not path.exists()
        api.server.stop()

    assert not [thread for thread in threading.enumerate() if thread.name == "http"]
    assert threading.active_count() <= before + 1


def test_stopping_ends_watches_cleanly(tmp_path):
    with serving(tmp_path) as api, client_of(api.socket) as client:
        params = {"watch": "1", "allowWatchBookmarks": "1"}
        with client.stream("GET", "/api/v1/namespaces", params=params) as stream:
            lines = stream.iter_lines()
            assert json.loads(next(lines))["type"] == "ADDED"
            stopping = threading.Thread(target=api.server.stop)
            stopping.start()

            assert [json.loads(line)["type"] for line in lines] == ["BOOKMARK"]
            stopping.join()


def test_a_connection_is_kept_longer_than_clients_keep_theirs_and_then_closed(tmp_path, monkeypatch):
    assert server.IDLE_SECONDS > 90  # Go's http.Transport.
    monkeypatch.setattr(server, "IDLE_SECONDS", 1)

    with serving(tmp_path) as api, closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(20)
        client.connect(str(api.socket))
        client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        said = b"".join(iter(lambda: client.recv(1 << 16), b""))

    assert said.endswith(b"\r\n\r\nok")


def test_a_server_can_follow_another_on_the_same_path(tmp_path):
    with serving(tmp_path) as api:
        api.server.stop()
        api.server.start()
        assert api.client.get("/livez").text == "ok"


def test_a_stale_socket_is_replaced(tmp_path):
    with serving(tmp_path) as api:
        api.server.stop()
        with closing(socket.socket(socket.AF_UNIX)) as killed:
            killed.bind(str(api.socket))
        api.server.start()

        assert api.client.get("/livez").text == "ok"


def test_a_living_server_is_not_replaced(tmp_path):
    with serving(tmp_path) as api:
        with pytest.raises(ServerError, match="another server answers there: stop it first"):
            ApiServer(Starlette(), api.socket).start()

        assert api.client.get("/livez").text == "ok"


def test_a_file_that_is_no_socket_is_not_replaced():
    with tempfile.TemporaryDirectory() as short:
        path = Path(short) / "api.sock"
        path.write_text("precious")

        with pytest.raises(ServerError, match="something else than a socket: remove it"):
            ApiServer(Starlette(), path).start()
        assert path.read_text() == "precious"


def test_a_path_that_is_too_long_says_so(tmp_path):
    with pytest.raises(ServerError, match="too long for a unix socket: choose a shorter root"):
        ApiServer(Starlette(), tmp_path / ("x" * 120) / "api.sock").start()


def test_a_directory_that_cannot_be_written_says_so():
    with pytest.raises(ServerError, match="cannot listen at /proc/"):
        ApiServer(Starlette(), Path(f"/proc/{os.getpid()}/api.sock")).start()


def test_requests_on_one_connection_and_on_many_are_answered(tmp_path):
    with serving(tmp_path) as api:
        codes = []

        def ask():
            with client_of(api.socket) as client:
                codes.extend(client.get("/api/v1/namespaces/default").status_code for _ in range(20))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert codes == [200] * 160


def test_an_application_that_cannot_start_is_an_error_that_leaves_nothing(caplog):
    @asynccontextmanager
    async def lifespan(_app):
        raise RuntimeError("no store")
        yield

    with tempfile.TemporaryDirectory() as short:
        path = Path(short) / "api.sock"
        app = Starlette(lifespan=lifespan)
        app.state.end_streams = list

        with pytest.raises(ServerError, match="the application did not start: see the log"):
            ApiServer(app, path).start()

        assert list(Path(short).iterdir()) == []
    assert "no store" in caplog.text
