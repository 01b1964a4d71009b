"""Row 7: placements per second in process, at 5,000 and 10,000 nodes, of pods that are all alike and of 100 templates mixed."""
import re
import subprocess

from measure import Measure, say

SIZES = (5000, 10_000)
PODS = 20_000
CI_FLOOR = "upstream's CI floor at 5,000 nodes (published, another machine)"
# kind: what it is called here, pods a second that upstream's scheduler_perf demands of its own runs (None: it has no such figure)
KINDS = {"basic": ("plain pods", 680), "of_service": ("pods of a service, spread softly", None), "node_affinity": ("node affinity", 220),
         "pod_affinity": ("pod affinity", 35), "pod_anti_affinity": ("pod anti-affinity", 60), "preemption": ("preemption of 3 pods each", 570),
         "preemption_spread": ("the same, victims spread", None), "preemption_anti_affinity": ("the same with anti-affinity", None)}
LINE = re.compile(r"^place_(\w+?)(_mixed)? nodes=\d+ placed=\d+ .*per_second=(\d+)$", re.M)


def the_measure(m, nodes, kind, mixed):
    name, floor = KINDS.get(kind, (kind.replace("_", " "), None))
    if (kind, mixed) not in m:
        what = f"placement, {nodes:,} nodes, {name}" + (", 100 templates mixed" if mixed else "")
        m[kind, mixed] = Measure(7, what, "pods/s of CPU", more=True)
        if floor:
            m[kind, mixed].peers[CI_FLOOR] = [floor]
    return m[kind, mixed]


def measure(build, directory, rounds, limits, rows, notes):
    out = []
    for nodes in SIZES:
        m = {}
        for i in range(rounds):
            say(f"row 7: {nodes:,} nodes, round {i + 1} of {rounds}")
            text = subprocess.run([f"{build}/bench/bench_place", str(nodes), str(PODS)], stdout=subprocess.PIPE, text=True, check=True,
                                  timeout=300).stdout
            for kind, mixed, rate in LINE.findall(text):
                the_measure(m, nodes, kind, mixed).add(float(rate))
        out += m.values()
    notes.append("Row 7: one thread, no API: each pod is decided and counted. Pods all alike are the best case, since one cache of scores serves them "
                 "all; mixed ones come from 100 templates in no order, on nodes of three sizes. The peer's figures are the least that upstream "
                 "accepts of its whole scheduler with an API server beside it.")
    return out
