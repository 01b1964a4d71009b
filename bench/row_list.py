"""Row 5: LIST of 10,000 pods, one and 16 at once, then of 100,000, and what memory the server takes to serve them."""
import json
import time
from pathlib import Path

from measure import Measure, say
from peers import KUBERNETES
from row_idle import fake_pod
from sides import Floor, Sides, memory_mib, memory_reset

PODS, MANY = 10_000, 100_000
PATH = "/api/v1/namespaces/default/pods"
LISTS = {1: 6, 16: 32}  # clients: lists a round
MANY_LISTS = 2  # of 100,000 pods, one after another, in one round
CREATE_MS = 300_000
FLOOR = "as many constant bytes"


def store_pods(side, program, directory, first, n):
    """The same pods on both sides; no scheduler takes them, no node runs them."""
    pod = {"apiVersion": "v1", "kind": "Pod", **fake_pod(0)}
    pod["metadata"]["name"] = "p-" + "#" * 8
    del pod["spec"]["nodeName"]
    pod["spec"]["schedulerName"] = "none"
    body = Path(directory) / "pod.json"
    body.write_text(json.dumps(pod))
    side.load(program, "--path", PATH, "--post", body, "--clients", 32, "--first", first, "--count", n, "--ms", CREATE_MS,
              timeout=CREATE_MS / 1000 + 20)


def measures():
    m = {}
    for pods, n in ((PODS, 1), (PODS, 16), (MANY, 1)):
        who = f"LIST {pods:,} pods, TLS 1.3, {n} at once" if n > 1 else f"LIST {pods:,} pods, TLS 1.3, one after another"
        m[pods, n, "mb"] = Measure(5, who, "MB/s", more=True)
        m[pods, n, "rate"] = Measure(5, who, "lists/s", more=True)
        m[pods, n, "growth"] = Measure(5, f"{who}: highest growth of the API server and its store", "MiB")
    return m


def one_side(side, program, path, n, lists, base, pids, add):
    memory_reset(pids)
    r = side.load(program, "--path", path, "--clients", n, "--count", lists, "--ms", CREATE_MS)
    add("mb", r["bytes"] / 1e6 / r["seconds"])
    add("rate", r["requests"] / r["seconds"])
    add("growth", max(memory_mib(pids, "VmHWM") - base, 0.001))
    return r["bytes"] / r["requests"]


def one_round(m, sides, ways, program, pods, n, lists, base, sizes):
    for (side, pids, path, peer), b in zip(ways, base):
        def add(key, v, peer=peer):
            m[pods, n, key].add_peer(peer, v) if peer else m[pods, n, key].add(v)
        with sides.alone(side):
            sizes[side.name] = one_side(side, program, path, n, lists, b, pids, add)


def floor_round(m, sides, build, directory, program, pods, n, lists, size):
    floor = Floor(directory, f"{build}/bench/bench_bulk", Floor.PORT, int(size), None)
    try:
        with sides.alone(floor.side):
            r = floor.side.load(program, "--path", "/", "--clients", n, "--count", lists, "--ms", CREATE_MS)
    finally:
        floor.close()
    m[pods, n, "mb"].add_limit(FLOOR, r["bytes"] / 1e6 / r["seconds"])
    m[pods, n, "rate"].add_limit(FLOOR, r["requests"] / r["seconds"])


def fill(ways, program, directory, first, n):
    for side, *_ in ways:
        say(f"row 5: {first + n:,} pods in {side.name}")
        store_pods(side, program, directory, first, n)
    time.sleep(3)
    return [memory_mib(pids) for _, pids, _, _ in ways]


def measure(build, directory, rounds, limits, rows, notes):
    m = measures()
    program = str(Path(build) / "bench/bench_load")
    s = Sides(build, directory, notes)
    sizes = {}
    try:
        ways = [(s.ours_tls, s.api_pids, PATH, None)]
        if s.kube:
            ways.append((s.kube, [s.plane.pid("apiserver"), s.plane.pid("etcd")], PATH + "?resourceVersion=0", KUBERNETES))
        base = fill(ways, program, directory, 0, PODS)
        for i in range(rounds):
            say(f"row 5: round {i + 1} of {rounds}")
            for n in LISTS:
                one_round(m, s, ways, program, PODS, n, LISTS[n], base, sizes)
                floor_round(m, s, build, directory, program, PODS, n, LISTS[n], sizes[s.ours_tls.name])
        told = ", ".join(f"{k} {v:,.0f}" for k, v in sizes.items())
        base = fill(ways, program, directory, PODS, MANY - PODS)
        say(f"row 5: {MANY_LISTS} lists of {MANY:,} pods")
        one_round(m, s, ways, program, MANY, 1, MANY_LISTS, base, sizes)
        floor_round(m, s, build, directory, program, MANY, 1, MANY_LISTS, sizes[s.ours_tls.name])
    finally:
        s.close()
    notes.append(f"Row 5: kube-apiserver answers from its cache (resourceVersion=0), ours always with the latest state; bytes of one list of "
                 f"{PODS:,}: {told}. Growth: highest resident memory during the lists over that before the first one. The lists of {MANY:,} pods "
                 f"are measured once, after all rounds of the others. The limit ({FLOOR}) is one process that encrypts and sends them from one buffer "
                 "to the same generator, which has the other core, and does nothing else. Who is not measured is stopped meanwhile.")
    return list(m.values())
