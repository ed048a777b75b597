"""What being in a network adds to a launch: interleaved in one run, in a network namespace of the bench's own.

python tests/bench/bench_networks.py [ROUNDS]
"""

import select
import statistics
import sys
import tempfile
import time
from ipaddress import ip_address, ip_interface
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from controller.launcher.network_end import NetworkEnd  # noqa: E402
from controller.linux import loopback, namespaces  # noqa: E402
from controller.linux.namespaces import LinuxNamespace  # noqa: E402
from controller.netlink import links  # noqa: E402
from support.launching import Launching, wait_for_end  # noqa: E402

BRIDGE = "rwbenchb0"
QUIET_SECONDS = 0.25  # As between launches of people: what is ready is ready again.


def main(rounds: int) -> None:
    namespaces.unshare(LinuxNamespace.NETWORK)
    loopback.bring_up()
    links.make_bridge(BRIDGE, [ip_interface("10.9.0.1/16"), ip_interface("fd00::1/64")])
    root = Path(tempfile.mkdtemp(prefix="rwbench."))
    launching = Launching(root)
    launching.start_launcher()
    times: dict[str, list[float]] = {"none": [], "bridge": []}
    try:
        for number in range(2, rounds + 2):
            address = ip_address("10.9.0.0") + number
            ends = ((str(address), "10.9.0.1"), (f"fd00::{number:x}", "fd00::1"))
            for name, end in (("none", None), ("bridge", NetworkEnd(BRIDGE, f"rwbenchv{number}", ends))):
                spec = launching.spec("/bin/true", network=end)
                select.select([], [], [], QUIET_SECONDS)
                began = time.perf_counter()
                launching.client.start(spec)
                wait_for_end(Path(spec.run_dir))
                times[name].append((time.perf_counter() - began) * 1000)
    finally:
        launching.close()
    for name, each in times.items():
        print(f"{name:8} median {statistics.median(each):6.2f} ms   p90 {sorted(each)[int(len(each) * 0.9)]:6.2f} ms")
    print(f"a network adds {statistics.median(times['bridge']) - statistics.median(times['none']):.2f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
