"""Evil clients: each gets an error or loses its connection, costs a bounded amount of memory, and nobody else notices. Figures
(memory, the neighbour's p99) go to the file that ATOLL_EVIL_REPORT names."""
import contextlib
import http.client
import json
import os
import resource
import socket
import time

import pytest

import evil
from atoll_cluster import IMAGE, run, sh, until
from evil import CLOSED, CONFIG_MAPS, connect, exchange

MEMORY_BYTES = 96 << 20  # what an attack may cost while it lasts
RESTING_BYTES = 48 << 20  # and what may be left of it


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("x", timeout=15)
        self.path = path

    def connect(self):
        self.sock = connect(self.path)

    def ask(self, method, path, body=None):
        self.request(method, path, body, {"Content-Type": "application/json"})
        r = self.getresponse()
        return r.status, r.read()


def pss(pid):
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10


class Victim:
    """An Atoll's api service, and what a neighbour sees of it."""

    def __init__(self, atoll):
        self.atoll, self.sock, self.pid = atoll, atoll.sock, atoll.pid("api")
        assert Connection(self.sock).ask("POST", CONFIG_MAPS, json.dumps({"metadata": {"name": "victim"}, "data": {"k": "v"}}))[0] == 201
        self.rest, self.rest_descriptors = pss(self.pid), self.descriptors()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def get(self):
        """One GET on a connection that is opened again when the server needed its place."""
        c = Connection(self.sock)

        def go():
            nonlocal c
            try:
                return c.ask("GET", CONFIG_MAPS + "/victim")[0]
            except (OSError, http.client.HTTPException):
                c = Connection(self.sock)
                return c.ask("GET", CONFIG_MAPS + "/victim")[0]

        return go

    @contextlib.contextmanager
    def attacked(self, name):
        neighbour = evil.Neighbour(self.get())
        with neighbour:
            yield
            peak = pss(self.pid)
        assert self.atoll.pid("api") == self.pid, "the api service has died"
        assert not neighbour.failures, neighbour.failures[:5]
        assert peak - self.rest < MEMORY_BYTES, f"{peak - self.rest >> 20} MiB more"
        until(lambda: pss(self.pid) - self.rest < RESTING_BYTES, 75, what="memory given back")
        report = os.environ.get("ATOLL_EVIL_REPORT")
        if report:
            with open(report, "a") as f:
                f.write(f"{name}: neighbour p99 {neighbour.p99_ms():.2f} ms of {len(neighbour.times)}, api {(peak - self.rest) / 1048576:+.1f} MiB\n")


@pytest.fixture(scope="module")
def victim(new_atoll):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    v = Victim(new_atoll(image=False))
    with v.attacked("nothing"):
        time.sleep(1)
    yield v
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("table", ["FRAMING", "QUERIES", "DOCUMENTS"])
def test_requests_that_are_none(victim, table):
    wrong = {}
    with victim.attacked(table.lower()):
        for name, (data, allowed) in getattr(evil, table).items():
            for _ in range(3):
                try:
                    got = exchange(victim.sock, data)
                except TimeoutError:
                    got = "no answer"
                if got not in allowed:
                    wrong[name] = got
    assert not wrong, wrong
    assert victim.get()() == 200


@pytest.mark.parametrize("name", evil.H2)
def test_http2_abuse(victim, name):
    with victim.attacked("HTTP/2: " + name):
        closed, received = evil.h2_attack(victim.sock, evil.H2[name])
    assert received < 8 << 20
    if name in ("rapid reset", "resets by window", "continuation without an end", "empty continuations", "settings", "pings", "empty data",
                "a window past its end", "a window of nothing", "a frame of 16 MB", "a broken HPACK index", "streams with even numbers", "pushes by a client"):
        assert closed, "the connection lives on"


def open_all(victim, n, data):
    conns = []
    for _ in range(n):
        s = connect(victim.sock)
        conns.append(s)
        with contextlib.suppress(OSError):
            s.sendall(data)
    return conns


def close_all(conns):
    for s in conns:
        s.close()


def test_ten_thousand_idle_connections(victim):
    with victim.attacked("10,000 idle connections"):
        conns = open_all(victim, 10_000, b"")
        assert victim.get()() == 200
        close_all(conns)


def test_five_hundred_slow_heads_and_bodies(victim):
    with victim.attacked("500 slow heads, 500 slow bodies"):
        conns = open_all(victim, 500, b"GET /readyz HTTP/1.1\r\nHost: x\r\nA: ")
        slow = conns[0]
        conns += open_all(victim, 500, evil.request("POST", CONFIG_MAPS, ["Content-Length: 2000000"], b"x" * 1000))
        began = time.monotonic()
        while time.monotonic() < began + 15:
            try:
                slow.sendall(b"b")
                slow.settimeout(0.5)
                answer = slow.recv(100)
                break
            except TimeoutError:
                continue
            except OSError:
                answer = b""
                break
        assert answer[:12] in (b"", b"HTTP/1.1 408"), answer
        close_all(conns)


def test_bodies_that_are_never_complete(victim):
    """Each may be 3 MiB; all of them together may not be what the machine has."""
    with victim.attacked("300 bodies of almost 3 MiB"):
        conns = []
        for _ in range(300):
            s = connect(victim.sock, 2)
            conns.append(s)
            with contextlib.suppress(OSError):
                s.sendall(evil.request("POST", CONFIG_MAPS, ["Content-Length: 3000000"], b"x" * 2_900_000))
        close_all(conns)


