"""Fairness: what a neighbour's GETs wait for while another client does what it likes. Both are service accounts on the unix socket.
The neighbour sends at a fixed rate, and his latency counts from when each request was due. Rounds of quiet and of each attack
alternate in one run. Clients of a cluster have processors of their own; here they share the machine's cores with the server. So the
neighbour's generator, which needs little, comes first on them (SCHED_FIFO) and the attacker has what nobody else wants (cpu.idle): a
server that wants all of a core gets it, and the attacker always has as many requests open as he has connections. The round "busy" is
what the machine makes of that by itself: the attacker's generator only computes. The turns of the api service's loop are told beside
it, out of its own atoll_loop_turn_seconds, and so is how long it was ready to run and did not get a processor.

  bench/row_fair.py --build DIR [--rounds N] [--ms N] [ATTACK…]      by itself, as root, in network and mount namespaces
"""
import argparse
import gzip
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

from instance import Instance
from measure import Measure, percentile, say

RATE, CONNECTIONS = 500, 1000
BUSY = "busy"
NOBODY = 65534
PODS, BIG_BYTES = 10_000, 1_000_000
# Of `make bench`: who asks for more than his share, and clients that do what no client should.
GREEDY = [BUSY, "GET", "LIST", "create", "patch", "watch"]
EVIL = ["unread lists", "slow heads", "slow bodies", "idle", "huge bodies", "deep JSON", "alias bombs", "smuggling", "decompression", "selector",
        "long selector"]
NEIGHBOUR = "/api/v1/namespaces/default/configmaps/fair"
CONFIG_MAPS = "/api/v1/namespaces/abuse/configmaps"
JSON = "application/json"
PODS_PATH = "/api/v1/namespaces/abuse/pods"

# Nine of each before: 9^9 in the end.
ALIASES = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))

# Headers beside those that belong to a request.
MORE = {"smuggling": "Transfer-Encoding: chunked\r\n", "decompression": "Content-Encoding: gzip\r\n"}

# name: what the clients do with an answer, method, path, content type, body, connections
ATTACKS = {
    "GET": ("ask", "GET", CONFIG_MAPS + "/big", None, None, CONNECTIONS),
    "GET small": ("ask", "GET", CONFIG_MAPS + "/small", None, None, CONNECTIONS),
    "LIST": ("ask", "GET", PODS_PATH, None, None, CONNECTIONS),
    "LIST by field": ("ask", "GET", PODS_PATH + "?fieldSelector=spec.nodeName%3Dnone", None, None, CONNECTIONS),
    "create": ("ask", "POST", CONFIG_MAPS, JSON, {"metadata": {"generateName": "x"}, "data": {"k": "v" * 500}}, CONNECTIONS),
    "patch": ("ask", "PATCH", CONFIG_MAPS + "/big", "application/merge-patch+json", {"data": {"k": "########" + "y" * BIG_BYTES}}, 100),
    "watch": ("drop", "GET", PODS_PATH + "?watch=1&resourceVersion=0", None, None, CONNECTIONS),
    "unread lists": ("hold", "GET", PODS_PATH, None, None, CONNECTIONS),
    "slow heads": ("drip", "GET", CONFIG_MAPS + "/small", None, None, CONNECTIONS),
    "slow bodies": ("drip", "POST", CONFIG_MAPS, JSON, {"metadata": {"generateName": "x"}, "data": {"k": "v" * 50_000}}, CONNECTIONS),
    "idle": ("idle", "GET", CONFIG_MAPS + "/small", None, None, 10_000),
    "huge bodies": ("ask", "POST", CONFIG_MAPS, JSON, {"data": {"k": "v" * 4_000_000}}, CONNECTIONS),
    "deep JSON": ("ask", "POST", CONFIG_MAPS, JSON, "[" * 100_000, CONNECTIONS),
    "alias bombs": ("ask", "POST", CONFIG_MAPS, "application/yaml", ALIASES, CONNECTIONS),
    "smuggling": ("ask", "POST", CONFIG_MAPS, JSON, "0\r\n\r\nGET /x HTTP/1.1\r\n\r\n", CONNECTIONS),
    "decompression": ("ask", "POST", CONFIG_MAPS, JSON, gzip.compress(b" " * 100_000_000), CONNECTIONS),
    "selector": ("ask", "GET", PODS_PATH + "?labelSelector=" + ",".join(f"!t{i}" for i in range(1000)), None, None, CONNECTIONS),
    "long selector": ("ask", "GET", PODS_PATH + "?labelSelector=" + ",".join(f"!t{i}" for i in range(100_000)), None, None, CONNECTIONS),
    BUSY: ("burn", "GET", NEIGHBOUR, None, None, 1),
}


