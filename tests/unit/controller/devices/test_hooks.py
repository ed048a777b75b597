"""What vendors' hooks mean here, as their tools write them into specs, and that any other is refused by name."""

import pytest

from controller.devices import hooks
from controller.devices.cdi import Hook
from controller.devices.errors import Unusable
from controller.devices.hooks import Meaning

DEVICE = "nvidia.com/gpu=0"


def meant(*args, path="/usr/bin/nvidia-cdi-hook", name="createContainer"):
    return hooks.meaning(DEVICE, Hook(name, path, args))


@pytest.mark.parametrize(
    ("args", "meaning"),
    [
        (
            (
                "nvidia-cdi-hook",
                "create-symlinks",
                "--link",
                "libcuda.so.1::/usr/lib64/libcuda.so",
                "--link=../a::/b//c",
            ),
            Meaning(DEVICE, links=(("/usr/lib64/libcuda.so", "libcuda.so.1"), ("/b/c", "../a"))),
        ),
        (
            ("nvidia-cdi-hook", "update-ldcache", "--folder", "/usr/lib64", "--folder", "/usr/lib64/vdpau/"),
            Meaning(DEVICE, library_folders=("/usr/lib64", "/usr/lib64/vdpau")),
        ),
        (
            ("nvidia-cdi-hook", "update-ldcache", "--ldconfig-path", "@/sbin/ldconfig", "--folder", "/lib"),
            Meaning(DEVICE, library_folders=("/lib",)),
        ),
        (
            ("nvidia-cdi-hook", "chmod", "--mode", "755", "--path", "/dev/dri"),
            Meaning(DEVICE, modes=(("/dev/dri", 0o755),)),
        ),
        (("nvidia-cdi-hook", "enable-cuda-compat", "--host-driver-version=550.54.15"), Meaning(DEVICE)),
        (("nvidia-cdi-hook", "disable-device-node-modification"), Meaning(DEVICE)),
    ],
)
def test_a_known_hook_has_its_meaning(args, meaning):
    assert meant(*args) == meaning
    assert meant("nvidia-ctk", "hook", *args[1:], path="/usr/bin/nvidia-ctk") == meaning


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (Hook("createContainer", "/opt/vendor/hook", ("hook", "create-symlinks")), "/opt/vendor/hook create-symlinks"),
        (Hook("poststop", "/usr/bin/nvidia-cdi-hook", ("x", "update-ldcache")), "nvidia-cdi-hook update-ldcache"),
        (Hook("createContainer", "/usr/bin/nvidia-cdi-hook", ("x", "format-disks")), "nvidia-cdi-hook format-disks"),
        (Hook("createContainer", "/usr/bin/nvidia-cdi-hook", ("x",)), "/usr/bin/nvidia-cdi-hook"),
        (Hook("createContainer", "/usr/bin/nvidia-ctk", ("x", "hook")), "/usr/bin/nvidia-ctk hook"),
        (Hook("createContainer", "/usr/bin/nvidia-cdi-hook", ("x", "update-ldcache", "--folder")), "--folder"),
        (Hook("createContainer", "/usr/bin/nvidia-cdi-hook", ("x", "update-ldcache", "--new", "y")), "--new y"),
        (Hook("createContainer", "/usr/bin/nvidia-cdi-hook", ("x", "update-ldcache", "word")), "word"),
        (Hook("createContainer", "/usr/bin/nvidia-cdi-hook", ("x", "create-symlinks", "--link", "a:b")), "a:b"),
        (Hook("createContainer", "/usr/bin/nvidia-cdi-hook", ("x", "create-symlinks", "--link", "a::b")), "a::b"),
        (Hook("createContainer", "/usr/bin/nvidia-cdi-hook", ("x", "chmod", "--mode", "rwx", "--path", "/a")), "rwx"),
        (Hook("createContainer", "/usr/bin/nvidia-cdi-hook", ("x", "chmod", "--path", "/a")), "chmod --path /a"),
    ],
)
def test_a_hook_that_nobody_knows_refuses_the_device_and_is_named(hook, said):
    with pytest.raises(Unusable) as error:
        hooks.meaning(DEVICE, hook)

    assert f"cannot use device {DEVICE}: its {hook.name} hook is " in str(error.value)
    assert said in str(error.value)
    assert "take it out of the spec" in str(error.value)