def test_lists_and_pipelines_that_nobody_reads(victim):
    c = Connection(victim.sock)
    for i in range(20):
        c.ask("POST", CONFIG_MAPS, json.dumps({"metadata": {"name": f"big{i}"}, "data": {"k": "x" * 500_000}}))
    victim.rest = pss(victim.pid)
    with victim.attacked("100 unread lists of 10 MB, 100 pipelines of 1,000"):
        conns = open_all(victim, 100, evil.get(CONFIG_MAPS))
        for _ in range(100):
            s = connect(victim.sock, 0.05)
            conns.append(s)
            with contextlib.suppress(OSError):
                s.sendall(evil.get(CONFIG_MAPS + "/big1") * 1000)
        time.sleep(1)
        close_all(conns)


def test_watches_that_nobody_reads(victim):
    c = Connection(victim.sock)
    version = json.loads(c.ask("GET", CONFIG_MAPS + "?limit=1")[1])["metadata"]["resourceVersion"]
    with victim.attacked("1,000 unread watches and 100 events of 100 KB"):
        conns = open_all(victim, 1000, evil.get(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}"))
        for i in range(100):
            assert c.ask("PUT", CONFIG_MAPS + "/victim", json.dumps({"metadata": {"name": "victim"}, "data": {"k": f"{i}" * 50_000}}))[0] == 200
        close_all(conns)


def test_a_window_of_nothing_over_http2(victim):
    """Asks for much and lets nothing be sent."""
    wanted = b"".join(evil.frame(evil.HEADERS, 5, i, evil.head(CONFIG_MAPS)) for i in evil.ids(100))
    settings = evil.frame(evil.SETTINGS, 0, 0, b"\0\x04\0\0\0\0")
    with victim.attacked("2,000 lists behind closed windows"):
        conns = open_all(victim, 20, evil.PREFACE + settings + wanted)
        time.sleep(1)
        close_all(conns)


def test_connections_that_come_and_go(victim):
    with victim.attacked("5,000 connections that come and go"):
        for _ in range(5000):
            s = socket.socket(socket.AF_UNIX)
            s.connect(victim.sock)
            s.close()


@pytest.fixture(scope="module")
def exec_target(atoll):
    """The path of exec in a pod that reads nothing, and the process that speaks WebSocket and SPDY."""
    atoll.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "evil-exec"}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": IMAGE, **sh("exec sleep 1000")}]}})
    until(lambda: atoll.get("pod", "evil-exec")["status"]["phase"] == "Running", 30, what="the pod runs")
    yield atoll, "/api/v1/namespaces/default/pods/evil-exec/exec?command=sleep&command=60&stdin=true&stdout=true&stderr=true"
    atoll.kubectl("delete", "pod", "evil-exec", "--wait=false")


@pytest.mark.parametrize("protocol, table", [(evil.WEBSOCKET, evil.AFTER_WEBSOCKET), (evil.SPDY, evil.AFTER_SPDY)], ids=["websocket", "spdy"])
def test_frames_of_exec(exec_target, protocol, table):
    atoll, target = exec_target
    services = {name: atoll.pid(name) for name in ("node", "api", "broker")}
    before = {name: pss(pid) for name, pid in services.items()}
    problems = {}
    for name, (once, again) in table.items():
        taken, closed = evil.tell_until_closed(evil.upgraded(atoll.sock, target, *protocol), once, again)
        if not closed and name not in evil.HARMLESS:
            problems[name] = f"the connection lives on after {taken} bytes"
    assert not problems, problems
    for name, pid in services.items():
        assert atoll.pid(name) == pid, f"{name} has died"
        grown = lambda n=name, p=pid: pss(p) - before[n]  # noqa: E731
        until(lambda: grown() < 16 << 20, 30, what=f"memory of {name}")
    assert atoll.kubectl("exec", "evil-exec", "--", "echo", "alive").stdout == "alive\n"


def test_an_exec_that_reads_nothing(exec_target):
    """Input that nobody takes, output that nobody reads: both ends wait, and nothing grows."""
    atoll, target = exec_target
    pid, conns = atoll.pid("node"), []
    before = pss(pid)
    output = target.split("?")[0] + "?command=yes&stdout=true"
    for i in range(20):
        s = evil.upgraded(atoll.sock, target if i % 2 else output, *evil.WEBSOCKET)
        s.settimeout(0.1)
        conns.append(s)
        with contextlib.suppress(OSError):
            for _ in range(200 if i % 2 else 0):
                s.sendall(evil.ws(0x82, len(evil.PIECE), evil.PIECE))
    time.sleep(1)
    assert pss(pid) - before < 32 << 20
    close_all(conns)
    until(lambda: pss(pid) - before < 16 << 20, 30, what="memory given back")


def test_who_has_most_connections_makes_room(new_atoll, victim):
    """One peer has all the connections there may be, each of them in use; others come in all the same."""
    version = json.loads(Connection(victim.sock).ask("GET", CONFIG_MAPS + "?limit=1")[1])["metadata"]["resourceVersion"]
    conns = open_all(victim, 4200, evil.get(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}"))
    try:
        run("python3", "-c", f"""
import os, socket
os.chdir({os.path.dirname(victim.sock)!r})
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for _ in range(50):
    s = socket.socket(socket.AF_UNIX); s.connect('api.sock'); s.settimeout(10)
    s.sendall(b"GET /version HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    assert s.recv(100).startswith(b"HTTP/1.1 "), "no answer"
""", timeout=30)
    finally:
        close_all(conns)


def test_nothing_is_left(victim):
    until(lambda: victim.descriptors() < victim.rest_descriptors + 20, 10, what="descriptors closed")
    c = Connection(victim.sock)
    status, body = c.ask("GET", "/metrics")
    assert status == 200
    assert victim.atoll.services()["api"]["restarts"] == 0
