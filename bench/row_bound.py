"""Row 8: from the first create of 10,000 pods to the last of them bound, on 1,000 nodes that are only objects; every write durable."""
import http.client
import json
import re
import ssl
import threading
import time
from pathlib import Path

from instance import UnixConnection
from measure import Measure, say
from peers import KUBERNETES, wait_for
from sides import Sides, cpu_s

NODES, PODS, CLIENTS = 1000, 10_000, 64
PEER_ROUNDS = 2  # each takes a minute, and another one to delete its pods
SERIAL = "#" * 8
NODES_PATH, PODS_PATH = "/api/v1/nodes", "/api/v1/namespaces/default/pods"
LABELS = {"bench": "fake"}
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"fake-{SERIAL}", "labels": LABELS},
        "status": {"capacity": {"cpu": "32", "memory": "256Gi", "pods": "110"}, "allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110"},
                   "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "fake"}]}}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p-{SERIAL}", "labels": LABELS},
       "spec": {"nodeSelector": LABELS, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": "pause", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]}}
SELECTED = "labelSelector=bench%3Dfake"


class Door:
    """Calls and a watch of one side, for all that is not measured."""

    def __init__(self, sides, side):
        self.sides, self.side = sides, side

    def connection(self, timeout=60):
        if self.side is not self.sides.kube:
            return UnixConnection(self.sides.atoll.sock, timeout=timeout)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(*self.sides.plane.client_files())
        return http.client.HTTPSConnection("127.0.0.1", self.sides.plane.port, context=context, timeout=timeout)

    def call(self, method, path):
        c = self.connection(timeout=180)
        try:
            c.request(method, path)
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def count(self, path):
        found = json.loads(self.call("GET", f"{path}?{SELECTED}&limit=1")[1])
        return len(found["items"]) + found["metadata"].get("remainingItemCount", 0)


class Bound:
    """Notes when the last of the pods is first seen with a node."""

    def __init__(self, door, version):
        self.done, self.names, self.at = threading.Event(), set(), None
        self.c = door.connection()
        self.c.request("GET", f"{PODS_PATH}?watch=1&resourceVersion={version}&timeoutSeconds=600&{SELECTED}")
        self.r = self.c.getresponse()
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        name = re.compile(rb'"name":"(p-\d+)"')
        try:
            while line := self.r.readline():
                if b'"nodeName":"' not in line:
                    continue
                self.names.add(name.search(line).group(1))
                if len(self.names) == PODS:
                    self.at = time.monotonic()
                    self.done.set()
                    return
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass  # the connection ends; who waits says what is missing


class Run:
    def __init__(self, build, directory):
        self.load = str(Path(build) / "bench/bench_load")
        self.node, self.pod = Path(directory) / "node.json", Path(directory) / "pod.json"
        self.node.write_text(json.dumps(NODE))
        self.pod.write_text(json.dumps(POD))
        self.first = 0

    def create(self, side, body, path, count, timeout):
        return side.load(self.load, "--path", path, "--post", body, "--clients", CLIENTS, "--count", count, "--ms", timeout * 1000, "--first",
                         self.first, timeout=timeout + 10)

    def once(self, sides, side):
        """Pods a second; pods a second of processor time of all services; seconds the creates alone took."""
        door = Door(sides, side)
        self.first += 100_000
        self.create(side, self.node, NODES_PATH, NODES, 30)
        time.sleep(1)  # the scheduler sees them
        version = json.loads(door.call("GET", f"{PODS_PATH}?limit=1")[1])["metadata"]["resourceVersion"]
        bound = Bound(door, version)
        before, began = cpu_s(side.pids), time.monotonic()
        created = self.create(side, self.pod, PODS_PATH, PODS, 100)
        if not bound.done.wait(110):
            raise RuntimeError(f"{side.name}: {PODS - len(bound.names)} of {PODS} pods are not bound")
        used = cpu_s(side.pids) - before
        return PODS / (bound.at - began), PODS / max(used, 0.01), created["seconds"]

    @staticmethod
    def clear(door):
        """A request that deletes them all may end before its work does, so it is sent again."""
        def emptied(path):
            door.call("DELETE", f"{path}?{SELECTED}&gracePeriodSeconds=0")
            return not door.count(path)
        for path in (PODS_PATH, NODES_PATH):
            wait_for(lambda p=path: emptied(p), f"{door.side.name}: {path} are not emptied", 240)


def service_account(sides):
    """kube-controller-manager makes it some time after the start."""
    door = Door(sides, sides.kube)
    wait_for(lambda: door.call("GET", "/api/v1/namespaces/default/serviceaccounts/default")[0] == 200, "no service account", 60)


def measure(build, directory, rounds, limits, rows, notes):
    m = {"rate": Measure(8, f"create to bound, {PODS:,} pods on {NODES:,} nodes", "pods/s", more=True),
         "cpu": Measure(8, "create to bound, per CPU second of all services", "pods/s of CPU", more=True),
         "create": Measure(8, "the creates alone, meanwhile", "s")}
    run, sides = Run(build, directory), Sides(build, directory, notes)
    try:
        if sides.kube:
            service_account(sides)
        for i in range(rounds):
            for side in filter(None, (sides.ours_tls, sides.kube if i < PEER_ROUNDS else None)):
                if i:
                    run.clear(Door(sides, side))
                say(f"row 8: round {i + 1} of {rounds}, {side.name}")
                for key, v in zip(m, run.once(sides, side)):
                    if side is sides.kube:
                        m[key].add_peer(KUBERNETES, v)
                    else:
                        m[key].add(v)
    finally:
        sides.close()
    notes.append(f"Row 8: {CLIENTS} clients create over TLS on both sides while the scheduler binds; every create and binding is synced to disk. "
                 "The nodes are objects only; the pods select them by a label. kube-scheduler may send 5,000 requests a second (its own "
                 "default is 50).")
    return list(m.values())
