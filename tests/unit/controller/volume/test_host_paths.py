"""Directories of the host as volumes: no way out of what the policy names."""

import os

import pytest

from controller.volume import host_paths


@pytest.mark.invariant("V5")
@pytest.mark.parametrize("target", ["/etc", "../../../../../../etc"])
def test_a_link_that_a_job_planted_leads_nowhere_out_of_what_the_policy_names(tmp_path, target):
    (tmp_path / "planted").symlink_to(target)

    with pytest.raises(OSError, match="planted"):
        host_paths.look(str(tmp_path), f"{tmp_path}/planted")


def test_what_is_there_is_told_with_its_owner(tmp_path):
    (tmp_path / "data").mkdir()

    place = host_paths.look(str(tmp_path), f"{tmp_path}/data")

    assert (place.path, place.host_uid) == ("data", os.getuid())


@pytest.mark.parametrize(("uid", "gid"), [(0, 0), (0, 1000), (1000, 0)])
def test_nobody_writes_to_what_belongs_to_root_or_its_group(uid, gid):
    place = host_paths.HostPlace("/srv", "data", uid, gid)

    assert "chown it" in host_paths.why_not(place, read_only=False)
    assert host_paths.why_not(place, read_only=True) == ""


def test_a_namespace_has_what_is_given_to_it_or_to_all():
    policy = {"team": ("/srv/team",), "*": ("/srv/all",)}

    assert host_paths.allowed(policy, "team", "/srv/team/x") == "/srv/team"
    assert host_paths.allowed(policy, "other", "/srv/team/x") == ""
    assert host_paths.allowed(policy, "other", "/srv/all") == "/srv/all"
