#!/usr/bin/env python3
"""Crash consistency, all of it: `make crash` (well over an hour on two cores); --short is the slice that `make test` runs.

On a disk in memory (disk.h): kill -9 at every persistent call of a 200-operation workload, power failures, and every failing
call. On a running Atoll whose services are killed and paused: linearizable histories, and watches that equal the log.
Every line names the seed it ran with; --seed N repeats one. The last line is `N passed, N failed, N skipped`.
"""
import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/e2e"))
PROGRAMS = ["store_crash", "history", "watchers"]
# name, program and arguments: short, full
STORE = [("disk that lies", ["lies"], ["lies"]),
         ("kill -9", ["kill", "--images", 300], ["kill", "--images", 10000]),
         ("power failure", ["power", "--images", 4000], ["power", "--images", 500000]),
         ("failing calls", ["faults", "--images", 1500], ["faults", "--images", 60000])]
CLUSTER = [("histories", "history", ["--histories", 1500], ["--histories", 100000]),
           ("watches", "watchers", ["--watchers", 50, "--events", 3000, "--kills", 2],
            ["--watchers", 1000, "--events", 10000, "--kills", 100])]


def build(build_dir):
    r = subprocess.run(["ninja", "-C", build_dir, "atoll", *(f"tests/crash/{p}" for p in PROGRAMS)], capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"the crash tests do not build:\n{r.stdout[-3000:]}")


@contextlib.contextmanager
def atoll_to_harm():
    import atoll_cluster as ac
    with contextlib.ExitStack() as stack:
        ns = ac.NetworkNamespace(f"atoll-crash-{os.getpid()}")
        stack.callback(ns.delete)
        stack.callback(ac.set_namespace, ns.enter())
        root = tempfile.mkdtemp(prefix="atoll-crash-")
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        os.chmod(root, 0o755)
        atoll = ac.Atoll(root, number=80)
        stack.callback(atoll.down, "--purge")
        atoll.up()
        yield atoll


class Run:
    def __init__(self, build_dir, seed):
        self.programs, self.seed = Path(build_dir) / "tests/crash", seed
        self.passed = self.failed = 0

    def start(self, program, args, seed):
        return subprocess.Popen([str(x) for x in (self.programs / program, *args, "--seed", seed)], stdout=subprocess.PIPE, text=True)

    def end(self, name, process):
        out = process.communicate()[0].strip()
        good = process.returncode == 0
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        print(f"  {name}: {out if out else 'no output'}{'' if good else f' (exit {process.returncode})'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--build", default=os.environ.get("ATOLL_BUILD", str(TOP / "build")))
    args = parser.parse_args()
    os.environ["ATOLL_BUILD"] = args.build
    build(args.build)
    run, skipped = Run(args.build, args.seed), 0
    for name, short, full in STORE:
        # Two at once, with seeds far apart: one for each core.
        seeds = [args.seed] if args.short or name != "power failure" else [args.seed, args.seed + 1000000]
        for p in [run.start("store_crash", short if args.short else full, s) for s in seeds]:
            run.end(name, p)
    if os.geteuid():
        print("  histories, watches: skipped, they need root", flush=True)
        skipped = len(CLUSTER)
    for name, program, short, full in CLUSTER if not os.geteuid() else []:
        with atoll_to_harm() as atoll:
            import atoll_cluster as ac
            run.end(name, run.start(program, ["--atoll", ac.ATOLL, "--root", atoll.root, *(short if args.short else full)], args.seed))
    print(f"{run.passed} passed, {run.failed} failed, {skipped} skipped")
    sys.exit(run.failed > 0)


if __name__ == "__main__":
    main()
