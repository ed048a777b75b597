"""What is told of what proves who somebody is."""

import pytest


@pytest.mark.parametrize(("duration", "is_told"), [("99999d", True), ("367d", True), ("365d", False), ("1h", False)])
def test_what_is_good_for_longer_than_a_year_is_told_with_how_it_ends_sooner(rnx, duration, is_told):
    said = rnx("admin", "token", "create", "ci", "--duration", duration)

    assert said.code == 0
    assert said.out.startswith("rwt_")
    assert ("for whoever has it: rnx admin token revoke ci ends it sooner" in said.err) == is_told