def request(token, method, path, kind=None, body=None, more=""):
    data = body if isinstance(body, bytes) else b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{more}"
    if kind:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
    return head.encode() + b"\r\n" + data


def account(a, name):
    """A service account that may do everything; its token."""
    a.call("POST", "/api/v1/namespaces/abuse/serviceaccounts", {"metadata": {"name": name}})
    a.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "metadata": {"name": f"fair-{name}"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "abuse"}]})
    path = f"/api/v1/namespaces/abuse/serviceaccounts/{name}/token"
    return json.loads(a.call("POST", path, {"spec": {"expirationSeconds": 3600}}))["status"]["token"]


def fill(a):
    a.call("POST", "/api/v1/namespaces", {"metadata": {"name": "abuse"}})
    for path, name, n in ((NEIGHBOUR.rsplit("/", 1)[0], "fair", 1800), (CONFIG_MAPS, "small", 1800), (CONFIG_MAPS, "big", BIG_BYTES)):
        a.call("POST", path, {"metadata": {"name": name}, "data": {"k": "x" * n}})
    pod = {"schedulerName": "nobody", "containers": [{"name": "c", "image": "none", "env": [{"name": f"V{i}", "value": "x" * 30} for i in range(10)]}]}
    a.create_all(PODS_PATH, ({"metadata": {"name": f"pod-{i:05}", "labels": {"n": str(i % 10)}}, "spec": pod} for i in range(PODS)))


class Turns:
    """What the api service tells about its loop, as differences."""

    def __init__(self, a):
        self.a, self.pid = a, a.pid("api")

    def now(self):
        text = self.a.call("GET", "/metrics").decode()
        found = re.findall(r'^atoll_loop_turn_seconds_bucket\{le="([^"]+)"\} (\d+)$', text, re.M)
        waited = sum(int(open(f"/proc/{self.pid}/task/{t}/schedstat").read().split()[1]) for t in os.listdir(f"/proc/{self.pid}/task"))
        return {float(le): int(n) for le, n in found}, waited

    @staticmethod
    def between(before, after):
        """Bounds in ms below which 99 % of the turns, and all, have ended."""
        n = {le: after[0][le] - before[0][le] for le in after[0]}
        total = n[float("inf")]
        bound = {part: next((le * 1000 for le in sorted(n) if n[le] >= total * part), 0) for part in (0.99, 0.999, 1)}
        return {"turns": total, "bound": bound, "waited_ms": (after[1] - before[1]) / 1e6}


def steady(program, sock, file, ms):
    return subprocess.Popen([program, "steady", sock, file, str(RATE), str(ms)], stdout=subprocess.PIPE, text=True,
                            preexec_fn=lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))


class LastOfAll:
    """A control group that gets what nobody else wants (cpu.idle). Nice 19 is not enough: the kernel would still give it some per
    cent of the server's core, for a tick of 4 ms each time, and those would be the neighbour's p99."""

    def __init__(self):
        self.group = None
        for top in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"):
            group = Path(top) / f"atoll-bench-{os.getpid()}"
            try:
                group.mkdir()
                (group / "cpu.idle").write_text("1")
                self.group = group
                return
            except OSError:
                if group.exists():
                    group.rmdir()
        say("there is no cpu.idle: the attacker is only nice, and takes some of the server's processor")

    def enter(self):
        """In the attacker, before it begins."""
        os.setsid()
        os.nice(19)
        if self.group:
            (self.group / "cgroup.procs").write_text(str(os.getpid()))
        os.setuid(NOBODY)  # who is not authenticated yet is told apart by the user, as by the address elsewhere

    def close(self):
        if self.group:
            self.group.rmdir()


