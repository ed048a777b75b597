"""The I/O priority of a thread."""

import threading

from controller.linux import ioprio
from controller.linux.ioprio import IoClass


def test_a_thread_can_make_its_own_io_idle_and_ordinary_again():
    failures: list[BaseException] = []

    def run() -> None:
        try:
            ioprio.set_of_this_thread(IoClass.IDLE)
            ioprio.set_of_this_thread(IoClass.BEST_EFFORT)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failures == []
