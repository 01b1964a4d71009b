"""Samples to figures: median and p99, ratios to a peer and to the machine's own limit; one table, CSV, docs/benchmarks.md."""
import csv
import datetime
import os
import platform
import re
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
RESULTS = TOP / "bench" / "results"
DOC = TOP / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: written by make bench -->", "<!-- end of results -->"
HEADS = ["row", "what", "unit", "Atoll", "p99", "peer", "peer median", "peer p99", "ours ÷ peer", "limit", "limit median",
         "ours ÷ limit"]


def percentile(samples, part):
    s = sorted(samples)
    at = part * (len(s) - 1)
    low = int(at)
    high = min(low + 1, len(s) - 1)
    return s[low] + (s[high] - s[low]) * (at - low)


class Measure:
    """One thing measured: our samples, those of each peer, those of the limit. `more`: a higher figure is the better one, and
    p99 is then the figure that 99 % of the samples reach."""

    def __init__(self, row, what, unit, more=False):
        self.row, self.what, self.unit, self.more = row, what, unit, more
        self.ours, self.peers, self.limit_name, self.limit = [], {}, "", []

    def add(self, *values):
        self.ours += values

    def add_peer(self, name, *values):
        self.peers.setdefault(name, []).extend(values)

    def baseline(self, name, value):
        """A figure of another day: told apart in the table."""
        self.peers[f"{name} (baseline, not this run)"] = [value]

    def add_limit(self, name, *values):
        self.limit_name = name
        self.limit += values

    def p99(self, samples):
        return percentile(samples, 0.01 if self.more else 0.99)

    def lines(self):
        """One line per peer, at least one."""
        mine = percentile(self.ours, 0.5)
        limit = percentile(self.limit, 0.5) if self.limit else None
        out = []
        for name, samples in self.peers.items() or [("–", [])]:
            theirs = percentile(samples, 0.5) if samples else None
            out.append([self.row, self.what, self.unit, number(mine), number(self.p99(self.ours)), name, number(theirs),
                        number(self.p99(samples)) if len(samples) > 1 else "–", ratio(mine, theirs), self.limit_name or "–",
                        number(limit), ratio(mine, limit)])
        return out


def number(x):
    if x is None:
        return "–"
    if abs(x) >= 1000:
        return f"{x:,.0f}"
    return f"{x:.3g}" if abs(x) < 100 else f"{x:.0f}"


def ratio(a, b):
    return "–" if b is None or not b else f"{a / b:.3g}"


def say(text):
    print(f"[{time.monotonic() - say.began:6.1f} s] {text}", flush=True)


say.began = time.monotonic()


def machine():
    with open("/proc/meminfo") as f:
        ram_kib = int(re.search(r"MemTotal:\s+(\d+)", f.read()).group(1))
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    cpu = model.group(1).strip() if model else platform.machine()
    return f"Linux {platform.release()}, {os.cpu_count()} cores ({cpu}), {ram_kib / 2**20:.1f} GiB RAM"


def write_csv(measures, stamp):
    RESULTS.mkdir(parents=True, exist_ok=True)
    table, raw = RESULTS / f"{stamp}.csv", RESULTS / f"{stamp}-samples.csv"
    with open(table, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(HEADS)
        for m in measures:
            w.writerows(m.lines())
    with open(raw, "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["row", "what", "unit", "who", "value"])
        for m in measures:
            for who, samples in [("Atoll", m.ours), *m.peers.items(), (f"limit: {m.limit_name}", m.limit)]:
                w.writerows([m.row, m.what, m.unit, who, f"{v:.6g}"] for v in samples)
    return table


def print_table(measures):
    lines = [HEADS] + [[str(c) for c in line] for m in measures for line in m.lines()]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    for line in lines:
        print("  ".join(c.ljust(w) if i in (1, 2, 5, 9) else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip())


def write_doc(measures, notes, load):
    """Replaces the part of docs/benchmarks.md between its two marks."""
    text = DOC.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    out = [BEGIN, "", f"{today}. {machine()}. Load average of the last minute before the run: {load:.1f}.", "",
           "| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    out += ["| " + " | ".join(str(c) for c in line) + " |" for m in measures for line in m.lines()]
    out += [""] + [f"- {n}" for n in notes] + ([""] if notes else [])
    DOC.write_text(head + "\n".join(out) + END + tail)
