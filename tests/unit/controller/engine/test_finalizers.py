from controller.engine import finalizers
from support.toy_kind import a_toy


def test_a_finalizer_is_added_behind_those_of_others_without_touching_the_original():
    toy = a_toy(finalizers=["other"])

    changed = finalizers.added(toy, "ours")

    assert changed["metadata"]["finalizers"] == ["other", "ours"]
    assert toy["metadata"]["finalizers"] == ["other"]


def test_removing_a_finalizer_leaves_those_of_others():
    toy = a_toy(finalizers=["other", "ours"])

    assert finalizers.removed(toy, "ours")["metadata"]["finalizers"] == ["other"]


def test_a_finalizer_is_held_and_is_the_last():
    assert not finalizers.holds(a_toy(), "ours")
    assert finalizers.holds(a_toy(finalizers=["ours"]), "ours")
    assert finalizers.is_last(a_toy(finalizers=["ours"]), "ours")
    assert not finalizers.is_last(a_toy(finalizers=["ours", "other"]), "ours")
