"""NVIDIA's GPUs in runs, on hosts that have one: CUDA finds those that were given, computes on them, and finds no others."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from support import cdi, host
from support.cdi import a_device, a_node, a_spec
from support.daemon import a_daemon

GPUS = sorted(path for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdecimal())
LIBRARIES = ("libcuda.so", "libnvidia-ml.so", "libnvidia-ptxjitcompiler.so")

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.elsewhere("a GPU of NVIDIA's"),
    pytest.mark.skipif(not GPUS, reason="for hosts with a GPU of NVIDIA's"),
]

# Counts the devices, puts a number into the memory of the first and gets it back.
ASK_CUDA = """
import ctypes, json
cuda = ctypes.CDLL("libcuda.so.1")
count, device, context, place, back = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_int()
told = {"init": cuda.cuInit(0), "count": cuda.cuDeviceGetCount(ctypes.byref(count)), "devices": count.value}
if count.value:
    told["steps"] = [
        cuda.cuDeviceGet(ctypes.byref(device), 0),
        cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device),
        cuda.cuMemAlloc_v2(ctypes.byref(place), ctypes.c_size_t(4)),
        cuda.cuMemcpyHtoD_v2(place, ctypes.byref(ctypes.c_int(42)), ctypes.c_size_t(4)),
        cuda.cuMemcpyDtoH_v2(ctypes.byref(back), place, ctypes.c_size_t(4)),
    ]
    told["back"] = back.value
print(json.dumps(told))
"""


def write_spec(directory):
    """Declare this host's GPUs, by the vendor's tool where there is one."""
    if tool := shutil.which("nvidia-ctk"):
        directory.mkdir(mode=0o755)
        made = [tool, "cdi", "generate", "--format=json", f"--output={directory / 'nvidia.json'}"]
        subprocess.run(made, check=True, capture_output=True, timeout=60)
        return
    common = [a_node(str(path), str(path), fileMode=0o666) for path in map(Path, ("/dev/nvidiactl", "/dev/nvidia-uvm"))]
    known = subprocess.run(["ldconfig", "-p"], check=True, capture_output=True, text=True, timeout=60).stdout
    paths = [line.split(" => ")[1] for line in known.splitlines() if line.strip().startswith(LIBRARIES)]
    files = sorted({str(Path(path).resolve()) for path in paths})
    folders = [word for folder in sorted({str(Path(path).parent) for path in files}) for word in ("--folder", folder)]
    hook = {
        "hookName": "createContainer",
        "path": "/usr/bin/nvidia-cdi-hook",
        "args": ["x", "update-ldcache", *folders],
    }
    mounts = [{"hostPath": path, "containerPath": path, "options": ["ro", "nosuid", "nodev", "bind"]} for path in files]
    devices = [a_device(gpu.name[6:], a_node(str(gpu), str(gpu), fileMode=0o666)) for gpu in GPUS]
    spec = a_spec(*devices, kind="nvidia.com/gpu", deviceNodes=common, mounts=mounts, hooks=[hook])
    cdi.write(directory, "nvidia.json", spec)


def test_cuda_finds_the_gpus_that_a_run_was_given_and_no_others():
    root = host.directory_on_disk("runwright-test-")
    root.chmod(0o755)
    write_spec(root / "cdi")
    with a_daemon(f"devices.cdi_directories=[{root / 'cdi'}]", "runtime.default_registry=") as daemon:
        for name, limits in (("with", {"nvidia.com/gpu": 1}), ("without", {})):
            daemon.apply(name, command=["python3", "-c", ASK_CUDA], resources={"limits": limits})
        runs = {name: daemon.ended(name)["runs"][0] for name in ("with", "without")}
        told = {name: json.loads(daemon.log_of(name).splitlines()[-1]) for name in runs}
    shutil.rmtree(root)

    assert told["with"] == {"init": 0, "count": 0, "devices": 1, "steps": [0] * 5, "back": 42}, runs["with"]
    assert told["without"]["devices"] == 0
