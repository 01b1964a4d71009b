"""Row 10: pod create to Running with the image present: one by one, 30 and 100 at once; `crun run` beside it."""
import os
import threading
import time

from instance import Instance, busybox_rootfs
from measure import Measure, percentile, say
from peers import BASELINE, KUBERNETES, Crun, Podman, wait_for

ONE_BY_ONE = 8
PODS = "/api/v1/namespaces/default/pods"


def pod(name):
    return {"metadata": {"name": name, "labels": {"app": "bench"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                {"name": "c", "image": "bench:1", "imagePullPolicy": "IfNotPresent", "command": ["/bin/busybox", "sleep", "3600"]}]}}


class Watcher:
    """Notes when each pod is first seen Running, and when it is gone."""

    def __init__(self, a):
        self.changed = threading.Condition()
        self.running, self.gone = {}, set()
        version = a.get(PODS)["metadata"]["resourceVersion"]
        self.events = a.watch(f"{PODS}?watch=1&resourceVersion={version}&timeoutSeconds=600")
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        try:
            for e in self.events:
                now, o = time.monotonic(), e["object"]
                states = o.get("status", {}).get("containerStatuses", [])
                with self.changed:
                    if e["type"] == "DELETED":
                        self.gone.add(o["metadata"]["name"])
                    elif o["status"].get("phase") == "Running" and all("running" in s["state"] for s in states):
                        self.running.setdefault(o["metadata"]["name"], now)
                    self.changed.notify_all()
        except (OSError, ValueError, KeyError):
            pass  # the instance ends; who waits says what is missing

    def wait(self, where, names, seconds):
        deadline = time.monotonic() + seconds
        with self.changed:
            while not all(n in where for n in names):
                if not self.changed.wait(deadline - time.monotonic()):
                    raise RuntimeError(f"{sum(n not in where for n in names)} of {len(names)} pods are late")


def remove(a, w, names):
    """Until nothing is left of them on the machine either."""
    a.call("DELETE", PODS + "?labelSelector=app%3Dbench&gracePeriodSeconds=0")
    w.wait(w.gone, names, 60)
    wait_for(lambda: not shims_kib(), "shims of removed pods stay", 60)


def one_by_one(a, w, tag, m, crun, podman):
    for i in range(ONE_BY_ONE):
        name = f"{tag}-{i}"
        began = time.monotonic()
        a.call("POST", PODS, pod(name))
        w.wait(w.running, [name], 20)
        m["one"].add((w.running[name] - began) * 1000)
        remove(a, w, [name])
        m["one"].add_peer("crun run, host network", crun.start(False))
        m["one"].add_peer("crun run + namespace + veth", crun.start(True))
        if podman and i < 2:
            m["one"].add_peer("podman run", podman.start())


def at_once(a, w, tag, n, m):
    names = [f"{tag}-{n}-{i}" for i in range(n)]
    began = time.monotonic()
    a.create_all(PODS, [pod(x) for x in names])
    w.wait(w.running, names, 90)
    m.add(n / (max(w.running[x] for x in names) - began))
    return names


def shims_kib():
    """RSS of the shims: this process namespace holds no others."""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/status") as f:
                text = f.read()
        except OSError:
            continue
        if text.startswith("Name:\tatoll-shim") and "VmRSS:" in text:
            out.append(int(text.split("VmRSS:")[1].split()[0]))
    return out


def a_round(a, w, i, m, crun, podman):
    one_by_one(a, w, f"r{i}", m, crun, podman)
    crun_s = sum(m["one"].peers["crun run + namespace + veth"][-ONE_BY_ONE:]) / ONE_BY_ONE / 1000
    for n in (30, 100):
        names = at_once(a, w, f"r{i}", n, m[n])
        m[n].add_peer("crun run + namespace + veth, one after another", 1 / crun_s)
        if n == 100:
            m["shim"].add(*shims_kib())
            m["memory"].add(sum(a.pss().values()) / 2**20)
        remove(a, w, names)


def limit_ms(limits, directory):
    """Five namespaces and an exec, and three durable writes: the pod, its binding, its status."""
    isolate = limits("isolate", 20, "/bin/busybox")
    sync = limits("sync", 30, f"{directory}/sync")
    return (percentile(isolate, 0.5) + 3 * percentile(sync, 0.5)) / 1000


def measure(build, directory, rounds, limits, rows, notes):
    m = {"one": Measure(10, "pod create to Running, one by one", "ms"),
         30: Measure(10, "30 pods at once", "pods/s", more=True),
         100: Measure(10, "100 pods at once", "pods/s", more=True),
         "shim": Measure(10, "shim, RSS", "KiB"),
         "memory": Measure(10, "all services with 100 pods running, PSS", "MiB")}
    rootfs = busybox_rootfs(directory)
    crun, podman = Crun(directory, rootfs), Podman(directory, rootfs) if Podman.installed() else None
    if not podman:
        notes.append("podman is not installed here: not measured.")
    a = Instance(build)
    try:
        a.up()
        a.import_busybox(rootfs)
        w = Watcher(a)
        for i in range(rounds):
            say(f"row 10: round {i + 1} of {rounds}")
            m["one"].add_limit("5 namespaces + exec + 3 fdatasync", limit_ms(limits, directory))
            a_round(a, w, i, m, crun, podman)
    finally:
        a.close()
    m["one"].baseline(KUBERNETES, BASELINE["pod_running_ms"])
    m[30].baseline(KUBERNETES, BASELINE["pods_per_s"])
    notes.append("Row 10: a pod goes the whole way: durable create, scheduler, node, network, crun, durable status, watch. "
                 "Kubelet and containerd are those of the kit's README, another day.")
    return list(m.values())
