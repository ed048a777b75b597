import pytest
from pydantic import ValidationError

from api.types.job_security import CAPABILITIES, SecurityProfile
from controller.sandbox.rights import GRANTABLE
from controller.sandbox.seccomp import PROFILES
from support.builders import a_job


def with_capabilities(*names, **more):
    return a_job(securityContext={"capabilities": {"add": list(names), **more}}).spec


def test_a_job_has_the_strict_profile_and_no_capability_unless_it_asks():
    spec = a_job().spec

    assert (spec.security_profile, spec.security_context.added) == (SecurityProfile.STRICT, ())


def test_the_profiles_and_capabilities_are_those_that_a_sandbox_has():
    assert [profile.value for profile in SecurityProfile] == list(PROFILES)
    assert set(CAPABILITIES) == {capability.name for capability in GRANTABLE}


@pytest.mark.parametrize("name", ["SYS_ADMIN", "ALL", "NET_ADMIN", "SYS_PTRACE", "SYS_MODULE", "BPF", "chown", ""])
def test_a_capability_that_reaches_out_of_a_sandbox_does_not_exist_here(name):
    with pytest.raises(ValidationError, match="Unsupported value"):
        with_capabilities(name)


def test_the_kernels_spelling_is_explained():
    with pytest.raises(ValidationError, match='"CAP_CHOWN": write CHOWN'):
        with_capabilities("CAP_CHOWN")


def test_what_a_job_asks_for_makes_another_run_and_how_it_is_written_does_not():
    plain = a_job().spec.template_hash()
    hashes = [
        with_capabilities("CHOWN", "KILL").template_hash(),
        with_capabilities("KILL", "CHOWN", "KILL").template_hash(),
    ]

    assert hashes[0] == hashes[1] != plain
    assert a_job(securityProfile="baseline").spec.template_hash() != plain
    assert a_job(securityProfile="strict", securityContext={}).spec.template_hash() == plain
    assert with_capabilities(drop=["ALL"]).template_hash() == plain
