"""The end of requests and of the api service: time-outs, and a shutdown that cuts nothing."""
import http.client
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

import atoll_cluster as ac
from atoll_cluster import until


class Connection(http.client.HTTPConnection):
    """HTTP/1.1 on the api's unix socket."""

    def __init__(self, root, timeout=20):
        super().__init__("x", timeout=timeout)
        self.path = f"{root}/run/atoll/api.sock"

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        self.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        r = self.getresponse()
        return r.status, json.loads(r.read())


@pytest.fixture(scope="module")
def a(new_atoll):
    a = new_atoll(image=False)
    return a


def ask(a, method, path, body=None):
    return Connection(a.root).ask(method, path, body)


CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def test_a_request_that_takes_too_long_gets_504(a):
    store = a.pid("store")
    os.kill(store, signal.SIGSTOP)
    try:
        c = Connection(a.root)
        status, body = c.ask("POST", CONFIG_MAPS + "?timeout=1s", {"metadata": {"name": "late"}})
        assert (status, body["reason"], body["code"]) == (504, "Timeout", 504), body
        assert ask(a, "GET", CONFIG_MAPS)[0] == 200  # reads go on
    finally:
        os.kill(store, signal.SIGCONT)
    until(lambda: ask(a, "GET", CONFIG_MAPS + "/late")[0] == 200, what="the write was only slow")


@pytest.mark.parametrize("timeout,status", [("30s", 200), ("1h", 200), ("0s", 200), ("x", 400), ("-1s", 400), ("5", 400)])
def test_the_timeout_of_a_request(a, timeout, status):
    got, body = ask(a, "GET", f"{CONFIG_MAPS}?timeout={timeout}")
    assert got == status, body


def api_stop(a):
    """Asks the api service to end; returns once another process is there."""
    pid = a.pid("api")
    os.kill(pid, signal.SIGTERM)
    until(lambda: not os.path.exists(f"/proc/{pid}") and a.pid("api") not in (0, pid, None), 10, what="another api process")
    until(lambda: answers(a), 10, what="api ready")


def answers(a):
    try:
        c = Connection(a.root, 2)
        c.request("GET", "/readyz")
        return c.getresponse().status == 200
    except OSError:
        return False


def test_watches_end_cleanly_and_go_on_without_a_gap(a):
    seen, ends, problems, stop = [], [], [], threading.Event()
    version = ask(a, "GET", CONFIG_MAPS)[1]["metadata"]["resourceVersion"]

    def watch():
        rv = version
        while not stop.is_set():
            try:
                c = Connection(a.root, 30)
                c.request("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion={rv}&timeoutSeconds=20")
                r = c.getresponse()
            except OSError:
                time.sleep(0.02)
                continue
            try:
                while line := r.readline():
                    e = json.loads(line)
                    if e["type"] == "ERROR":
                        problems.append(e)
                        return
                    rv = e["object"]["metadata"]["resourceVersion"]
                    if e["object"]["metadata"]["name"].startswith("w"):
                        seen.append((e["type"], e["object"]["metadata"]["name"]))
                    if e["object"]["metadata"]["name"] == "wend":
                        return
                ends.append("clean")
            except (OSError, http.client.HTTPException, ValueError) as x:
                problems.append(repr(x))

    watchers = [threading.Thread(target=watch) for _ in range(1)]
    for w in watchers:
        w.start()
    made = []

    def make(name):
        while True:
            try:
                status, body = ask(a, "POST", CONFIG_MAPS, {"metadata": {"name": name}})
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.02)
                continue
            if status in (201, 409):
                made.append(name)
                return
            time.sleep(0.02)

    def write():
        for i in range(600):
            make(f"w{i:04}")
            time.sleep(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(3):
        time.sleep(0.3)
        api_stop(a)
    writer.join()
    make("wend")
    for w in watchers:
        w.join(30)
    stop.set()
    assert not problems, problems
    assert seen == [("ADDED", name) for name in made]
    assert len(ends) >= 3


def writes_in_flight(a):
    c = Connection(a.root)
    c.request("GET", "/metrics")
    return int(re.search(r'^apiserver_current_inflight_requests{request_kind="mutating"} (\d+)$', c.getresponse().read().decode(), re.M)[1])


def test_idle_connections_are_told_and_running_requests_finish(a):
    idle = Connection(a.root)
    assert idle.ask("GET", CONFIG_MAPS)[0] == 200
    store, pid = a.pid("store"), a.pid("api")
    os.kill(store, signal.SIGSTOP)
    result, before = [], writes_in_flight(a)
    t = threading.Thread(target=lambda: result.append(ask(a, "POST", CONFIG_MAPS, {"metadata": {"name": "last-words"}})[0]))
    try:
        t.start()
        until(lambda: writes_in_flight(a) > before, what="the request is with the store")
        os.kill(pid, signal.SIGTERM)
        idle.sock.settimeout(5)
        assert idle.sock.recv(1) == b"", "the idle connection is closed"
    finally:
        os.kill(store, signal.SIGCONT)
    t.join(10)
    assert result == [201]
    until(lambda: not os.path.exists(f"/proc/{pid}"), 8, what="the end of the api process")
    until(lambda: answers(a), 10, what="api ready")


def test_shutdown_is_bounded_even_with_readers_that_do_not_read(a):
    for i in range(30):
        ask(a, "POST", CONFIG_MAPS, {"metadata": {"name": f"big{i}"}, "data": {"k": "x" * 500_000}})
    c = Connection(a.root)
    c.request("GET", CONFIG_MAPS)  # 15 MB that nobody reads
    time.sleep(0.1)
    began = time.monotonic()
    api_stop(a)
    assert time.monotonic() - began < 6
    c.close()
