"""Row 13: messaging. 64-byte messages from one process to one, eight and a thousand, round trips, and what one stalled subscriber does
to the others; beside ZeroMQ, nng, nanomsg, nats-server and redis in the same run, each over a unix socket where it has one. A rate is of
delivered messages, and the delivered share stands beside it: some of the peers drop.

  bench/row_sp.py --build DIR [--rounds N] [--quick] [WHAT…]     as root: the service has a user of its own
"""
import argparse
import datetime
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
from measure import Measure, percentile, say
from peers import wait_for

BYTES = 64
OURS = {"library": "atoll", "preloaded": "posix", "socket file": "socket"}
PEERS = {"zmq": "zmq", "nng": "nng", "nanomsg": "nanomsg", "nats": "text", "redis": "text"}
# Messages of one burst to 1 and to 8, so that each side takes about a second; round trips.
BURST = {"library": (5_000_000, 500_000), "preloaded": (5_000_000, 500_000), "socket file": (100_000, 20_000), "zmq": (1_000_000, 100_000),
         "nng": (50_000, 10_000), "nanomsg": (200_000, 30_000), "nats": (500_000, 100_000), "redis": (300_000, 60_000)}
TRIPS = {"library": 20_000, "preloaded": 20_000}
WHAT = ("one", "eight", "drop", "cost", "trips", "stall")


def topology(name, pattern, **queue):
    return {"apiVersion": "sp.atoll.dev/v1", "kind": "Topology", "metadata": {"name": name},
            "spec": {"pattern": pattern, **({"queue": queue} if queue else {})}}


class Service:
    """`atoll sp --config DIR`, alone."""

    def __init__(self, build):
        self.root = Path(tempfile.mkdtemp(prefix="sp-"))
        self.root.chmod(0o755)
        (self.root / "c").mkdir()
        for t in (topology("block", "pubsub", policy="block", blockTimeoutMs=60000), topology("drop", "pubsub"), topology("ask", "reqrep")):
            (self.root / "c" / f"{t['metadata']['name']}.json").write_text(json.dumps(t))
        self.process = subprocess.Popen([f"{build}/atoll", "sp", "--config", str(self.root / "c"), "--root", str(self.root)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.dir = self.root / "run/atoll/sp"
        wait_for(lambda: all((self.dir / n / ".ring" / r).exists() for n, r in (("block", "sub"), ("drop", "sub"), ("ask", "rep"))),
                 "the service does not start")

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.root, ignore_errors=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Peer:
    """A system of others: its server, if it has one, and the address of a fresh run."""

    def __init__(self, name, directory):
        self.name, self.directory, self.n, self.process = name, directory, 0, None
        if name == "nats":
            self.address = f"127.0.0.1:{free_port()}"
            host, port = self.address.split(":")
            self.start("nats-server", "-a", host, "-p", port)
        elif name == "redis":
            self.address = f"{directory}/redis.sock"
            self.start("redis-server", "--port", "0", "--unixsocket", self.address, "--save", "", "--appendonly", "no", "--dir", directory,
                       "--client-output-buffer-limit", "pubsub", "0", "0", "0")
        if self.process:
            wait_for(self.answers, f"{name} does not start")

    def start(self, *argv):
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers(self):
        path = self.name == "redis"
        with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as s:
            host, _, port = self.address.partition(":")
            return s.connect_ex(self.address if path else (host, int(port))) == 0

    def fresh(self):
        if self.process:
            return self.address
        self.n += 1
        return f"ipc://{self.directory}/{self.name}.{self.n}"

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()


class Bench:
    def __init__(self, build, directory):
        self.build, self.service = build, Service(build)
        self.peers = {}
        for name, program in PEERS.items():
            server = {"nats": "nats-server", "redis": "redis-server"}.get(name)
            if Path(f"{build}/bench/bench_sp_{program}").exists() and (not server or shutil.which(server)):
                self.peers[name] = Peer(name, directory)

    def close(self):
        for p in self.peers.values():
            p.close()
        self.service.close()

    def run(self, who, what, *numbers, topology="block"):
        """One line of JSON of one program, or None: it did not end."""
        ours = who in OURS
        address = str(self.service.dir / (topology if what != "trips" else "ask")) if ours else self.peers[who].fresh()
        env = dict(os.environ, BENCH_TEXT=who)
        if who == "preloaded":
            env["LD_PRELOAD"] = f"{self.build}/lib/libatoll-sp-preload.so"
        argv = [f"{self.build}/bench/bench_sp_{OURS[who] if ours else PEERS[who]}", what, address, *map(str, numbers)]
        p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True)
        try:
            out, err = p.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)
            p.communicate()
            return None
        if p.returncode:
            raise RuntimeError(f"{who}: {err.strip()}")
        return json.loads(out)

    def everybody(self):
        return [*OURS, *self.peers]


