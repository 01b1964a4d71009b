"""Row 6: 1,000 watchers of one collection that changes 1,000 or 2,000 times a second, or as often as 32 clients can have it changed:
deliveries a second and their lag. No side can deliver more than is offered, so that stands beside its rate as the limit; where nothing else
bounds it, a server that only encrypts and sends does."""
import json
import subprocess
from pathlib import Path

from measure import Measure, say
from peers import KUBERNETES, Redis
from sides import Floor, Side, Sides, on_last_core

WATCHERS, EVENTS = 1000, 1000
PATH = "/api/v1/namespaces/default/configmaps"
EVENT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w-" + "#" * 8},
         "data": {"at": "bench-t:" + "@" * 16, "page": "x" * 100}}
REDIS = "redis pub/sub"
FLOOR = "as many constant bytes"


def resp(*parts):
    """A command of redis."""
    return f"*{len(parts)}\r\n".encode() + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class Run:
    def __init__(self, build, directory, event_bytes):
        self.watch, self.load = (str(Path(build) / f"bench/bench_{x}") for x in ("watch", "load"))
        self.first = 0
        d = Path(directory)
        self.body, self.publish, self.subscribe = d / "event.json", d / "publish", d / "subscribe"
        self.body.write_text(json.dumps(EVENT))
        message = b"bench-t:" + b"@" * 16
        self.publish.write_bytes(resp(b"PUBLISH", b"bench", message + b"x" * (event_bytes - len(message) - 1) + b"\n"))
        self.subscribe.write_bytes(resp(b"SUBSCRIBE", b"bench"))

    def once(self, side, version, rate):
        redis = version is None
        what = ["--raw", str(self.subscribe)] if redis else ["--path", f"{PATH}?watch=1&resourceVersion={version}"]
        w = subprocess.Popen([self.watch, *side.where, *what, "--watchers", str(WATCHERS), "--events", str(EVENTS)],
                             stdout=subprocess.PIPE, text=True, preexec_fn=on_last_core)
        try:
            if w.stdout.readline() != "ready\n":
                raise RuntimeError(f"{side.name}: the watchers do not start")
            self.first += EVENTS
            more = ["--post", self.publish, "--raw"] if redis else ["--post", self.body, "--path", PATH]
            pace = ["--rate", rate] if rate else []
            side.load(self.load, *more, "--clients", 32, "--count", EVENTS, *pace, "--ms", 60_000, "--first", self.first)
            return json.loads(w.communicate(timeout=60)[0])
        finally:
            w.kill()
            w.wait()


    def floor(self, s, build, directory, event_bytes):
        """Deliveries a second of a server that only encrypts and sends as much to as many."""
        floor = Floor(directory, f"{build}/bench/bench_bulk", Floor.PORT, event_bytes * EVENTS, None, WATCHERS, event_bytes)
        try:
            argv = [self.watch, *floor.side.where, "--path", "/", "--watchers", str(WATCHERS), "--events", str(EVENTS)]
            with s.alone(floor.side):
                out = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=60, preexec_fn=on_last_core).stdout
        finally:
            floor.close()
        r = json.loads(out.splitlines()[1])
        return r["deliveries"] / r["seconds"]


def version_at(text):
    return json.loads(text)["metadata"]["resourceVersion"]


def event_size(s):
    """Bytes of one event, so that redis carries the same."""
    body = json.loads(json.dumps(EVENT).replace("#" * 8, "size"))
    return len(s.atoll.call("POST", PATH, body)) + len('{"type":"ADDED","object":}\n')


# The ways in, and how many creates a second are asked for (0: as many as 32 clients get).
WAYS = [("TLS 1.3", 1000), ("TLS 1.3", 2000), ("TLS 1.3", 0), ("unix socket", 1000), ("unix socket", 2000)]


def measures():
    m = {}
    for way, rate in WAYS:
        pace = f"{rate:,} creates/s" if rate else "creates as fast as they go"
        who = f"watch, {WATCHERS:,} watchers, {pace}, {way}"
        m[way, rate, "rate"] = Measure(6, who, "deliveries/s", more=True)
        m[way, rate, "lag_p50_ms"] = Measure(6, f"{who}: lag, median", "ms")
        m[way, rate, "lag_p99_ms"] = Measure(6, f"{who}: lag, p99", "ms")
    return m


def version_of(s, peer):
    if peer is None:
        return version_at(s.atoll.call("GET", PATH + "?limit=1"))
    return version_at(s.plane.curl(PATH + "?limit=1")) if peer is KUBERNETES else None


def one_round(s, run, sides, m, lost):
    for way, rate, side, peer in sides:
        version = version_of(s, peer)
        with s.alone(side):
            r = run.once(side, version, rate)
        lost[peer or side.name] = lost.get(peer or side.name, 0) + r["expected"] - r["deliveries"]
        r["rate"] = r["deliveries"] / r["seconds"]
        if rate and not peer:
            m[way, rate, "rate"].add_limit("what is offered", WATCHERS * rate)
        for key in ("rate", "lag_p50_ms", "lag_p99_ms"):
            if peer:
                m[way, rate, key].add_peer(peer, r[key])
            else:
                m[way, rate, key].add(r[key])


def measure(build, directory, rounds, limits, rows, notes):
    m = measures()
    lost = {}
    s = Sides(build, directory, notes)
    redis = None
    try:
        redis = Redis(directory)
        size = event_size(s)
        run = Run(build, directory, size)
        sides = [(way, rate, s.ours_tls if way == "TLS 1.3" else s.ours_unix, None) for way, rate in WAYS]
        sides += [(way, rate, Side(REDIS, ["--unix", redis.sock], redis.pids()), REDIS) for way, rate in WAYS if way == "unix socket"]
        if s.kube:
            sides += [(way, rate, s.kube, KUBERNETES) for way, rate in WAYS if way == "TLS 1.3"]
        for i in range(rounds):
            say(f"row 6: round {i + 1} of {rounds}")
            one_round(s, run, sides, m, lost)
            m["TLS 1.3", 0, "rate"].add_limit(FLOOR, run.floor(s, build, directory, size))
    finally:
        if redis:
            redis.close()
        s.close()
    notes.append(f"Row 6: {EVENTS} creates a round, {size} bytes an event; deliveries a second from the first to the last one; the lag from "
                 "the moment the create is sent, so it includes the durable write that redis does not make. At a fixed pace no side can "
                 "deliver more than is offered: where ours comes close to that (ours ÷ limit), the ratio to a peer that stays behind tells what "
                 "was offered, and only \"as fast as they go\", where each side's own creates set the pace, what it can do; that is the figure of "
                 f"the goal; its limit ({FLOOR}) is one process that encrypts and sends as much to as many. The watchers share one core "
                 "with one another. Who is not measured is stopped meanwhile. "
                 "Deliveries missing: " + ", ".join(f"{k} {v}" for k, v in lost.items()) + ".")
    return list(m.values())
