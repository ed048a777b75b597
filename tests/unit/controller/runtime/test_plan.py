"""What a runtime needs next, and what is said of it: decided from plain data."""

import pytest

from api.types.runtime import RuntimeReason, VersionState
from controller.engine.errors import TransientError
from controller.engine.plan import Plan
from controller.runtime.observed import Wanted
from controller.runtime.plan import CHECK_SECONDS, IN_USE_CHECK_SECONDS, InstallVersions, RemoveVersion, plan
from controller.runtime.report import report, report_failure
from support.hand_clock import START
from support.runtime_builders import a_package_of, a_runtime, a_tree_of, failed, observed, offered, there

UNKNOWN = Wanted("latest", None, None, "RegistryUnavailable", "registry/x: cannot read it", 2.0)
ETL = {"1.0.0": ("job/default/etl",)}


def ready(runtime, host):
    status = report(runtime, host, plan(runtime, host), START)
    condition = status.conditions[0]
    return condition.status.value, condition.reason, condition.message


@pytest.mark.parametrize(
    ("runtime", "host", "wanted_plan", "wanted_ready"),
    [
        pytest.param(
            a_runtime("1.0.0"), observed(wanted=(offered("1.0.0"),)),
            Plan.do(InstallVersions((a_package_of("1.0.0"),)), again=True),
            ("False", "Installing", "1.0.0 is being installed"),
            id="what is missing is installed",
        ),
        pytest.param(
            a_runtime("1.0.0", "latest"), observed(wanted=(offered("1.0.0"), offered("1.0.0", "latest"))),
            Plan.do(InstallVersions((a_package_of("1.0.0"),)), again=True),
            ("False", "Installing", "1.0.0, 1.0.0 is being installed"),
            id="a version asked for twice is installed once",
        ),
        pytest.param(
            a_runtime("1.0.0"), observed(a_tree_of("1.0.0"), wanted=(there("1.0.0"),)),
            Plan.nothing(CHECK_SECONDS),
            ("True", "Installed", "1.0.0 installed"),
            id="what is there is left alone and looked at now and then",
        ),
        pytest.param(
            a_runtime("1.10.0", "1.9.0"),
            observed(a_tree_of("1.9.0"), a_tree_of("1.10.0"), wanted=(there("1.10.0"), there("1.9.0"))),
            Plan.nothing(CHECK_SECONDS),
            ("True", "Installed", "1.9.0, 1.10.0 installed"),
            id="versions are told in their order",
        ),
        pytest.param(
            a_runtime("1.0.0", "2.0.0"), observed(wanted=(failed("1.0.0"), offered("2.0.0"))),
            Plan.do(InstallVersions((a_package_of("2.0.0"),)), again=True),
            ("False", "ChecksumMismatch", "cannot install 1.0.0"),
            id="one that failed keeps no other back",
        ),
        pytest.param(
            a_runtime("1.0.0", "2.0.0"), observed(wanted=(failed("1.0.0", "A"), failed("2.0.0", "B", 3.0))),
            Plan.wait("A", "cannot install 1.0.0", 3.0),
            ("False", "A", "cannot install 1.0.0; cannot install 2.0.0"),
            id="all that failed is told and the soonest try counts",
        ),
        pytest.param(
            a_runtime("1.0.0"), observed(wanted=(failed("1.0.0", retry_seconds=None),)),
            Plan.wait("ChecksumMismatch", "cannot install 1.0.0", CHECK_SECONDS),
            ("False", "ChecksumMismatch", "cannot install 1.0.0"),
            id="what cannot work is not tried again",
        ),
        pytest.param(
            a_runtime("latest"), observed(wanted=(UNKNOWN,)),
            Plan.wait("RegistryUnavailable", "registry/x: cannot read it", 2.0),
            ("False", "RegistryUnavailable", "registry/x: cannot read it"),
            id="a registry that cannot be read is waited for",
        ),
        pytest.param(
            a_runtime("latest"),
            observed(
                a_tree_of("1.0.0"), a_tree_of("0.9.0"),
                wanted=(Wanted("latest", "1.0.0", None, "RegistryUnavailable", "registry/x: down", 2.0),),
            ),
            Plan.do(RemoveVersion("0.9.0"), check_again_seconds=2.0),
            ("True", "Installed", "1.0.0 installed; cannot tell whether it is still the latest: registry/x: down"),
            id="the latest that is there serves while a registry is down",
        ),
        pytest.param(
            a_runtime("2.0.0"), observed(a_tree_of("1.0.0"), wanted=(failed("2.0.0"),)),
            Plan.wait("ChecksumMismatch", "cannot install 2.0.0", 4.0),
            ("False", "ChecksumMismatch", "cannot install 2.0.0"),
            id="the old version stays until the new one is there",
        ),
        pytest.param(
            a_runtime("2.0.0"),
            observed(a_tree_of("1.0.0"), a_tree_of("0.1.0"), a_tree_of("2.0.0"), wanted=(there("2.0.0"),), in_use=ETL),
            Plan(
                (RemoveVersion("0.1.0"),),
                Plan.wait(RuntimeReason.IN_USE, "1.0.0 in use by job/default/etl").waiting, IN_USE_CHECK_SECONDS,
            ),
            ("True", "InUse", "1.0.0 in use by job/default/etl"),
            id="what is in use stays and the rest goes",
        ),
        pytest.param(
            a_runtime("1.0.0"), observed(a_tree_of("1.0.0", problem="broken"), wanted=(offered("1.0.0"),), in_use=ETL),
            Plan.wait(RuntimeReason.IN_USE, "1.0.0 in use by job/default/etl", IN_USE_CHECK_SECONDS),
            ("False", "InUse", "1.0.0 in use by job/default/etl"),
            id="a broken tree in use is not replaced under its jobs",
        ),
        pytest.param(
            a_runtime("1.0.0"), observed(a_tree_of("1.0.0", problem="broken"), wanted=(offered("1.0.0"),)),
            Plan.do(InstallVersions((a_package_of("1.0.0"),)), again=True),
            ("False", "Installing", "1.0.0 is being installed"),
            id="a broken tree is installed again",
        ),
        pytest.param(
            a_runtime("1.0.0"),
            observed(
                a_tree_of("1.0.0", path="/a"), a_tree_of("1.0.0", ours=False, path="/b"), wanted=(there("1.0.0"),)
            ),
            Plan.wait(RuntimeReason.CONFLICT, "/a and /b both claim to be 1.0.0: remove one", CHECK_SECONDS),
            ("False", "Conflict", "/a and /b both claim to be 1.0.0: remove one"),
            id="two trees of one version are a conflict",
        ),
        pytest.param(
            a_runtime(), observed(a_tree_of("1.0.0"), a_tree_of("2.0.0", ours=False)),
            Plan.do(RemoveVersion("1.0.0"), check_again_seconds=CHECK_SECONDS),
            ("True", "NothingWanted", "spec.versions is empty"),
            id="with nothing wanted ours go and those of others stay",
        ),
        pytest.param(
            a_runtime("1.0.0"), observed(a_tree_of("0.1.0"), enabled=False),
            Plan.wait(RuntimeReason.RUNTIMES_DISABLED, "runtime.enabled is false in the settings"),
            ("False", "RuntimesDisabled", "runtime.enabled is false in the settings"),
            id="disabled does nothing",
        ),
        pytest.param(
            a_runtime("1.0.0", deleting=True),
            observed(a_tree_of("1.0.0"), a_tree_of("2.0.0", ours=False), enabled=False),
            Plan.do(RemoveVersion("1.0.0")),
            ("False", "Removing", "it is being removed"),
            id="a deletion removes ours, disabled or not",
        ),
        pytest.param(
            a_runtime("1.0.0", deleting=True), observed(a_tree_of("1.0.0"), in_use=ETL),
            Plan.wait(RuntimeReason.IN_USE, "1.0.0 in use by job/default/etl", IN_USE_CHECK_SECONDS),
            ("False", "InUse", "to be removed: 1.0.0 in use by job/default/etl"),
            id="a deletion waits for users",
        ),
    ],
)  # fmt: skip
def test_a_plan_and_what_is_said_of_it(runtime, host, wanted_plan, wanted_ready):
    assert plan(runtime, host) == wanted_plan
    assert ready(runtime, host) == wanted_ready


