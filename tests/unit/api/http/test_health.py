import pytest


@pytest.fixture
def sick(api, monkeypatch):
    monkeypatch.setattr(api.above, "problems", {"launcher": "it does not answer"})
    return api


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez"])
def test_health_is_ok_in_plain_text(api, path):
    response = api.client.get(path)

    assert (response.status_code, response.text) == (200, "ok")
    assert response.headers["content-type"].startswith("text/plain")


def test_verbose_lists_the_parts(api):
    assert api.client.get("/readyz?verbose").text == "[+]ping ok\n[+]store ok\nreadyz check passed\n"


def test_a_part_that_does_not_work_makes_it_not_ready_and_is_named(sick):
    for path in ("/readyz", "/healthz"):
        response = sick.client.get(path)
        assert response.status_code == 500
        assert "[-]launcher failed: it does not answer\n" in response.text
        assert response.text.endswith(f"{path[1:]} check failed\n")


def test_the_server_is_alive_whatever_its_parts_do(sick):
    assert sick.client.get("/livez").status_code == 200


def test_metrics_are_served_as_prometheus_reads_them(api):
    response = api.client.get("/metrics")

    assert response.text.startswith("# HELP runwright_up")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
