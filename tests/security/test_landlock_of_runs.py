"""Landlock in real runs: what it holds, and that ordinary programs do not notice it, nor the rest of the sandbox."""

import os
import shutil

import pytest

from controller.linux import landlock
from controller.sandbox.spec import NEUTRAL_ID, Bind, PrivateCopy, Scratch
from support.launching import MIB, host_sandbox

pytestmark = pytest.mark.needs_root
with_landlock = [
    pytest.mark.elsewhere("a kernel with Landlock"),
    pytest.mark.skipif(landlock.abi() < landlock.IOCTL_ABI, reason="this kernel has no Landlock, or an old one"),
]

PROGRAMS = {
    "sh": "for d in /work /tmp /dev/shm /var/tmp; do echo x > $d/f && mv $d/f $d/g && ln $d/g $d/h && mkdir $d/e && rm -r $d/g $d/h $d/e; done;"
    " mkfifo /tmp/p; echo > /dev/null; echo fine > /dev/stdout",
    "python3": "cat > t.py <<'E'\n"
    "import asyncio, ctypes, multiprocessing, os, pty, socket, sqlite3, subprocess, sys, tempfile, threading, venv\n"
    "sqlite3.connect('/work/db').execute('create table t (a)'); multiprocessing.Pool(2).map(abs, [1])\n"
    "with socket.socket(socket.AF_UNIX) as server: server.bind('/tmp/s'); server.listen()\n"
    "asyncio.run(asyncio.create_subprocess_exec('true')); tempfile.NamedTemporaryFile().write(b'x')\n"
    "pid, fd = pty.fork()\n"
    "if pid == 0: os.execvp('stty', ['stty', 'size'])\n"
    "import termios, fcntl, struct; fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))\n"
    "os.waitpid(pid, 0); open('/proc/self/comm', 'w').write('named'); threading.Thread(target=int).start()\n"
    "os.kill(os.fork() or os._exit(0), 0); os.wait(); os.truncate('/work/db', 0)\n"
    "subprocess.run(['sh', '-c', 'kill -9 $$']); print('fine')\n"
    "E\npython3 t.py 2>&1 | tail -1",
    "gcc": "printf 'int main(void){return 0;}' > m.c && gcc -o m m.c && ./m && echo fine",
    "node": "node -e \"require('fs').writeFileSync('/work/f', 'x'); require('child_process').execSync('true'); new (require('worker_threads').Worker)('1', {eval: true}); console.log('fine')\"",
    "java": "java -Xmx64m -XX:TieredStopAtLevel=1 -version 2>/dev/null && echo fine",
    "git": "git init -q r && cd r && git -c user.name=a -c user.email=b commit -q --allow-empty -m x && git log --oneline >/dev/null && echo fine",
    "tar": "mkdir d && touch d/f && tar cf d.tar d && rm -r d && tar xf d.tar && test -f d/f && echo fine",
}


@pytest.mark.parametrize("name", [name for name in PROGRAMS if shutil.which(name, path="/usr/bin:/bin")])
def test_an_ordinary_program_does_not_notice(launching, name):
    record, output = launching.shell(PROGRAMS[name], env={"PATH": "/usr/bin:/bin", "HOME": "/work"}, limits=None)

    assert (record.reason, output.splitlines()[-1:]) == ("Completed", ["fine"]), launching.errors_of(record)


@pytest.mark.parametrize("marked", [pytest.param(None, marks=with_landlock)])
def test_the_rules_hold_for_the_job_and_what_it_starts(launching, marked):
    script = (
        "import errno, fcntl, os, subprocess, sys\n"
        "def control():\n"
        "    try:\n"
        "        fcntl.ioctl(os.open('/dev/zero', os.O_RDONLY), 0x5401, bytes(64))\n"
        "    except OSError as error:\n"
        "        return errno.errorcode[error.errno]\n"
        "print(control())\n"
        "if len(sys.argv) == 1:\n"
        "    sys.stdout.flush(); subprocess.run([sys.executable, '-c', open('/proc/self/cmdline').read().split('\\0')[2], 'child'])\n"
    )
    record, output = launching.run("/usr/bin/python3", "-c", script)

    assert output.split() == ["EACCES", "EACCES"]
    assert record.receipt["landlockAbi"] == landlock.abi()


WRITING = "for d in {}; do echo x > $d/f && mv $d/f $d/g && rm $d/g && echo $d; done"


def test_every_place_of_the_run_that_is_given_for_writing_can_be_written(launching):
    tree = launching.root / "tree"
    (tree / "copy").mkdir(parents=True)
    sandbox = host_sandbox(
        private_copies=(PrivateCopy("copy", "/data/copy", MIB, within=str(tree)),),
        scratches=(Scratch("/data/scratch", MIB), Scratch("/work/below", MIB)),
    )
    places = "/data/copy /data/scratch /work/below /work /tmp /dev/shm"
    record, output = launching.shell(WRITING.format(places), sandbox=sandbox)

    assert output.split() == places.split(), (record, launching.errors_of(record))


@pytest.mark.elsewhere("a file system whose owners can be mapped")
def test_a_place_that_runs_share_can_be_written(launching):
    shared = launching.root / "shared"
    shared.mkdir()
    os.chown(shared, NEUTRAL_ID, NEUTRAL_ID)
    bind = Bind(str(shared), "/data/shared", read_only=False, neutral_owners=True)
    record, output = launching.shell(
        WRITING.format("/data/shared"), sandbox=host_sandbox(binds=(*host_sandbox().binds, bind))
    )
    if "map the owners" in record.message:
        pytest.skip("the file system of /var/tmp has owners that cannot be mapped")

    assert output.split() == ["/data/shared"], (record, launching.errors_of(record))
