import pytest

from api.errors import NotAcceptable
from api.http.negotiation import View, view_of

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "view"),
    [
        (None, View.PLAIN),
        ("", View.PLAIN),
        ("*/*", View.PLAIN),
        ("application/json", View.PLAIN),
        ("application/json, */*", View.PLAIN),
        (f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", View.TABLE),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", View.PLAIN),
        ("application/vnd.kubernetes.protobuf,application/json", View.PLAIN),
        ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io, " + TABLE, View.TABLE),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", View.METADATA),
        ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", View.METADATA),
        ("application/json;stream=watch", View.PLAIN),
        ("text/html;q=0.9, application/json;q=0.5", View.PLAIN),
    ],
)
def test_the_first_representation_that_can_be_made_is_taken(accept, view):
    assert view_of(accept) is view


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/vnd.kubernetes.protobuf",
        "application/json;as=Chart;v=v1;g=meta.k8s.io",
        "application/json;q=0",
        ";;;,",
    ],
)
def test_only_unknown_ones_are_not_acceptable(accept):
    with pytest.raises(NotAcceptable, match="only the following media types are accepted: application/json"):
        view_of(accept)
