"""Row 4: GET of a 2 KB ConfigMap over kept connections: unix socket, TLS 1.3 with HTTP/1.1, TLS 1.3 with HTTP/2, and all clients as
streams of one HTTP/2 connection, which is how Kubernetes' own clients ask."""
import json
import os
import subprocess
from pathlib import Path

from instance import Instance
from measure import Measure, say
from peers import BASELINE, KUBERNETES, ControlPlane, Nginx, certificate, wait_for

CLIENTS, SPAN_MS = 32, 1000
OBJECT = "/api/v1/namespaces/default/configmaps/bench"
BODY = {"metadata": {"name": "bench"}, "data": {"page": "x" * 1790}}
ONE_CONNECTION = "TLS 1.3, HTTP/2, one connection"
MODES = [("unix socket", []), ("TLS 1.3", ["--tls"]), ("TLS 1.3, HTTP/2", ["--tls", "--h2"]),
         (ONE_CONNECTION, ["--tls", "--h2", "--streams", str(CLIENTS)])]


def pin(pid, core):
    """All threads of a process on one core. The load generator has another one, where there is another one."""
    for t in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(t), {core})


class Target:
    def __init__(self, name, pid, sock, port, path, cert=()):
        self.name, self.pid, self.sock, self.port, self.path, self.cert = name, pid, sock, port, path, cert

    def load(self, program, flags, clients, ms):
        where = ["--port", str(self.port)] if "--tls" in flags else ["--unix", self.sock]
        cert = ["--cert", self.cert[0], "--key", self.cert[1]] if self.cert and "--tls" in flags else []
        argv = [program, *where, *flags, *cert, "--path", self.path, "--clients", str(clients), "--ms", str(ms), "--pid", str(self.pid)]
        cores = os.cpu_count() or 1
        out = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=60,
                             preexec_fn=lambda: os.sched_setaffinity(0, {cores - 1})).stdout
        r = json.loads(out)
        if r["errors"] or not r["requests"]:
            raise RuntimeError(f"{self.name}: {r['errors']} errors in {r['requests']} requests")
        return r


class Constant:
    """The limit: a server that does not look at what it is asked."""

    def __init__(self, program, directory, answer):
        d = str(directory)
        self.sock, self.port = f"{d}/constant.sock", 9443
        n = str(len(answer))
        self.processes = [subprocess.Popen([program, "unix", self.sock, n]),
                          subprocess.Popen([program, "port", str(self.port), n, f"{d}/server.crt", f"{d}/server.key"])]
        wait_for(lambda: os.path.exists(self.sock), "bench_constant does not start")

    def targets(self):
        return {"unix": Target("limit", self.processes[0].pid, self.sock, None, "/"),
                "tls": Target("limit", self.processes[1].pid, None, self.port, "/")}

    def close(self):
        for p in self.processes:
            p.kill()
            p.wait()


def rates(t, program, mode, flags, m, add):
    many = t.load(program, flags, CLIENTS, SPAN_MS)
    add(m[mode, "rate"], many["requests"] / many["seconds"])
    add(m[mode, "core"], many["requests"] / max(many["server_cpu_s"], 1e-6))


def one_mode(program, mode, flags, ours, nginx, limit, m):
    def figures(t, add):
        pin(t.pid, 0)
        rates(t, program, mode, flags, m, add)
        if mode == ONE_CONNECTION:
            return
        one = t.load(program, flags, 1, SPAN_MS // 2)
        add(m[mode, "one"], one["p50_us"])
        add(m[mode, "tail"], one["p99_us"])
    figures(ours, lambda x, v: x.add(v))
    figures(nginx, lambda x, v: x.add_peer("nginx", v))
    if "--h2" not in flags:
        figures(limit["tls" if "--tls" in flags else "unix"], lambda x, v: x.add_limit("constant answer", v))


def control_plane(directory, m):
    """With TLS only: kube-apiserver has no other way in. None: it is not built."""
    c = ControlPlane(directory)
    if not c.built():
        m["TLS 1.3", "rate"].baseline(KUBERNETES, BASELINE["get_per_s"])
        return None, None
    try:
        c.start()
        c.create("/api/v1/namespaces/default/configmaps", BODY)
    except BaseException:
        c.stop()
        raise
    return c, Target(KUBERNETES, c.pid(), None, c.port, OBJECT + "?resourceVersion=0", c.client_files())


def measures():
    m = {}
    for mode, _ in MODES:
        m[mode, "rate"] = Measure(4, f"GET 2 KB, {mode}, {CLIENTS} clients", "req/s", more=True)
        m[mode, "core"] = Measure(4, f"GET 2 KB, {mode}, {CLIENTS} clients, per core", "req/s of server CPU", more=True)
        if mode == ONE_CONNECTION:
            continue
        m[mode, "one"] = Measure(4, f"GET 2 KB, {mode}, one client: median", "µs")
        m[mode, "tail"] = Measure(4, f"GET 2 KB, {mode}, one client: p99", "µs")
    return m


def measure(build, directory, rounds, limits, rows, notes):
    m = measures()
    program, constant = str(Path(build) / "bench/bench_load"), str(Path(build) / "bench/bench_constant")
    certificate(directory)
    a = Instance(build)
    nginx = limit = plane = None
    try:
        a.up()
        a.call("POST", "/api/v1/namespaces/default/configmaps", BODY)
        answer = a.call("GET", OBJECT)
        a.forget_connection()
        nginx = Nginx(directory, answer)
        limit = Constant(constant, directory, answer)
        ours = Target("Atoll", a.pid("api"), a.sock, a.PORT, OBJECT, a.client_files(directory))
        theirs = Target("nginx", nginx.pid, nginx.sock, nginx.port, "/object")
        plane, kube = control_plane(directory, m)
        for i in range(rounds):
            say(f"row 4: round {i + 1} of {rounds}")
            for mode, flags in MODES:
                one_mode(program, mode, flags, ours, theirs, limit.targets(), m)
                if kube and "--tls" in flags:
                    rates(kube, program, mode, flags, m, lambda x, v: x.add_peer(KUBERNETES, v))
    finally:
        if plane:
            plane.stop()
        for x in (nginx, limit, a):
            if x:
                x.close()
    notes.append(f"Row 4: answers of {len(answer)} bytes; the server on one core, the load generator on another; nginx 1.22 as one process "
                 "with open_file_cache serves the same bytes; the constant answer is a server that reads and writes and does nothing else. "
                 "kube-apiserver takes its turn in each round and may use all cores.")
    return list(m.values())
