"""Row 5: LIST of 10,000 pods, one and 16 at once, and what memory the server takes to serve them."""
import json
import time
from pathlib import Path

from measure import Measure, say
from peers import KUBERNETES
from row_idle import fake_pod
from sides import Sides, memory_mib, memory_reset

PODS = 10_000
PATH = "/api/v1/namespaces/default/pods"
LISTS = {1: 3, 16: 16}  # clients: lists a round


def store_pods(side, program, directory):
    """The same pods on both sides; no scheduler takes them, no node runs them."""
    pod = {"apiVersion": "v1", "kind": "Pod", **fake_pod(0)}
    pod["metadata"]["name"] = "p-" + "#" * 8
    del pod["spec"]["nodeName"]
    pod["spec"]["schedulerName"] = "none"
    body = Path(directory) / "pod.json"
    body.write_text(json.dumps(pod))
    side.load(program, "--path", PATH, "--post", body, "--clients", 32, "--count", PODS, "--ms", 60_000)


def measures():
    m = {}
    for n in LISTS:
        who = f"LIST {PODS:,} pods, TLS 1.3, {n} at once" if n > 1 else f"LIST {PODS:,} pods, TLS 1.3, one after another"
        m[n, "mb"] = Measure(5, who, "MB/s", more=True)
        m[n, "rate"] = Measure(5, who, "lists/s", more=True)
        m[n, "growth"] = Measure(5, f"{who}: highest growth of the API server and its store", "MiB")
    return m


def one_side(side, program, path, n, base, pids, add):
    memory_reset(pids)
    r = side.load(program, "--path", path, "--clients", n, "--count", LISTS[n], "--ms", 60_000)
    add("mb", r["bytes"] / 1e6 / r["seconds"])
    add("rate", r["requests"] / r["seconds"])
    add("growth", max(memory_mib(pids, "VmHWM") - base, 0.001))
    return r["bytes"] / r["requests"]


def measure(build, directory, rounds, limits, rows, notes):
    m = measures()
    program = str(Path(build) / "bench/bench_load")
    s = Sides(build, directory, notes)
    try:
        sides = [(s.ours_tls, s.api_pids, PATH, None)]
        if s.kube:
            sides.append((s.kube, [s.plane.pid("apiserver"), s.plane.pid("etcd")], PATH + "?resourceVersion=0", KUBERNETES))
        for side, *_ in sides:
            say(f"row 5: {PODS:,} pods in {side.name}")
            store_pods(side, program, directory)
        time.sleep(3)
        base = [memory_mib(pids) for _, pids, _, _ in sides]
        sizes = {}
        for i in range(rounds):
            say(f"row 5: round {i + 1} of {rounds}")
            for n in LISTS:
                for (side, pids, path, peer), b in zip(sides, base):
                    sizes[side.name] = one_side(side, program, path, n, b, pids, lambda key, v, n=n, peer=peer: (
                        m[n, key].add_peer(peer, v) if peer else m[n, key].add(v)))
    finally:
        s.close()
    notes.append("Row 5: kube-apiserver answers from its cache (resourceVersion=0), ours always with the latest state; bytes of one list: "
                 + ", ".join(f"{k} {v:,.0f}" for k, v in sizes.items()) + ". Growth: highest resident memory during the lists over that "
                 "before the first one. 100,000 pods are left out: creating them at kube-apiserver alone takes longer than the run may.")
    return list(m.values())
