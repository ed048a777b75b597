"""Two hundred jobs on one bridge at once: each has an address of its own, is found by its name, and leaves nothing."""

import json

import pytest

from api.kinds import JOB
from support.networked import a_networked_daemon

pytestmark = [pytest.mark.needs_root, pytest.mark.slow]
JOBS = 200
PATIENCE_SECONDS = 300
SERVE = """
import socket, sys
with socket.create_server(("", 8000)) as listening:
    while True:
        with listening.accept()[0] as asked:
            asked.sendall(sys.argv[1].encode())
"""
ASK = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def ask(number):
    with socket.create_connection((f"many-{number}", 8000), 20) as asked:
        return asked.recv(100).decode() == f"many-{number}"
with ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(ask, range(int(sys.argv[1])))))
"""
LINKS = """
import json
from pyroute2 import IPRoute
with IPRoute() as route:
    print(json.dumps([link.get_attr("IFLA_IFNAME") for link in route.get_links(kind="veth")]))
"""


def test_two_hundred_jobs_of_a_bridge_find_and_reach_each_other_and_leave_no_link():
    with a_networked_daemon(f"jobs.max_active={JOBS + 10}") as daemon:
        before = set(daemon.host.json(LINKS))
        for number in range(JOBS):
            name = f"many-{number}"
            daemon.apply(name, command=["python3", "-c", SERVE, name], network={"name": "bridge"})

        def places():
            jobs = [job["status"] for job in daemon.jobs().values()]
            return [status["runs"][-1]["network"]["address"] for status in jobs if status.get("phase") == "Running"]

        addresses = daemon.until(
            "all run", lambda: found if len(found := places()) == JOBS else None, PATIENCE_SECONDS, every=1.0
        )
        links = set(daemon.host.json(LINKS)) - before
        asked = daemon.rnx("job", "run", "--network=bridge", "python3", "-c", ASK, str(JOBS))
        daemon.stop_daemon()  # The controller alone: runs and their network go on.
        daemon.start()
        again = daemon.rnx("job", "run", "--network=bridge", "python3", "-c", ASK, str(JOBS))
        for number in range(JOBS):
            daemon.client.delete(JOB, "default", f"many-{number}")
        daemon.until(
            "nothing is left",
            lambda: set(daemon.host.json(LINKS)) <= before and not [name for name in daemon.jobs() if "many" in name],
            PATIENCE_SECONDS,
            every=1.0,
        )

    assert (len(addresses), len(set(addresses)), len(links)) == (JOBS, JOBS, JOBS)
    assert (asked.returncode, json.loads(asked.stdout or "0")) == (0, JOBS), asked.stderr
    assert (again.returncode, json.loads(again.stdout or "0")) == (0, JOBS), again.stderr
