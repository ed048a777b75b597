import pytest

from controller.daemon.policy_settings import PolicySettings
from controller.daemon.settings import SettingsError, load
from controller.job.policy import Policy


def of(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load(path, required=True).settings.policy.policy()


def test_without_settings_nothing_may_be_asked_for_and_nothing_has_to_be_set():
    assert PolicySettings().policy() == Policy()


def test_the_policy_is_what_the_file_says(tmp_path):
    text = (
        "policy:\n  minimum_profile: baseline\n  baseline_namespaces: [debugging]\n"
        "  capabilities: {web: [NET_BIND_SERVICE]}\n  required_limits: [memory]\n  require_landlock: true\n"
    )

    assert of(tmp_path, text) == Policy(
        minimum_profile="baseline",
        baseline_namespaces=frozenset({"debugging"}),
        capabilities={"web": frozenset({"NET_BIND_SERVICE"})},
        required_limits=("memory",),
        require_landlock=True,
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("minimum_profile: loose", "Input should be 'strict' or 'baseline'"),
        ("required_limits: [gpu]", "gpu cannot be required: write any of cpu, memory"),
        ("capabilities: {web: [SYS_ADMIN]}", "SYS_ADMIN cannot be given: write any of AUDIT_WRITE"),
        ("baseline_namespaces: debugging", "Input should be a valid tuple"),
    ],
)
def test_what_cannot_be_a_policy_stops_the_start(tmp_path, text, said):
    with pytest.raises(SettingsError, match=said):
        of(tmp_path, f"policy:\n  {text}\n")


def test_a_flag_can_set_a_list(tmp_path):
    loaded = load(tmp_path / "none.yaml", ("policy.baseline_namespaces=[a, b]",))

    assert loaded.settings.policy.policy().baseline_namespaces == {"a", "b"}
