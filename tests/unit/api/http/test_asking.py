"""What a request asks for, from its path and method."""

import pytest
from starlette.requests import HTTPConnection

from api.access.rules import Asked
from api.errors import NotFound
from api.http.asking import asked_of

GROUP = "runwright.dev"


def asked(method, url, kind="http"):
    path, _, query = url.partition("?")
    scope = {"type": kind, "method": method, "path": path, "query_string": query.encode(), "headers": []}
    return asked_of(HTTPConnection(scope))


@pytest.mark.parametrize(
    ("method", "url", "wanted"),
    [
        ("GET", f"/apis/{GROUP}/v1alpha1/jobs", Asked("list", GROUP, "jobs")),
        ("GET", f"/apis/{GROUP}/v1alpha1/jobs?watch=true", Asked("watch", GROUP, "jobs")),
        ("GET", f"/apis/{GROUP}/v1alpha1/jobs?watch=0", Asked("list", GROUP, "jobs")),
        ("HEAD", "/api/v1/namespaces/a/pods/x", Asked("get", "", "pods", "", "a", "x")),
        ("GET", "/api/v1/namespaces/a/pods/x/log", Asked("get", "", "pods", "log", "a", "x")),
        ("GET", "/api/v1/namespaces/a/pods/x/exec", Asked("create", "", "pods", "exec", "a", "x")),
        ("POST", "/api/v1/namespaces/a/pods/x/portforward", Asked("create", "", "pods", "portforward", "a", "x")),
        ("GET", "/api/v1/namespaces/a/pods/x/files", Asked("create", "", "pods", "files", "a", "x")),
        ("PUT", "/api/v1/namespaces/a/pods/x/files", Asked("create", "", "pods", "files", "a", "x")),
        ("GET", "/api/v1/namespaces/a", Asked("get", "", "namespaces", "", "a", "a")),
        ("PUT", "/api/v1/namespaces/a/status", Asked("update", "", "namespaces", "status", "a", "a")),
        ("DELETE", "/api/v1/namespaces/a/pods", Asked("deletecollection", "", "pods", "", "a")),
        ("DELETE", "/api/v1/namespaces/a/pods/x", Asked("delete", "", "pods", "", "a", "x")),
        ("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dx", Asked("list", "", "pods", "", "a", "x")),
        ("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name!%3Dx", Asked("list", "", "pods", "", "a")),
        ("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dx,status.phase%3Dy", Asked("list", "", "pods", "", "a")),
        ("OPTIONS", "/api/v1/pods", Asked("options", "", "pods")),
        ("GET", "/api/v1", Asked("get", path="/api/v1")),
        ("HEAD", "/metrics", Asked("get", path="/metrics")),
        ("POST", "/metrics", Asked("post", path="/metrics")),
    ],
)  # fmt: skip
def test_a_request_is_read_as_kubernetes_does(method, url, wanted):
    assert asked(method, url) == wanted


@pytest.mark.parametrize("path", ["/metrics\n", "/api/v1/namespaces/a/pods/x/exec\n", "/api/v1/\x00"])
def test_a_path_that_routes_might_read_otherwise_leads_nowhere(path):
    with pytest.raises(NotFound):
        asked("GET", path)


def test_a_websocket_that_enters_a_run_needs_more_than_reading():
    scope = {"type": "websocket", "path": "/api/v1/namespaces/a/pods/x/attach", "query_string": b"", "headers": []}

    assert asked_of(HTTPConnection(scope)) == Asked("create", "", "pods", "attach", "a", "x")
