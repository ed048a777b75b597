from controller.engine.backoff import Backoff, BackoffPolicy


def without_jitter() -> Backoff:
    return Backoff(chance=lambda: 0.0)


def test_a_wait_doubles_with_each_failure_and_stops_at_the_ceiling():
    backoff = without_jitter()

    waits = [backoff.failed("key") for _ in range(16)]

    assert waits[:4] == [0.005, 0.01, 0.02, 0.04]
    assert waits[-1] == 60.0


def test_success_starts_a_key_afresh():
    backoff = without_jitter()
    backoff.failed("key")
    backoff.failed("key")

    backoff.forget("key")

    assert backoff.failures("key") == 0
    assert backoff.failed("key") == 0.005


def test_keys_are_counted_apart():
    backoff = without_jitter()
    backoff.failed("one")

    assert backoff.failed("other") == 0.005
    assert (backoff.failures("one"), backoff.failures("other")) == (1, 1)


def test_jitter_shortens_a_wait_by_a_fifth_at_most_and_never_lengthens_it():
    policy = BackoffPolicy()

    assert policy.seconds(40, 0.999999) > 60.0 * 0.8
    assert policy.seconds(40, 0.5) == 54.0
    assert policy.seconds(40, 0.0) == 60.0


def test_ten_thousand_failures_do_not_overflow():
    assert BackoffPolicy().seconds(10_000, 0.0) == 60.0
