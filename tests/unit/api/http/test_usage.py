"""What runs use, as `kubectl top` and `rnx top` read it."""

from dataclasses import replace

import pytest

from api import crd
from api.http.metrics_group import NODE_METRICS, POD_METRICS
from api.ports import RunUsage
from support.declared import undeclared

PODS = "/apis/metrics.k8s.io/v1beta1/pods"
NODES = "/apis/metrics.k8s.io/v1beta1/nodes"


@pytest.fixture
def used(api):
    usage = RunUsage(api.space, "etl", 1, 10.0, 5.0, 3 << 20, 4 << 20, 7, 100, None)
    api.above.used = [usage, replace(usage, namespace="elsewhere", job="other")]
    return usage


def the_item(api):
    (item,) = api.client.get(f"/apis/metrics.k8s.io/v1beta1/namespaces/{api.space}/pods").json()["items"]
    return item


def test_what_the_kernel_counted_is_told_as_it_was_counted(api, used):
    item = the_item(api)

    assert (item["metadata"]["name"], item["metadata"]["namespace"]) == ("etl-1", api.space)
    assert item["containers"][0]["usage"]["memory"] == "3072Ki"
    assert item["runwright"] == {
        "runningSeconds": 10.0,
        "cpuSeconds": 5.0,
        "memoryBytes": 3 << 20,
        "memoryPeakBytes": 4 << 20,
        "processes": 7,
        "readBytes": 100,
    }


def test_the_first_rate_is_that_of_the_runs_life(api, used):
    assert the_item(api)["containers"][0]["usage"]["cpu"] == "500000000n"


def test_later_rates_are_of_the_time_since_the_last_look(api, used):
    the_item(api)
    api.clock.advance(4)
    api.above.used[0] = replace(used, cpu_seconds=6.0, running_seconds=14.0)

    item = the_item(api)

    assert (item["containers"][0]["usage"]["cpu"], item["window"]) == ("250000000n", "4.000s")


def test_all_namespaces_are_listed_and_one_pod_by_its_name(api, used):
    assert len(api.client.get(PODS).json()["items"]) == 2
    one = api.client.get(f"/apis/metrics.k8s.io/v1beta1/namespaces/{api.space}/pods/etl-1").json()
    assert (one["kind"], one["metadata"]["name"]) == ("PodMetrics", "etl-1")
    assert api.client.get(f"/apis/metrics.k8s.io/v1beta1/namespaces/{api.space}/pods/none-1").status_code == 404


def test_the_host_is_a_node_that_uses_what_its_kernel_counted(api):
    (item,) = api.client.get(NODES).json()["items"]

    assert (item["metadata"]["name"], item["usage"]) == ("host-1", {"cpu": "500000000n", "memory": "3072Ki"})
    assert (item["runwright"]["diskBytes"], item["runwright"]["processes"]) == (1 << 30, 77)
    assert api.client.get(f"{NODES}/host-1").json()["kind"] == "NodeMetrics"
    assert api.client.get(f"{NODES}/other").status_code == 404


@pytest.mark.parametrize(("path", "kind"), [(PODS, POD_METRICS), (NODES, NODE_METRICS)])
def test_all_that_is_told_is_described(api, used, path, kind):
    items = api.client.get(path).json()["items"]

    assert items
    assert [field for item in items for field in undeclared(crd.schema_of(kind), item)] == []
