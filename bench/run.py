"""`make bench`: rows 1 to 10, 18 and 19 of the performance goals beside what runs here of their peers. Ours and the peer alternate in
the same run, at least five rounds; a table, a CSV under bench/results, and docs/benchmarks.md.

  bench/run.py [--rounds N] [--build DIR] [--no-doc] [ROW…]

Runs in network, mount and process namespaces of its own: whatever a round leaves behind ends with them.
"""
import argparse
import datetime
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import measure
import row_bound
import row_create
import row_fair
import row_get
import row_idle
import row_list
import row_place
import row_pods
import row_quality
import row_scale
import row_watch
from measure import TOP, say

ROWS = {1: row_idle, 2: row_idle, 3: row_create, 4: row_get, 5: row_list, 6: row_watch, 7: row_place, 8: row_bound, 9: row_quality, 10: row_pods,
        18: row_scale, 19: row_fair}
INSIDE = "ATOLL_BENCH_INSIDE"


def arguments():
    p = argparse.ArgumentParser(prog="bench/run.py", description="Rows: 1 memory, 2 start, 3 create, 4 GET, 5 LIST, 6 watch, 7 placement, 8 create to "
                                "bound, 9 placement quality, 10 pods, 18 scale, 19 fairness.")
    p.add_argument("rows", nargs="*", type=int, choices=[[], *ROWS], metavar="ROW")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--build", default=os.environ.get("BUILD", str(TOP / "build")))
    p.add_argument("--traces", help="directory of the openb trace for row 9 (or ATOLL_TRACES)")
    p.add_argument("--no-doc", action="store_true", help="leave docs/benchmarks.md as it is")
    o = p.parse_args()
    if o.rounds < 1:
        p.error("--rounds must be at least 1")
    o.rows = sorted(set(o.rows or ROWS))
    o.build = os.path.abspath(o.build)
    if o.traces:
        os.environ["ATOLL_TRACES"] = os.path.abspath(o.traces)
    return o


def prepare(o):
    subprocess.run([str(TOP / "tools/setup"), "bench"], check=True)
    subprocess.run(["ninja", "-C", o.build, "--quiet", "atoll", "shim/atoll-shim", "bench/bench_load", "bench/bench_watch",
                    "bench/bench_constant", "bench/bench_bulk", "bench/bench_limits", "bench/bench_place", "bench/bench_replay", "bench/bench_fair"], check=True)


def network():
    """The namespace has a loopback and an uplink that leads nowhere, so that the node has an address."""
    for line in ("link set lo up", "link add up0 type bridge", "addr add 192.0.2.1/24 dev up0", "link set up0 up",
                 "route add default via 192.0.2.2"):
        subprocess.run(["ip", *line.split()], check=True)


def cover_unified():
    """crun by itself refuses a hybrid of both cgroup versions; in this mount namespace the second one is covered."""
    unified = "/sys/fs/cgroup/unified"
    if os.path.exists(f"{unified}/cgroup.controllers"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", unified], check=True)


def limits_of(build):
    def limits(kind, n, what):
        out = subprocess.check_output([f"{build}/bench/bench_limits", kind, str(n), what], text=True, timeout=60)
        return [float(x) for x in out.split()]
    return limits


def run_rows(o, directory):
    done, measures, notes, failed = set(), [], [], []
    for row in o.rows:
        module = ROWS[row]
        if module in done:
            continue
        done.add(module)
        scratch = Path(directory) / module.__name__
        scratch.mkdir()
        wanted = [r for r in o.rows if ROWS[r] is module]
        try:
            measures += module.measure(o.build, scratch, o.rounds, limits_of(o.build), wanted, notes)
        except Exception:  # what the others have measured is kept
            traceback.print_exc()
            failed.append(module.__name__)
    return measures, notes, failed


def inside(o):
    load = os.getloadavg()[0]
    network()
    cover_unified()
    directory = tempfile.mkdtemp(prefix="atoll-bench-")
    try:
        measures, notes, failed = run_rows(o, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print()
    measure.print_table(measures)
    print()
    for n in notes:
        print(f"- {n}")
    print(f"\n{measure.machine()}; load average before the run {load:.1f}")
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    print(f"written: {measure.write_csv(measures, stamp).relative_to(TOP)}")
    if failed:
        print(f"failed: {', '.join(failed)}")
    elif not o.no_doc and o.rows == sorted(ROWS):
        measure.write_doc(measures, notes, load)
        print(f"written: {measure.DOC.relative_to(TOP)}")
    return 1 if failed else 0


def main():
    o = arguments()
    if os.environ.get(INSIDE):
        return inside(o)
    if os.geteuid() != 0:
        print("bench: must be root: sudo make bench", file=sys.stderr)
        return 1
    prepare(o)
    say("measuring; all rows take about half an hour")
    return subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
                           sys.executable, *sys.argv], env=dict(os.environ, **{INSIDE: "1"}, PYTHONDONTWRITEBYTECODE="1"),
                          timeout=3600).returncode


if __name__ == "__main__":
    sys.exit(main())
