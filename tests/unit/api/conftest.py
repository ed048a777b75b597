"""Verbs over a real store, and the real API on a real socket."""

import contextlib

import pytest

from api.kinds import NAMESPACE
from support.hand_clock import HandClock
from support.http import serving
from support.objects import by, open_verbs


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def opened(tmp_path, clock):
    verbs, store = open_verbs(tmp_path, clock)
    with contextlib.closing(store):
        yield verbs, store


@pytest.fixture
def verbs(opened):
    return opened[0]


@pytest.fixture
def store(opened):
    return opened[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api(served):
    """The module's API, with a namespace `space` of the test's own that is empty."""
    document = {"metadata": {"generateName": "t-"}}
    created = served.verbs.create(NAMESPACE, "", document, by("tests"))
    served.space = created.document["metadata"]["name"]
    served.above.requests.clear()
    return served
