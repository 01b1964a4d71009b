"""The servers that rows 3, 5 and 6 put side by side, each a way in for the same load generator: ours over TLS and over its unix
socket, kube-apiserver over TLS, etcd over gRPC, redis over its socket."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from instance import Instance
from peers import KUBERNETES, ControlPlane, certificate, wait_for

CORES = os.cpu_count() or 1


def on_last_core():
    os.sched_setaffinity(0, {CORES - 1})


class Side:
    """where: how bench_load and bench_watch reach it. pids: whose processor time and memory count."""

    def __init__(self, name, where, pids):
        self.name, self.where, self.pids = name, where, pids

    def load(self, program, *more, timeout=120):
        """The load generator has the last core; the servers may use all."""
        before = cpu_s(self.pids)
        argv = [program, *self.where, *(str(x) for x in more)]
        r = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=timeout,
                                      preexec_fn=on_last_core).stdout)
        if r["errors"] or not r["requests"]:
            raise RuntimeError(f"{self.name}: {r['errors']} errors in {r['requests']} requests: {' '.join(argv)}")
        r["all_cpu_s"] = cpu_s(self.pids) - before
        return r


def cpu_s(pids):
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def memory_reset(pids):
    """Forgets the highest resident memory so far."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def memory_mib(pids, field="VmRSS"):
    return sum(int(re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{p}/status").read_text(), re.M).group(1)) for p in pids) / 1024


class Floor:
    """The limit with TLS: a server that does the least of what the others do. argv: None where its certificate and key stand."""
    PORT = 9444

    def __init__(self, directory, program, *argv):
        certificate(directory)
        pair = [f"{directory}/server.crt", f"{directory}/server.key"]
        argv = [str(x) for a in argv for x in (pair if a is None else [a])]
        self.process = subprocess.Popen([program, *argv])
        wait_for(self.listens, f"{program} does not start")
        self.side = Side("limit", ["--port", str(self.PORT), "--tls"], [self.process.pid])

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.PORT)) == 0

    def close(self):
        self.process.kill()
        self.process.wait()


class Sides:
    """Starts an Atoll and, when it is built, a control plane; both are ended by close."""

    def __init__(self, build, directory, notes):
        self.atoll = Instance(build)
        self.plane = ControlPlane(directory)
        self.ours_tls = self.ours_unix = self.kube = self.etcd = None
        self.atoll.up()
        cert = self.atoll.client_files(directory)
        status = self.atoll.status()
        pids = [s["pid"] for s in status["services"]]
        self.ours = [*pids, status["init"]["pid"]]
        self.api_pids = [self.atoll.pid("api"), self.atoll.pid("store")]
        self.ours_tls = Side("Atoll", ["--port", str(Instance.PORT), "--tls", "--cert", cert[0], "--key", cert[1]], pids)
        self.ours_unix = Side("Atoll", ["--unix", self.atoll.sock], pids)
        if not self.plane.built():
            if ControlPlane.HINT not in notes:
                notes.append(ControlPlane.HINT)
                print(ControlPlane.HINT, flush=True)
            return
        self.plane.start()
        cert = self.plane.client_files()
        self.kube = Side(KUBERNETES, ["--port", str(self.plane.port), "--tls", "--cert", cert[0], "--key", cert[1]], self.plane.pids())
        self.etcd = Side("etcd 3.4", ["--port", str(self.plane.etcd_port), "--h2", "--grpc"], [self.plane.pid("etcd")])

    @contextlib.contextmanager
    def alone(self, side):
        """The others are stopped meanwhile: what one side leaves for later (garbage collection, compaction) is not paid for by the next.
        Only for seconds: leases go on."""
        runs = self.ours if side in (self.ours_tls, self.ours_unix) else side.pids
        stopped = [p for p in [*self.ours, *(self.plane.pids() if self.kube else [])] if p not in runs]
        try:
            for p in stopped:
                os.kill(p, signal.SIGSTOP)
            yield
        finally:
            for p in stopped:
                os.kill(p, signal.SIGCONT)

    def close(self):
        self.atoll.close()
        if self.plane.built():
            self.plane.stop()
