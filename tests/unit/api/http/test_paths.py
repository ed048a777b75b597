import pytest

from api.http.paths import ResourcePath, parse

G, V = "runwright.dev", "v1alpha1"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"/apis/{G}/{V}/jobs", ResourcePath(G, V, "jobs")),
        (f"/apis/{G}/{V}/runtimes/python-3.11", ResourcePath(G, V, "runtimes", "", "python-3.11")),
        (f"/apis/{G}/{V}/runtimes/x/status", ResourcePath(G, V, "runtimes", "", "x", "status")),
        (f"/apis/{G}/{V}/namespaces/ns/jobs", ResourcePath(G, V, "jobs", "ns")),
        (f"/apis/{G}/{V}/namespaces/ns/jobs/etl/status/", ResourcePath(G, V, "jobs", "ns", "etl", "status")),
        ("/api/v1/namespaces", ResourcePath("", "v1", "namespaces")),
        ("/api/v1/namespaces/ns", ResourcePath("", "v1", "namespaces", "", "ns")),
        ("/api/v1/namespaces/ns/status", ResourcePath("", "v1", "namespaces", "", "ns", "status")),
        ("/api/v1/namespaces/ns/pods", ResourcePath("", "v1", "pods", "ns")),
        ("/api/v1/namespaces/ns/pods/a-1/log", ResourcePath("", "v1", "pods", "ns", "a-1", "log")),
        ("/api/v1/events", ResourcePath("", "v1", "events")),
    ],
)
def test_a_resource_path_is_taken_apart(path, found):
    assert parse(path) == found


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        f"/apis/{G}",
        f"/apis/{G}/{V}",
        "/apis//v1/jobs",
        "/healthz",
        f"/apis/{G}/{V}/jobs/a/b/c",
        "/api/v1/namespaces/ns/pods/a/log/x",
    ],
)
def test_what_is_no_resource_path_is_none(path):
    assert parse(path) is None
