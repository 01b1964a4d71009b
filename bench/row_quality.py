"""Row 9: how much GPU is allocated when the openb trace is replayed, by our score and by the published ones. The trace (CSV files of
"Beware of Fragmentation", USENIX ATC 2023) is no part of this repository: ATOLL_TRACES names its directory."""
import csv
import os
import re
import subprocess
from pathlib import Path

from measure import Measure, say

LISTS = ("default", "cpu250", "gpushare100", "gpuspec33", "multigpu50")
OURS, FGD, BEST_FIT = "atoll", "fgd", "bestfit"
PUBLISHED = {"random": "Random", "dotprod": "DotProd", "clustering": "GpuClustering", "packing": "GpuPacking", "bestfit": "BestFit", "fgd": "FGD"}
AT = 130
HINT = "Row 9 was not measured: ATOLL_TRACES must name the directory of the openb trace (openb_node_list_gpu_node.csv and its pod lists)."


def traces():
    directory = os.environ.get("ATOLL_TRACES", "")
    return Path(directory) if directory and (Path(directory) / "openb_node_list_gpu_node.csv").exists() else None


def published(directory):
    """(list, mode) → the authors' mean over seeds 42 to 51 at 130 %."""
    names = {v: k for k, v in PUBLISHED.items()}
    out = {}
    with open(directory / "expected-summary.csv", newline="") as f:
        for r in csv.DictReader(f):
            if r["metric"] == "gpu_alloc_pct" and int(r["arrived_pct"]) == AT and r["policy"] in names:
                out[r["workload"], names[r["policy"]]] = float(r["mean"])
    return out


def replay(build, directory, which):
    """mode → (mean at 130 %, pods a second)"""
    text = subprocess.run([f"{build}/bench/bench_replay", directory / "openb_node_list_gpu_node.csv", directory / f"openb_pod_list_{which}.csv",
                           "all", "42", "10"], stdout=subprocess.PIPE, text=True, check=True, timeout=300).stdout
    means = {m: float(v) for m, v in re.findall(rf"^([a-z-]+),{AT},([\d.]+),", text, re.M)}
    rates = {m: float(v) for m, v in re.findall(r"^# ([a-z-]+): .*; (\d+) pods/s of CPU$", text, re.M)}
    return {m: (means[m], rates[m]) for m in means}


def measure(build, directory, rounds, limits, rows, notes):
    where = traces()
    if not where:
        notes.append(HINT)
        print(HINT, flush=True)
        return []
    expected = published(where) if (where / "expected-summary.csv").exists() else {}
    out, apart, told = [], [], []
    for which in LISTS:
        say(f"row 9: list {which}")
        got = replay(build, where, which)
        m = Measure(9, f"GPU left idle when {AT} % has arrived, list {which}", "%")
        m.add(100 - got[OURS][0])
        if (which, FGD) in expected:
            m.add_peer("FGD, published mean", 100 - expected[which, FGD])
        told.append(f"{which} {got[OURS][0]:.2f} (FGD {expected.get((which, FGD), got[FGD][0]):.2f})")
        for mode, name in ((FGD, "FGD, this replay"), (BEST_FIT, "best fit, this replay"), ("atoll-learnt", "ours, demand learnt on the way"),
                           ("scheduler", "ours, the whole scheduler, demand learnt")):
            m.add_peer(name, 100 - got[mode][0])
        out.append(m)
        apart += [abs(got[mode][0] - expected[which, mode]) for mode in PUBLISHED if (which, mode) in expected and mode != "random"]
        if which == LISTS[0]:
            speed = Measure(9, "replay of list default, pods decided per CPU second", "pods/s", more=True)
            speed.add(got[OURS][1])
            speed.add_peer("FGD, this replay", got[FGD][1])
            speed.add_peer("ours, the whole scheduler", got["scheduler"][1])
            out.append(speed)
    if apart:
        notes.append(f"Row 9: the published scores but Random, replayed here, differ from their authors' means by {sum(apart) / len(apart):.2f} "
                     f"points in the mean and {max(apart):.2f} at most (the shuffles are our own, seeds 42 to 51).")
    notes.append(f"Row 9: % of the GPU allocated, ours and the published mean: {', '.join(told)}.")
    notes.append("Row 9: pods by name, shuffled by seeds 42 to 51, samples of them appended until 130 %; each is tried once, nothing leaves, ties go "
                 "to the node that comes first in another shuffle. Ours is gpu_cost() of src/scheduler/gpu/gpu.h, as the scheduler's plugin "
                 "GPUFragmentation uses it; it knows of the demand what FGD knows, the typical pods of the list. The whole "
                 "scheduler is sched_place() with every plugin of the default profile over API objects; it knows only what has arrived.")
    return out