def one_round(program, a, turns, files, attack, ms, last):
    evil = None
    if attack:
        mode, n = ATTACKS[attack][0], ATTACKS[attack][-1]
        evil = subprocess.Popen([program, mode, a.sock, files[attack], str(n), str(ms + 1500)], stdout=subprocess.PIPE, text=True,
                                preexec_fn=last.enter)
        try:
            evil.wait(timeout=0.7)  # all have connected and asked
        except subprocess.TimeoutExpired:
            pass
    before = turns.now()
    p = steady(program, a.sock, files["neighbour"], ms)
    out = json.loads(p.communicate(timeout=60)[0])
    out["turns"] = Turns.between(before, turns.now())
    if evil:
        out["evil"] = json.loads(evil.communicate(timeout=60)[0])
    if out["refused"] or out["lost"]:
        raise RuntimeError(f"the neighbour was refused {out['refused']} times and lost {out['lost']} connections")
    return out


def run(build, rounds, ms, attacks):
    program = str(Path(build) / "bench/bench_fair")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    a, last, results = Instance(build), LastOfAll(), {}
    try:
        a.up()
        fill(a)
        tokens = {name: account(a, name) for name in ("neighbour", "abuser")}
        files = {}
        for name, data in {"neighbour": request(tokens["neighbour"], "GET", NEIGHBOUR),
                           **{n: request(tokens["abuser"], *x[1:5], MORE.get(n, "")) for n, x in ATTACKS.items()}}.items():
            files[name] = os.path.join(a.root, "request-" + name.replace(" ", "-"))
            Path(files[name]).write_bytes(data)
        os.chmod(a.root, 0o755)  # the attacker is another user
        turns = Turns(a)
        for _ in range(rounds):
            for attack in attacks:
                for which in (None, attack):
                    r = one_round(program, a, turns, files, which, ms, last)
                    results.setdefault(which, []).append(r)
                    t = r["turns"]
                    say(f"{which or 'quiet'}: p50 {r['p50_us'] / 1000:.2f} p99 {r['p99_us'] / 1000:.2f} max {r['max_us'] / 1000:.1f} ms; "
                        f"{t['turns']} turns, 99 % < {t['bound'][0.99]:g}, 99.9 % < {t['bound'][0.999]:g}, all < {t['bound'][1]:g} ms; no processor "
                        f"{t['waited_ms']:.0f} ms" + (f"; abuser {r['evil']['answered']} answered {r['evil']['refused']} refused" if which else ""))
    finally:
        a.close()
        last.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return results


def measure(build, directory, rounds, limits, rows, notes):
    results, out = run(build, rounds, 1000, GREEDY + EVIL), []
    quiet = percentile([r["p99_us"] for r in results[None]], 0.5)
    for attack, rs in results.items():
        m = Measure(19, f"neighbour's GET p99, {'evil: ' if attack in EVIL else ''}{attack or 'quiet'}", "ms")
        m.add(*(r["p99_us"] / 1000 for r in rs))
        if attack:
            m.add_limit("quiet", quiet / 1000)
        out.append(m)
    worst = max(r["turns"]["bound"][0.99] for rs in results.values() for r in rs)
    notes.append(f"Row 19: one service account's {CONNECTIONS} connections against another's {RATE} GETs/s. On the server's cores the neighbour's "
                 "generator comes first (SCHED_FIFO) and the attacker has what nobody else wants (cpu.idle); busy is the machine itself: "
                 "the attacker only computes. "
                 f"99 % of the turns of the api service's loop were shorter than {worst:g} ms in every round.")
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    p.add_argument("--build", required=True)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--ms", type=int, default=2000)
    o = p.parse_args()
    if os.environ.get("ATOLL_BENCH_INSIDE") != "1":
        argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", sys.executable, *sys.argv]
        return subprocess.run(argv, env=dict(os.environ, ATOLL_BENCH_INSIDE="1")).returncode
    import run as bench
    bench.network()
    bench.cover_unified()
    results = run(os.path.abspath(o.build), o.rounds, o.ms, o.attacks or list(ATTACKS))
    quiet = percentile([r["p99_us"] for r in results[None]], 0.5)
    for attack, rs in results.items():
        p50, p99 = (percentile([r[k] for r in rs], 0.5) / 1000 for k in ("p50_us", "p99_us"))
        bound = percentile([r["turns"]["bound"][0.99] for r in rs], 0.5)
        print(f"{attack or 'quiet':14} p50 {p50:8.2f} ms  p99 {p99:8.2f} ms  × {p99 * 1000 / quiet:5.1f} of quiet  99 % of turns < {bound:g} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
