"""Who may have a volume at the same time: every combination of its access modes that matters."""

import pytest

from api.types.volume import AccessMode
from controller.volume.modes import User, in_the_way, may_ever

RWO, ROX, RWX = AccessMode.READ_WRITE_ONCE, AccessMode.READ_ONLY_MANY, AccessMode.READ_WRITE_MANY
WRITER, READER = User("job/default/writes", 1), User("job/default/reads", 1, read_only=True)


@pytest.mark.invariant("V4")
@pytest.mark.parametrize(
    ("modes", "has_it", "may_read", "may_write"),
    [
        ((RWO,), (), True, True),
        ((RWO,), (WRITER,), False, False),
        ((RWO,), (READER,), False, False),
        ((ROX,), (READER,), True, None),
        ((ROX,), (), True, None),
        ((RWO, ROX), (READER, READER), True, False),
        ((RWO, ROX), (WRITER,), False, False),
        ((RWO, ROX), (), True, True),
        ((RWX,), (WRITER, READER), True, True),
        ((RWO, RWX), (WRITER,), True, True),
        ((ROX, RWX), (WRITER,), True, True),
    ],
)
def test_a_run_has_a_volume_beside_others_as_its_modes_say(modes, has_it, may_read, may_write):
    """None: never, whoever ends."""
    assert may_ever(modes, read_only=True)
    assert may_ever(modes, read_only=False) is (may_write is not None)
    assert (in_the_way(modes, has_it, read_only=True) is None) is may_read
    if may_write is not None:
        assert (in_the_way(modes, has_it, read_only=False) is None) is may_write


def test_who_is_waited_for_is_the_one_that_is_in_the_way():
    assert in_the_way((RWO, ROX), (READER, WRITER), read_only=True) is WRITER
    assert in_the_way((RWO, ROX), (READER, WRITER), read_only=False) is READER
