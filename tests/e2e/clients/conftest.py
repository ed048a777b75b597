"""One API for all of a module's tests, behind a TCP port; a namespace for each test."""

import itertools

import pytest

from api.kinds import NAMESPACE
from api.objects.verbs import WriteOptions
from support.api_server import a_live_api
from support.kubectl import Kubectl
from support.tcp_gate import a_tcp_gate

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with a_live_api(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture(scope="module")
def url(live):
    with a_tcp_gate(live.socket) as url:
        yield url


@pytest.fixture
def space(live):
    name = f"space-{next(_numbers)}"
    live.verbs.create(NAMESPACE, "", {"metadata": {"name": name}}, WriteOptions())
    return name


@pytest.fixture(scope="module")
def kubectl_home(tmp_path_factory):
    return tmp_path_factory.mktemp("kubectl")


@pytest.fixture
def kubectl(url, space, kubectl_home):
    return Kubectl(url, kubectl_home, space)