def title(who):
    return f"Atoll, {who}" if who in OURS else who


class Table:
    """Measures by what they are of; ours are lines of their own, since there are three ways to call it."""

    def __init__(self):
        self.measures = {}

    def add(self, what, unit, who, value, more=False):
        m = self.measures.setdefault((what, "" if who not in OURS else who), Measure(13, f"{what}{', ' + who if who in OURS else ''}", unit, more))
        if who in OURS:
            m.add(value)
        else:
            m.add_peer(who, value)

    def lines(self):
        """The peers beside the library."""
        out = []
        for (what, who), m in self.measures.items():
            if who == "library":
                m.peers.update(self.measures[what, ""].peers if (what, "") in self.measures else {})
            if who:
                out.append(m)
        return out


def streams(b, table, shares, readers, index, rounds):
    what = f"1 → {readers}, {BYTES} B, delivered"
    for _ in range(rounds):
        for who in b.everybody():
            r = b.run(who, "stream", readers, BURST[who][index], BYTES)
            if not r:
                say(f"{what}: {who} did not end")
                continue
            shares.setdefault((what, who), []).append(r["share"])
            table.add(what, "1/s", who, r["delivered_per_s"], more=True)
            say(f"{what}: {title(who)} {r['delivered_per_s']:,.0f}/s, share {r['share']:.4f}, publisher {r['publisher_ns']:.0f} ns")
            if who in OURS and r["share"] != 1:
                raise RuntimeError(f"{who}: block delivered {r['delivered']} of {r['sent'] * readers}")


def drops(b, notes):
    """Every loss is counted: what each reader got and what it counted as lost add up to what was sent."""
    for readers, n in ((1, 3_000_000), (8, 500_000)):
        r = b.run("library", "stream", readers, n, BYTES, topology="drop")
        say(f"1 → {readers}, drop-oldest: share {r['share']:.4f}, counted {r['counted_lost']:,} lost")
        if r["readers_uncounted"]:
            raise RuntimeError(f"{r['readers_uncounted']} readers have not counted what they lost")
        notes.append(f"1 → {readers} under drop-oldest: {r['delivered_per_s']:,.0f} deliveries/s, share {r['share']:.4f}; each reader counted its losses "
                     "exactly.")


def cost(b, table, notes, rounds):
    one, many, shares = [], [], []
    for _ in range(rounds):
        one.append(b.run("library", "stream", 1, 100_000, BYTES, topology="drop")["publisher_ns"])
        r = b.run("library", "stream", 1000, 100_000, BYTES, topology="drop")
        many.append(r["publisher_ns"])
        shares.append(r["share"])
        say(f"publisher's processor time a message: 1 → 1 {one[-1]:.0f} ns, 1 → 1000 {many[-1]:.0f} ns (share {r['share']:.3f})")
        table.add("publisher's processor time a message, 1 → 1000", "ns", "library", many[-1])
    notes.append(f"Publisher's processor time a message: {percentile(one, 0.5):.0f} ns to one reader, {percentile(many, 0.5):.0f} ns to a thousand: "
                 f"× {percentile(many, 0.5) / percentile(one, 0.5):.2f}; under drop-oldest, where a thousand got {min(shares) * 100:.2f} % in the "
                 "worst round.")


