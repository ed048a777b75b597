"""One API for all of a module's tests: behind a TCP port, or a real daemon's over TLS; a namespace for each test."""

import itertools

import pytest

from api.kinds import NAMESPACE
from api.objects.verbs import WriteOptions
from support.api_server import a_live_api
from support.kubectl import Kubectl
from support.served import KUBECTLS, a_served_daemon, kubeconfig_of
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


@pytest.fixture(scope="module", params=sorted(KUBECTLS))
def kubectl_binary(request):
    """Each kubectl in turn: so a module's tests with one come before those with the next."""
    binary = KUBECTLS[request.param]
    if not binary.exists():
        pytest.skip(f"there is no {binary}: run scripts/install-test-clients")
    return binary


@pytest.fixture(scope="module")
def kubectl_home(tmp_path_factory, kubectl_binary):
    return tmp_path_factory.mktemp("kubectl")


@pytest.fixture
def kubectl(url, space, kubectl_home, kubectl_binary):
    return Kubectl(url, kubectl_home, space, kubectl_binary)


@pytest.fixture(scope="module")
def served():
    """A daemon whose API is served over TLS; gone when the module is, as the tests after it look at what is left."""
    with a_served_daemon() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def kubeconfig(served, tmp_path_factory):
    """The path of a kubeconfig of somebody who may do everything."""
    return kubeconfig_of(served, tmp_path_factory.mktemp("kubeconfigs"), "boss", "--groups", "admins")
