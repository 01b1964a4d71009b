"""Rows 1 and 2: memory of an idle node and of 1,000 stored pods; start to /readyz and to node Ready."""
import os
import subprocess
import time

from instance import Instance, pss_bytes
from measure import Measure, say
from peers import BASELINE, KUBERNETES, ControlPlane

PODS = 1000
SETTLE_S = 3


def fake_pod(i):
    """Stored and cached by everyone, run by no one: its node is only an object."""
    return {"metadata": {"name": f"p{i:04}", "labels": {"app": "bench", "index": str(i)}},
            "spec": {"nodeName": "fake", "containers": [{
                "name": "c", "image": "bench:1", "env": [{"name": "INDEX", "value": str(i)}],
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}}, "ports": [{"containerPort": 80}]}]}}


def idle_processes(n):
    """PSS of n processes that do nothing at all, of a small static program."""
    sleepers = [subprocess.Popen(["/bin/busybox", "sleep", "60"]) for _ in range(n)]
    time.sleep(0.1)
    total = sum(pss_bytes(p.pid) for p in sleepers)
    for p in sleepers:
        p.kill()
        p.wait()
    return total


def wait_empty(a, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not a.get("/api/v1/namespaces/default/pods?limit=1")["items"]:
            return
        time.sleep(0.1)
    raise RuntimeError("the pods are not gone")


def store_pods(a, m):
    base = sum(a.pss().values())
    a.call("POST", "/api/v1/nodes", {"metadata": {"name": "fake"}, "spec": {"unschedulable": True}})
    pods = "/api/v1/namespaces/default/pods"
    a.create_all(pods, [fake_pod(i) for i in range(PODS)])
    stored = len(a.call("GET", pods))
    time.sleep(SETTLE_S)
    full = sum(a.pss().values())
    a.call("DELETE", pods + "?gracePeriodSeconds=0")
    wait_empty(a)
    time.sleep(SETTLE_S)
    after = sum(a.pss().values())
    m["pods"].add((full - base) / 2**20)
    m["pods"].add_limit("JSON of the list", stored / 2**20)
    m["after"].add((after - base) / 2**20)
    m["after"].add_limit("JSON of the list", stored / 2**20)


def start_once(build, m, sides, pods):
    a = Instance(build)
    try:
        ready, node = a.up()
        m["readyz"].add(ready)
        m["node"].add(node)
        exec_us = sides["limits"]("spawn", 40, "/bin/busybox")
        for x in ("readyz", "node"):
            m[x].add_limit("11 × vfork + exec", 11 * sorted(exec_us)[20] / 1000)
        if not pods:
            return
        time.sleep(SETTLE_S)
        pss = a.pss()
        m["idle"].add(sum(pss.values()) / 2**20)
        m["idle"].add_limit("11 idle static processes", idle_processes(11) / 2**20)
        sides["pss"] = pss
        store_pods(a, m)
    finally:
        a.close()


def control_plane(directory, m):
    c = ControlPlane(directory)
    if not c.built():
        m["idle"].baseline(KUBERNETES, BASELINE["memory_mib"])
        m["readyz"].baseline(KUBERNETES, BASELINE["readyz_ms"])
        return
    try:
        m["readyz"].add_peer(KUBERNETES, c.start())
        time.sleep(SETTLE_S)
        m["idle"].add_peer(KUBERNETES, c.pss_mib())
    finally:
        c.stop()


def measure(build, directory, rounds, limits, rows, notes):
    m = {"idle": Measure(1, "idle, all services and init, PSS", "MiB"),
         "pods": Measure(1, f"{PODS} pods stored: growth, PSS", "MiB"),
         "after": Measure(1, f"those {PODS} pods deleted: growth left", "MiB"),
         "readyz": Measure(2, "`atoll up` to /readyz", "ms"),
         "node": Measure(2, "`atoll up` to node Ready", "ms")}
    sides = {"limits": limits}
    for i in range(rounds):
        say(f"rows 1, 2: round {i + 1} of {rounds}")
        start_once(build, m, sides, pods=1 in rows)
        if 2 in rows:
            start_once(build, m, sides, pods=False)
        control_plane(directory, m)
    if "pss" in sides:
        each = ", ".join(f"{k} {v / 2**20:.1f}" for k, v in sorted(sides["pss"].items(), key=lambda x: -x[1]))
        notes.append(f"Idle, MiB PSS by service, last round: {each}.")
    if not ControlPlane(directory).built():
        notes.append(f"{KUBERNETES}: its kit is not built here ($PEER_HOME). Its figures are that kit's own, measured another day on two "
                     "cores: RSS of etcd, kube-apiserver, controller-manager and scheduler; exec to /readyz of kube-apiserver alone.")
    return [x for x in m.values() if x.row in rows and x.ours]