def trips(b, table, rounds):
    for _ in range(rounds):
        for who in b.everybody():
            r = b.run(who, "trips", TRIPS.get(who, 5000), BYTES)
            if r:
                table.add(f"round trip, {BYTES} B, median", "µs", who, r["p50_us"])
                say(f"round trip: {title(who)} {r['p50_us']} µs, p99 {r['p99_us']} µs")


def stall(b, table, notes, rounds):
    """Quiet and stalled rounds alternate."""
    quiet, stalled = [], []
    for _ in range(rounds):
        quiet.append(b.run("library", "stream", 100, 1000, BYTES, 500, topology="drop"))
        stalled.append(b.run("library", "stall", 100, 1000, BYTES, 500, topology="drop"))
        say(f"100 subscribers at 500/s: p99 {quiet[-1]['p99_us']:.0f} µs, with one that is stalled {stalled[-1]['p99_us']:.0f} µs")
    p99 = [percentile([r["p99_us"] for r in rs], 0.5) for rs in (quiet, stalled)]
    table.add("p99 of 100 subscribers, one of them stalled", "µs", "library", p99[1])
    notes.append(f"One stalled subscriber of 100: p99 of the others {p99[1]:.0f} µs, without it {p99[0]:.0f} µs ({(p99[1] / p99[0] - 1) * 100:+.1f} %).")


def measure_all(build, directory, rounds, what, notes):
    table, shares = Table(), {}
    b = Bench(build, str(directory))
    try:
        if "one" in what:
            streams(b, table, shares, 1, 0, rounds)
        if "eight" in what:
            streams(b, table, shares, 8, 1, rounds)
        if "drop" in what:
            drops(b, notes)
        if "cost" in what:
            cost(b, table, notes, rounds)
        if "trips" in what:
            trips(b, table, rounds)
        if "stall" in what:
            stall(b, table, notes, rounds)
    finally:
        b.close()
    for (name, who), values in shares.items():
        notes.append(f"{name}: {title(who)} delivered {min(values) * 100:.2f} % in the worst round.")
    return table.lines()


def prepare(build):
    subprocess.run([str(measure.TOP / "tools/setup"), "bench"], check=True)
    subprocess.run(["meson", "setup", "--reconfigure", build], check=False, stdout=subprocess.DEVNULL)
    targets = subprocess.check_output(["ninja", "-C", build, "-t", "targets", "all"], text=True)
    programs = [line.split(":")[0] for line in targets.splitlines() if line.startswith("bench/bench_sp_") and "linker" in line.lower()]
    subprocess.run(["ninja", "-C", build, "--quiet", "atoll", "lib/libatoll-sp-preload.so", *programs], check=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(WHAT))
    p.add_argument("--build", default=os.environ.get("BUILD", str(measure.TOP / "build")))
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--no-setup", action="store_true", help="everything is built")
    o = p.parse_args()
    if os.geteuid():
        sys.exit("bench-sp: must be root: sudo make bench-sp")
    unknown = set(o.what) - set(WHAT)
    if unknown:
        p.error(f"unknown: {' '.join(unknown)}; known: {' '.join(WHAT)}")
    build = os.path.abspath(o.build)
    if not o.no_setup:
        prepare(build)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    load, notes = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory(prefix="atoll-sp-bench-") as directory:
        measures = measure_all(build, directory, o.rounds, o.what or WHAT, notes)
    print()
    measure.print_table(measures)
    print()
    for n in notes:
        print(f"- {n}")
    print(f"\n{measure.machine()}; load average before the run {load:.1f}")
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    print(f"written: {measure.write_csv(measures, 'sp-' + stamp).relative_to(measure.TOP)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
