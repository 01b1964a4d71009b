"""Row 18: what a decision costs and an object weighs, from 100 nodes and 1,000 pods to 10,000 and 1,000,000, and how much faster than
real time the simulator is. Draws docs/scale.svg and the table beside it.

  bench/row_scale.py [BUILD]      this row alone, with its chart and table
"""
import datetime
import json
import math
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CHART, DOC = TOP / "docs/scale.svg", TOP / "docs/benchmarks.md"
BEGIN, END = "<!-- scale: written by bench/row_scale.py -->", "<!-- /scale -->"
PANELS = (("CPU µs per decision", ((1, "#1b6ca8", "placement of a pod", "placement_us"), (0, "#c0392b", "reconcile of a ReplicaSet of 100 pods", "reconcile_us"))),
          ("bytes per object", ((1, "#1b6ca8", "a placed pod, scheduler", "scheduler_pod_bytes"), (0, "#c0392b", "a pod, controllers", "world_pod_bytes"),
                                (1, "#2e8b57", "a node, scheduler", "scheduler_node_bytes"))))
W, H, LEFT, TOPY, GAP = 330, 220, 60, 40, 110


def run(build):
    out = subprocess.run([f"{build}/atoll", "sim", "--scale"], stdout=subprocess.PIPE, text=True, check=True, timeout=1800).stdout
    return json.loads(out)


def decades(values):
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def panel(sizes, title, series, x0):
    """One chart, both axes logarithmic. Sizes with the same number of pods stand one above the other."""
    low, high = decades([s[key] for s in sizes for *_, key in series])

    def at(pods, y):
        return (x0 + (math.log10(pods) - 3) / 3 * W, TOPY + H - (math.log10(y) - low) / (high - low) * H)

    out = [f'<text x="{x0}" y="{TOPY - 14}" font-weight="bold">{title}</text>',
           f'<rect x="{x0}" y="{TOPY}" width="{W}" height="{H}" fill="none" stroke="#999"/>']
    for e in range(low, high + 1):
        _, y = at(1000, 10**e)
        out.append(f'<line x1="{x0}" x2="{x0 + W}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/><text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{10**e:,}</text>')
    for e, label in ((3, "1k"), (4, "10k"), (5, "100k"), (6, "1M")):
        x, _ = at(10**e, 10**low)
        out.append(f'<text x="{x:.1f}" y="{TOPY + H + 16}" text-anchor="middle">{label}</text>')
    out.append(f'<text x="{x0 + W / 2}" y="{TOPY + H + 34}" text-anchor="middle">pods</text>')
    for i, (_, colour, name, key) in enumerate(series):
        points = [at(s["pods"], s[key]) for s in sizes]
        out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        out.append(f'<text x="{x0 + 8}" y="{TOPY + H + 54 + 16 * i}" fill="{colour}">{name}</text>')
    return out


def draw(sizes):
    width, height = LEFT + 2 * W + GAP + 20, TOPY + H + 110
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>']
    for i, (title, series) in enumerate(PANELS):
        out += panel(sizes, title, series, LEFT + i * (W + GAP))
    CHART.write_text("\n".join(out + ["</svg>", ""]))


def table(data):
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    speed = data["speed"]
    out = [BEGIN, "", f"{today}, `atoll sim --scale`. A cluster of {speed['nodes']:,} nodes and {speed['pods']:,} pods lives "
           f"{speed['factor']:,.0f} times faster than real: {speed['virtual_s']:,.0f} s in {speed['cpu_s']:.1f} s of one processor.", "",
           "![CPU time per decision and bytes per object over the number of pods](scale.svg)", "",
           "| nodes | pods | placement, µs | reconcile, µs | placed pod, B | node, B | pod of the controllers' world, B |", "|---|---|---|---|---|---|---|"]
    out += [f"| {s['nodes']:,} | {s['pods']:,} | {s['placement_us']:.1f} | {s['reconcile_us']:.0f} | {s['scheduler_pod_bytes']:,.0f} | "
            f"{s['scheduler_node_bytes']:,.0f} | {s['world_pod_bytes']:,.0f} |" for s in data["sizes"]]
    return "\n".join(out + ["", END])


def write(data):
    draw(data["sizes"])
    text = DOC.read_text()
    head, rest = text.split(BEGIN)
    DOC.write_text(head + table(data) + rest.split(END)[1])


def measure(build, directory, rounds, limits, rows, notes):
    from measure import Measure, say

    say("row 18: scale curves")
    data = run(build)
    write(data)
    first, last, speed = data["sizes"][0], data["sizes"][-1], data["speed"]
    out = []
    for key, what, unit in (("placement_us", "placement, 10,000 nodes and 1,000,000 pods", "µs of CPU"),
                            ("reconcile_us", "reconcile of a ReplicaSet of 100 pods among 1,000,000", "µs of CPU"),
                            ("scheduler_pod_bytes", "a placed pod in the scheduler", "bytes"), ("world_pod_bytes", "a pod in the controllers' world", "bytes")):
        m = Measure(18, what, unit)
        m.add(last[key])
        m.add_limit("the same at 100 nodes and 1,000 pods", first[key])
        out.append(m)
    m = Measure(18, f"simulated time, {speed['nodes']:,} nodes", "times real time of CPU", more=True)
    m.add(speed["factor"])
    notes.append("Row 18: one run; the chart is docs/scale.svg.")
    return [*out, m]


if __name__ == "__main__":
    write(run(sys.argv[1] if len(sys.argv) > 1 else TOP / "build"))
