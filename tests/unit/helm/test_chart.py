"""The chart renders to what a cluster can use. Rendered by support/chart.py, not by helm."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from api import kinds
from api.meta import GROUP
from support.chart import Chart, Refused

DIRECTORY = Path(__file__).parents[3] / "helm/runwright"
IMAGE = {"repository": "registry.example/runwright"}


@pytest.fixture
def chart() -> Chart:
    return Chart(DIRECTORY)


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


def leaves(values: dict[str, Any], path: str = "") -> set[str]:
    found = set()
    for name, value in values.items():
        inside = f"{path}.{name}" if path else name
        found |= leaves(value, inside) if isinstance(value, dict) and value else {inside}
    return found


def test_every_template_renders_to_documents(chart):
    documents = chart.render(image=IMAGE)

    assert sorted(document["kind"] for document in documents) == [
        "ClusterRole", "ClusterRole", "ConfigMap", "ConfigMap", "DaemonSet", "ServiceAccount",
    ]  # fmt: skip
    assert all(document["metadata"]["labels"]["app.kubernetes.io/instance"] == "test" for document in documents)


def test_every_value_is_used(chart):
    chart.render(image=IMAGE)

    unused = [
        leaf
        for leaf in leaves(chart.values)
        if not any(leaf == used or leaf.startswith(f"{used}.") for used in chart.used)
    ]
    assert unused == []


def test_an_image_must_be_named(chart):
    with pytest.raises(Refused, match=r"set image\.repository"):
        chart.render()


def test_the_daemon_is_privileged_sees_the_hosts_processes_and_has_no_token(chart):
    pod = one(chart.render(image=IMAGE | {"tag": "9"}), "DaemonSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert container["image"] == "registry.example/runwright:9"
    assert container["securityContext"] == {"privileged": True, "runAsUser": 0}
    assert (pod["hostPID"], pod["automountServiceAccountToken"]) == (True, False)


def test_every_mount_has_its_volume_and_the_selector_matches_the_pods(chart):
    spec = one(chart.render(image=IMAGE), "DaemonSet")["spec"]
    pod = spec["template"]["spec"]

    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_settings_and_manifests_arrive_as_written(chart):
    job = "apiVersion: runwright.dev/v1alpha1\nkind: Job\n"
    documents = chart.render(image=IMAGE, config={"jobs": {"pids": 64}}, manifests={"hello.yaml": job})
    config, manifests = (document["data"] for document in documents if document["kind"] == "ConfigMap")

    assert yaml.safe_load(config["config.yaml"]) == {"jobs": {"pids": 64}}
    assert manifests == {"hello.yaml": job}


def test_optional_parts_appear_when_they_are_set(chart):
    tolerations = [{"operator": "Exists"}]
    pod = one(
        chart.render(
            image=IMAGE, tolerations=tolerations, resources={"limits": {"memory": "256Mi"}}, priorityClassName="high"
        ),
        "DaemonSet",
    )["spec"]["template"]["spec"]

    assert pod["tolerations"] == tolerations
    assert pod["priorityClassName"] == "high"
    assert pod["containers"][0]["resources"] == {"limits": {"memory": "256Mi"}}


def test_what_is_not_wanted_is_not_made(chart):
    documents = chart.render(image=IMAGE, rbac={"create": False}, serviceAccount={"create": False, "name": "mine"})

    assert {document["kind"] for document in documents} == {"ConfigMap", "DaemonSet"}
    assert one(documents, "DaemonSet")["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_the_roles_name_every_kind_of_the_group(chart):
    view = next(d for d in chart.render(image=IMAGE) if d["metadata"]["name"] == "test-view")

    assert view["rules"][0]["resources"] == [kind.plural for kind in kinds.KINDS if kind.group == GROUP]
