import pytest
from pydantic import ValidationError

from api.types.job_network import JobNetwork


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("aliases", ["db"]),
        ("ports", [{"containerPort": 80}]),
        ("egress", []),
        ("ingress", ["5432"]),
        ("bandwidth", {"egress": "1M"}),
    ],
)
def test_what_does_not_hold_on_the_hosts_network_is_refused_there_alone(member, value):
    assert JobNetwork.model_validate({"name": "bridge", member: value}).name == "bridge"

    with pytest.raises(ValidationError) as refused:
        JobNetwork.model_validate({"name": "host", member: value})

    (error,) = refused.value.errors()
    assert error["ctx"]["member"] == member
    assert error["msg"] == "nothing of it holds on the host's own network: leave it out, or use bridge"


def test_the_hosts_network_is_a_name_like_others():
    assert JobNetwork.model_validate({"name": "host"}).name == "host"
