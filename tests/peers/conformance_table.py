#!/usr/bin/env python3
"""Counts of the conformance suite from the out directories of one or more runs, oldest first: `conformance_table.py DIR...`.

The newest result of a spec counts, also of a run that was cut off. Prints the table of docs/conformance.md, then the name of
every spec that failed or has no result. With --check FILE: fails when FILE has another table or names other specs than those."""
import argparse
import collections
import glob
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = (HERE / "k8s-1.20/conformance.txt").read_text().splitlines()


def results(directories):
    """Name → "passed" or "failed"."""
    out = {}
    for d in directories:
        for log in sorted(glob.glob(f"{d}/run-*.log")):
            for line in open(log, errors="replace"):
                m = re.search(r'\{"msg":"(?:PASSED|FAILED) .*\}', line)
                if m:
                    outcome, name = json.loads(m.group(0))["msg"].split(" ", 1)
                    out[name] = outcome.lower()
    return out


def group(name):
    return re.match(r"\[([^]]+)\]", name).group(1)


def table(state):
    """Markdown: one line per group of the suite, then the sum."""
    kinds = ("passed", "failed", "not run")
    counts = collections.defaultdict(collections.Counter)
    for name in NAMES:
        for key in (group(name), "all"):
            counts[key][state.get(name, "not run")] += 1
    lines = ["| group | specs | passed | failed | not run |", "|---|---|---|---|---|"]
    for key in sorted(set(counts) - {"all"}) + ["all"]:
        c = counts[key]
        lines.append(f"| {key} | {sum(c.values())} | " + " | ".join(str(c[k]) for k in kinds) + " |")
    return lines


def named(text):
    """The specs that a document names: in backquotes, from the bracket of their group on."""
    return re.findall(r"`(\[[a-z0-9.-]+\] .*?) ?`", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="+")
    parser.add_argument("--check", help="a document to compare with")
    args = parser.parse_args()
    state = results(args.directories)
    lines = table(state)
    wrong = [n for n in NAMES if state.get(n) != "passed"]
    print("\n".join(lines))
    for name in wrong:
        print(f"{state.get(name, 'not run')}: {name}")
    if args.check:
        text = Path(args.check).read_text()
        missing = [line for line in lines if line not in text]
        differ = {n.strip() for n in wrong} ^ {n.strip() for n in named(text)}
        if missing or differ:
            sys.exit("\n".join([f"{args.check} lacks: {x}" for x in missing] + [f"{args.check} differs: {x}" for x in sorted(differ)]))


if __name__ == "__main__":
    main()
