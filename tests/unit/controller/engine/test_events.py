from datetime import timedelta

from controller.engine import events
from controller.engine.events import EventType
from support.hand_clock import START
from support.toy_kind import Toy, a_toy


def said(message: str = "no such file", **metadata: object) -> events.Saying:
    return events.saying(a_toy(uid="u-1", **metadata), EventType.WARNING, "NotFound", message)


def test_the_same_thing_said_twice_is_the_same_event():
    assert said().key == said().key


def test_another_message_or_another_object_is_another_event():
    again = events.saying(a_toy(uid="u-2"), EventType.WARNING, "NotFound", "no such file")

    assert len({said().key, said("other").key, again.key}) == 3


def test_an_event_is_in_its_objects_namespace_and_of_a_cluster_scoped_one_in_default():
    assert said(namespace="prod").key.namespace == "prod"
    assert said(namespace="").key.namespace == "default"


def test_an_event_carries_what_kubectl_shows():
    document = events.event(said(), 2, START, START + timedelta(seconds=5), "runwrightd", "host-1")

    assert document["involvedObject"] == {
        "apiVersion": "runwright.dev/v1alpha1", "kind": "Toy", "namespace": "default", "name": "ball", "uid": "u-1",
    }  # fmt: skip
    assert (document["type"], document["reason"], document["count"]) == ("Warning", "NotFound", 2)
    assert (document["firstTimestamp"], document["lastTimestamp"]) == ("2026-01-02T03:04:05Z", "2026-01-02T03:04:10Z")
    assert document["metadata"]["name"].startswith("ball.")


def test_the_name_of_an_event_about_a_long_name_is_not_too_long():
    assert len(said(name="x" * 253).key.name) == 253


def test_a_resource_and_its_document_say_the_same():
    document = a_toy(uid="u-1")

    assert events.saying(Toy.model_validate(document), "Normal", "A", "b") == events.saying(
        document, "Normal", "A", "b"
    )


def test_a_long_message_is_cut_where_kubernetes_cuts_it():
    assert len(said("x" * 5000).message) == 1024
    assert said("x" * 5000).message.endswith("…")


def test_saying_it_again_counts_up_and_keeps_the_first_time():
    document = events.event(said(), 1, START, START, "runwrightd", "")

    again = events.counted_again(document, 3, START + timedelta(minutes=1))

    assert (again["count"], again["firstTimestamp"]) == (4, "2026-01-02T03:04:05Z")
    assert again["lastTimestamp"] == "2026-01-02T03:05:05Z"
