"""Long lists over the real API: whole although in pages, and asked for anew when they are too old to go on with."""

import hashlib
import json
import shutil
from collections.abc import Iterator

import pytest

from api import client_lists
from api.client_paths import path_of_all
from api.errors import NotFound
from api.kinds import JOB
from support.api_server import LiveApi, a_live_api
from support.objects import a_job


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with a_live_api(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def live(live_server: LiveApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveApi]:
    monkeypatch.setattr(client_lists, "PAGE", 3)
    yield live_server
    live_server.clear()


class Watched:
    """A transport that remembers how it was asked, and does something after the first answer."""

    def __init__(self, transport, then=lambda: None):
        self.transport, self.then, self.asked = transport, then, []

    def send(self, method, path, *, params):
        answer = self.transport.send(method, path, params=params)
        self.asked.append(sorted(params))
        if len(self.asked) == 1:
            self.then()
        return answer


def leave(live, job, attempt, *names):
    directory = live.directory / "artifacts" / job["metadata"]["uid"] / str(attempt)
    directory.mkdir(parents=True)
    empty = f"sha256:{hashlib.sha256().hexdigest()}"
    files = [{"path": name, "file": 0, "sizeBytes": 0, "digest": empty, "mode": 0o644} for name in names]
    (directory / "index.json").write_text(json.dumps({"version": 1, "files": files, "leftOut": {"why": 1}}))
    return directory


def test_objects_come_whole_although_in_pages(live):
    for number in range(8):
        live.create(JOB, a_job(f"job-{number}"))

    listing = live.client.list(JOB, "default")

    assert [item["metadata"]["name"] for item in listing["items"]] == [f"job-{number}" for number in range(8)]
    assert set(listing["metadata"]) == {"resourceVersion"}


def test_artifacts_come_whole_although_in_pages(live):
    leave(live, live.create(JOB, a_job()), 1, *"abcdefgh")

    listing = live.client.artifacts("default", "etl")
    chosen = live.client.artifacts("default", "etl", ["[a-d]", "h"], 1)

    assert ["".join(item["path"] for item in each["items"]) for each in (listing, chosen)] == ["abcdefgh", "abcdh"]
    assert (listing["metadata"], listing["attempt"], listing["leftOut"]) == ({}, 1, "1 (why)")


def test_a_list_that_is_too_old_to_go_on_with_is_asked_for_anew(live):
    job = live.create(JOB, a_job())
    directory = leave(live, job, 1, *"abcde")

    def a_later_run_ends():
        leave(live, job, 2, *"vwxyz")
        shutil.rmtree(directory)

    transport = Watched(live.client.transport, a_later_run_ends)
    listing = client_lists.whole(transport, f"{path_of_all(JOB, 'default')}/etl/artifacts", {})

    assert (listing["attempt"], "".join(item["path"] for item in listing["items"])) == (2, "vwxyz")
    assert transport.asked == [["limit"], []]  # The second was refused.


def test_what_is_not_there_is_told_as_that(live):
    with pytest.raises(NotFound):
        live.client.artifacts("default", "none")
