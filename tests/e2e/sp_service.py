"""The messaging service alone: `atoll sp --config DIR --root ROOT`, and small clients of its socket files."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import atoll_cluster as ac

DEADLINE = 10


def until(what, seconds=DEADLINE):
    """The first true answer of what(); a file that is not there yet is none."""
    end = time.monotonic() + seconds
    while True:
        try:
            answer = what()
        except FileNotFoundError:
            answer = None
        if answer:
            return answer
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def topology(name, pattern, **spec):
    return {"apiVersion": "sp.atoll.dev/v1", "kind": "Topology", "metadata": {"name": name}, "spec": {"pattern": pattern, **spec}}


class Service:
    def __init__(self, *topologies):
        # Short, since paths of sockets hold 107 bytes; open, since the service is another user.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="sp-"))
        self.root.chmod(0o755)
        self.config = self.root / "c"
        self.config.mkdir()
        self.process = None
        for t in topologies:
            self.declare(t)

    def declare(self, t):
        name = t["metadata"]["name"]
        fresh = self.config / f".{name}"
        fresh.write_text(json.dumps(t))
        fresh.rename(self.config / f"{name}.json")

    def undeclare(self, name):
        (self.config / f"{name}.json").unlink()

    @property
    def log(self):
        return (self.root / "log").read_text()

    def start(self, **who):
        with open(self.root / "log", "a") as log:
            self.process = subprocess.Popen([ac.ATOLL, "sp", "--config", str(self.config), "--root", str(self.root)],
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL, **who)
        names = [f.stem for f in self.config.glob("*.json")]
        until(lambda: self.process.poll() is not None or all(self.is_served(n) for n in names), DEADLINE + len(names) / 4)
        assert self.process.poll() is None, self.log
        return self

    def is_served(self, name):
        """Somebody listens at the ipc door, which nobody takes for a client before it has greeted."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                doors = sorted(self.dir(name).glob("*.ipc"))
                if not doors:
                    return False
                s.connect(str(doors[0]))
                return True
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(DEADLINE)

    def dir(self, name):
        return self.root / "run/atoll/sp" / name

    def path(self, name, file):
        return str(self.dir(name) / file)

    def connect(self, name, file, **kw):
        return Client(self.path(name, file), **kw)

    def figure(self, name, key, file="stats"):
        """A number of a readable file."""
        try:
            text = (self.dir(name) / file).read_text()
        except FileNotFoundError:
            return None
        found = re.search(rf"^{key} (\d+)$", text, re.M)
        return int(found[1]) if found else None

    def sees(self, name, clients):
        """Waits until the service knows of so many clients."""
        until(lambda: self.figure(name, "clients", "status") == clients)

    def end(self):
        try:
            self.stop()
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
            shutil.rmtree(self.root, ignore_errors=True)


class Client(socket.socket):
    """One program at a socket file."""

    def __init__(self, path, timeout=DEADLINE):
        super().__init__(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.settimeout(timeout)
        try:
            self.connect(path)
        except OSError:
            self.close()
            raise

    def get(self):
        return self.recv(1 << 20)

    def subscribe(self, prefix):
        self.send(b"+" + prefix)
        assert self.get() == b"+" + prefix

    def nothing(self, seconds=0.15):
        """Nothing can be read for a while."""
        self.settimeout(seconds)
        try:
            return not self.get()
        except TimeoutError:
            return True
        finally:
            self.settimeout(DEADLINE)

    def fill(self, body, limit=20000):
        """Sends until it would block; how often it did not."""
        self.setblocking(False)
        try:
            for n in range(limit):
                try:
                    self.send(body)
                except BlockingIOError:
                    return n
            return limit
        finally:
            self.settimeout(DEADLINE)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_kib(pid):
    return int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])
