"""Row 3: durable creates of 2 KB ConfigMaps by 1, 64 and 1,000 clients, and by 64 that are streams of one HTTP/2 connection."""
import json
from pathlib import Path

from measure import Measure, percentile, say
from peers import KUBERNETES
from sides import Floor, Sides

CLIENTS = {1: 1000, 64: 1000, 1000: 3000}  # how many: milliseconds
PATH = "/api/v1/namespaces/default/configmaps"
SERIAL = "#" * 8
BODY = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c-{SERIAL}"}, "data": {"page": "x" * 1790}}
STREAMS = "TLS 1.3, HTTP/2, one connection"
ETCD = "etcd 3.4, gRPC without TLS"
FLOOR, ANSWER_BYTES = "one process: TLS + fdatasync, constant answer", 2300


def field(number, data):
    """One field of protobuf with bytes."""
    n, size = len(data), b""
    while n > 0x7f:
        size += bytes([n & 0x7f | 0x80])
        n >>= 7
    return bytes([number << 3 | 2]) + size + bytes([n]) + data


def put_request():
    """etcdserverpb.PutRequest {key, value}, framed for gRPC; the value is as long as what ConfigMaps come to."""
    m = field(1, f"/bench/{SERIAL}".encode()) + field(2, b"x" * 2008)
    return b"\0" + len(m).to_bytes(4, "big") + m


def start_floor(build, directory):
    """One process that writes and syncs what arrives together and then answers each with a constant: no HTTP, no authorisation, no admission,
    no encoding, no audit, no database, no second process."""
    return Floor(directory, f"{build}/bench/bench_constant", "port", Floor.PORT, ANSWER_BYTES, None, f"{directory}/floor")


class Creator:
    def __init__(self, program, directory, sides):
        self.program, self.sides, self.first = program, sides, 0
        self.json, self.grpc = Path(directory) / "body.json", Path(directory) / "put.bin"
        self.json.write_text(json.dumps(BODY))
        self.grpc.write_bytes(put_request())

    def run(self, side, clients, *flags):
        is_etcd = "--grpc" in side.where
        self.first += 300_000
        path = "/etcdserverpb.KV/Put" if is_etcd else PATH
        with self.sides.alone(side):
            r = side.load(self.program, "--path", path, "--post", self.grpc if is_etcd else self.json, "--clients", clients, "--ms",
                          CLIENTS[clients], "--first", self.first, *flags)
        return r["requests"] / r["seconds"], r["sent"] / max(r["all_cpu_s"], 0.01), r["p50_us"] / 1000, r["p99_us"] / 1000


KEYS = ("rate", "cpu", "p50", "p99")


def measures():
    m = {}
    for way, n in [*((way, n) for way in ("TLS 1.3", "unix socket") for n in CLIENTS), (STREAMS, 64)]:
        who = f"durable create, 2 KB, {way}, {n:,} client{'s' if n > 1 else ''}"
        m[way, n, "rate"] = Measure(3, who, "creates/s", more=True)
        m[way, n, "cpu"] = Measure(3, f"{who}: per CPU second of all services", "creates/s of CPU", more=True)
        m[way, n, "p50"] = Measure(3, f"{who}: median", "ms")
        m[way, n, "p99"] = Measure(3, f"{who}: p99", "ms")
    return m


def one_round(s, c, m, n, relay_us, floor):
    for key, v in zip(KEYS, c.run(floor.side, n)):
        m["TLS 1.3", n, key].add_limit(FLOOR, v)
    for way, side in (("TLS 1.3", s.ours_tls), ("unix socket", s.ours_unix)):
        for key, v in zip(KEYS, c.run(side, n)):
            m[way, n, key].add(v)
        if n == 1 and way == "unix socket":
            m[way, n, "rate"].add_limit("three processes + fdatasync", 1e6 / relay_us)
    if not s.kube:
        return
    for side, name in ((s.kube, KUBERNETES), (s.etcd, ETCD)):
        for key, v in zip(KEYS, c.run(side, n)):
            m["TLS 1.3" if side is s.kube else "unix socket", n, key].add_peer(name, v)


def one_connection(s, c, m):
    for key, v in zip(KEYS, c.run(s.ours_tls, 64, "--h2", "--streams", 64)):
        m[STREAMS, 64, key].add(v)
    if s.kube:
        for key, v in zip(KEYS, c.run(s.kube, 64, "--h2", "--streams", 64)):
            m[STREAMS, 64, key].add_peer(KUBERNETES, v)


def measure(build, directory, rounds, limits, rows, notes):
    m = measures()
    program = str(Path(build) / "bench/bench_load")
    floor = start_floor(build, directory)
    try:
        for i in range(rounds):
            say(f"row 3: round {i + 1} of {rounds}")
            relay_us = percentile(limits("relay", 300, f"{directory}/relay"), 0.5)
            s = Sides(build, directory, notes)
            try:
                c = Creator(program, directory, s)
                for n in CLIENTS:
                    one_round(s, c, m, n, relay_us, floor)
                one_connection(s, c, m)
            finally:
                s.close()
    finally:
        floor.close()
    notes.append("Row 3: every answer is durable (fdatasync) on both sides, data on the same disk, one generator; who is not measured is stopped "
                 "meanwhile. Each round begins with empty stores: ours would else have a million objects where the others have 60,000. Ours over "
                 "the unix socket stands beside etcd alone, which is asked to Put by gRPC, one connection a client, without TLS, without "
                 "authorisation and without admission. Ours writes an audit line for each. The limit with TLS takes the same requests on as many "
                 "connections: what has arrived together is written past the page cache and synced, then answered.")
    return list(m.values())
