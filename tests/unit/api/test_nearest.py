"""What was meant by a word that is not known."""

from api.nearest import did_you_mean, nearest


def test_a_slip_of_the_pen_is_understood_and_another_word_is_not():
    assert nearest("jbos", ["pods", "jobs"]) == "jobs"
    assert nearest("runtime", ["jobs"]) == ""
    assert did_you_mean("jbos", ["jobs"]) == ": did you mean jobs?"
    assert did_you_mean("", ["jobs"]) == ""


def test_a_word_of_any_length_is_not_compared():
    assert nearest("jobs" * 16, ["jobs" * 16]) == ""