def test_the_users_of_a_version_are_named_but_not_all_of_them():
    users = {"1.0.0": tuple(f"job/default/{n}" for n in range(9))}
    said = plan(a_runtime(deleting=True), observed(a_tree_of("1.0.0"), in_use=users)).waiting

    assert said.message == "1.0.0 in use by job/default/0, job/default/1, job/default/2 and 6 more"


def test_each_version_is_listed_with_its_state():
    runtime = a_runtime("1.0.0", "2.0.0", "3.0.0", "4.0.0")
    host = observed(
        a_tree_of("1.0.0"), a_tree_of("2.0.0", problem="no runtime.yml"), a_tree_of("9.0.0", ours=False),
        wanted=(there("1.0.0"), failed("2.0.0"), failed("3.0.0"), offered("4.0.0")),
    )  # fmt: skip

    status = report(runtime, host, plan(runtime, host), START)

    assert [(v.version, v.state, v.message) for v in status.versions] == [
        ("1.0.0", VersionState.INSTALLED, ""),
        ("2.0.0", VersionState.FAILED, "no runtime.yml"),
        ("9.0.0", VersionState.INSTALLED, ""),
        ("3.0.0", VersionState.FAILED, "cannot install 3.0.0"),
        ("4.0.0", VersionState.INSTALLING, ""),
    ]
    assert status.latest == "9.0.0"
    assert (status.versions[0].registry, status.versions[2].registry) == ("tests", "")


def test_the_same_observation_makes_the_same_status_at_any_time():
    """Or an idle host would write for ever."""
    runtime = a_runtime("1.0.0", "2.0.0")
    host = observed(a_tree_of("1.0.0"), wanted=(there("1.0.0"), failed("2.0.0", retry_seconds=4.0)))
    first = report(runtime, host, plan(runtime, host), START)
    later = observed(a_tree_of("1.0.0"), wanted=(there("1.0.0"), failed("2.0.0", retry_seconds=1.0)))
    runtime = runtime.model_copy(update={"status": first})

    assert report(runtime, later, plan(runtime, later), START.replace(year=2030)) == first


def test_a_pass_that_failed_keeps_what_was_known_and_ends_what_was_going_on():
    going = {"versions": [{"version": "1.0.0", "state": "Installed"}, {"version": "2.0.0", "state": "Installing"}]}
    error = TransientError("RuntimeRootUnavailable", "cannot read it")

    status = report_failure(a_runtime("1.0.0", status=going), error, START)

    assert [v.state for v in status.versions] == [VersionState.INSTALLED, VersionState.FAILED]
    assert (status.conditions[0].reason, status.conditions[0].message) == ("RuntimeRootUnavailable", "cannot read it")
