from typing import Any

from controller.manifests import owned
from controller.manifests.sources import FeedKind, Source

DIRECTORY = Source(FeedKind.DIRECTORY)
BILLING = Source(FeedKind.INBOX, "billing")
ANNOTATIONS = {"manifests.runwright.dev/directory": "a.yaml", "manifests.runwright.dev/inbox.billing": "7"}


def an_object(*managers: tuple[str, str], subresource: str = "") -> dict[str, Any]:
    fields = [{"manager": m, "operation": o, "subresource": subresource} for m, o in managers]
    return {"metadata": {"name": "etl", "annotations": ANNOTATIONS, "managedFields": fields}}


def test_the_sources_that_applied_an_object_own_it_and_the_annotation_names_the_file():
    document = an_object(("manifests/directory", "Apply"), ("manifests/inbox/billing", "Apply"), ("rnx", "Apply"))

    assert owned.sources_of(document) == {DIRECTORY, BILLING}
    assert (owned.file_of(document, DIRECTORY), owned.file_of(document, BILLING)) == ("a.yaml", "7")


def test_neither_an_annotation_nor_an_update_nor_a_status_makes_an_owner():
    assert owned.sources_of(an_object()) == set()
    assert owned.sources_of(an_object(("manifests/directory", "Update"), ("rnx", "Apply"))) == set()
    assert owned.sources_of(an_object(("manifests/directory", "Apply"), subresource="status")) == set()
    assert owned.sources_of(an_object(("manifests/elsewhere", "Apply"), ("directory", "Apply"))) == set()


def test_a_source_is_the_last_only_where_it_applies_and_nobody_else_does():
    assert owned.is_last(an_object(("manifests/directory", "Apply"), ("kubectl", "Update")), DIRECTORY)
    assert not owned.is_last(an_object(("manifests/directory", "Apply"), ("rnx", "Apply")), DIRECTORY)
    assert not owned.is_last(an_object(("kubectl", "Update")), DIRECTORY)
    assert not owned.is_last(an_object(), DIRECTORY)
