import os

from controller.linux import keyring, libc, process
from controller.sandbox import seccomp
from support.in_child import in_child

_GET_KEYRING_ID, _SESSION = 0, -3


def session():
    return libc.syscall("keyctl", _GET_KEYRING_ID, _SESSION, 0, 0, 0, purpose="ask for the session")


def test_the_session_begun_is_another_one_for_the_process_and_its_children():
    def body():
        before = session()
        begun = keyring.begin_session()
        return begun, before, session(), in_child(session)

    begun, before, after, of_child = in_child(body)
    assert begun
    assert before != after == of_child


def test_under_a_filter_that_forbids_keys_there_are_none_to_leave():
    def body():
        process.no_new_privs()
        process.load_seccomp(seccomp.default_program(os.uname().machine))
        return keyring.begin_session()

    assert in_child(body) is False
