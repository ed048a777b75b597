from itertools import permutations

import pytest

from api.workflows.templating import BadTemplate, looks_secret, resolved, secrets


def test_references_are_resolved_whatever_the_order():
    said = {"BIN": "${BASE}/bin", "BASE": "/opt/${APP}", "APP": "x", "BOTH": "${BIN}:${BASE}"}
    wanted = {"BIN": "/opt/x/bin", "BASE": "/opt/x", "APP": "x", "BOTH": "/opt/x/bin:/opt/x"}

    assert all(resolved(dict(order)) == wanted for order in permutations(said.items()))


def test_what_is_no_variable_of_the_job_stays_for_its_shell():
    assert resolved({"A": "${HOME}/$A/$(pwd)/${}"}) == {"A": "${HOME}/$A/$(pwd)/${}"}


def test_two_dollars_are_one_that_refers_to_nothing():
    assert resolved({"A": "1", "B": "$${A} $${A"}) == {"A": "1", "B": "${A} ${A"}


def test_a_value_is_not_read_twice():
    assert resolved({"A": "$${B}", "B": "x", "C": "${A}"})["C"] == "${B}"


@pytest.mark.parametrize("said", [{"A": "${A}"}, {"A": "${B}", "B": "${C}", "C": "x${A}"}])
def test_variables_that_stand_for_each_other_are_refused(said):
    with pytest.raises(BadTemplate, match=r"\$\{A\} is made of"):
        resolved(said)


def test_a_chain_of_thousands_is_no_work():
    said = {f"V{number}": f"${{V{number + 1}}}" for number in range(5000)} | {"V5000": "end"}

    assert resolved(said)["V0"] == "end"


@pytest.mark.parametrize(
    "name", ["SECRET_URL", "API_KEY", "DB_PASSWORD", "GITHUB_TOKEN", "JWT_SECRET", "TOKEN", "PASSWORD", "db_password"]
)
def test_names_that_are_taken_for_secrets(name):
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["PORT", "KEYBOARD", "TOKENIZER", "SECRETARY", "KEY", "PASSWORD_FILE"])
def test_names_that_are_not(name):
    assert not looks_secret(name)


def test_a_value_that_has_a_secret_in_it_is_one_too():
    said = {"DB_PASSWORD": "x", "DB_URL": "pg://u:${DB_PASSWORD}@db", "ALL": "[${DB_URL}]", "PORT": "1", "PIN": "2"}

    assert secrets(said, {"PIN"}) == {"DB_PASSWORD", "DB_URL", "ALL", "PIN"}
