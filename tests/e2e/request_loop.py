"""A loop of requests that may lose none, and what to look at when one is lost all the same.

A request that hangs is looked at while it hangs: afterwards its connection is gone from both ends.
"""
import glob
import os
import re
import subprocess
import threading
import time

LONG_S, MAX_S = 2.0, 5
FORM = ("connect %{time_connect} first byte %{time_starttransfer} total %{time_total} s, "
        "%{local_ip}:%{local_port} -> %{remote_ip}:%{remote_port}, HTTP %{http_code}")
CPU_GROUPS = "/sys/fs/cgroup/cpu" if os.path.isdir("/sys/fs/cgroup/cpu") else "/sys/fs/cgroup"


def read(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError as e:
        return f"({e.strerror})\n"


def output(*args):
    try:
        return subprocess.run(args, capture_output=True, text=True, errors="replace", timeout=5).stdout
    except (OSError, subprocess.TimeoutExpired) as e:
        return f"({e})\n"


def processes_of_pods():
    """Pod processes with their state, where they wait, and how long they ran and waited for a CPU (ns)."""
    for procs in glob.glob(f"{CPU_GROUPS}/atoll-*/pod*/**/cgroup.procs", recursive=True):
        group = procs[len(CPU_GROUPS):-len("/cgroup.procs")]
        for pid in read(procs).split():
            name, _, state = read(f"/proc/{pid}/stat").partition(") ")
            if state and not name.endswith("(pause"):
                yield f"{group[:24]}…{group[-8:]} {name}) {state[:1]} {read(f'/proc/{pid}/wchan')} ran/waited/turns " \
                      f"{read(f'/proc/{pid}/schedstat').strip()}"


def evidence(ip):
    """What may make a request hang, now: its packets, its server's processes, and what else the machine does."""
    parts = {  # what changes soonest comes first
        "sockets": output("ss", "-tnpiO", "dst", ip),
        "connections the kernel tracks": "".join(
            line + "\n" for line in read("/proc/net/nf_conntrack").splitlines() if f"={ip} " in line and "TIME_WAIT" not in line),
        "processes of pods": "\n".join(processes_of_pods()),
        "runs or waits for a disk": "\n".join(
            line for line in output("ps", "-eLo", "state,pid,ni,wchan:24,cgroup:40,args").splitlines() if line[:1] in "RD"),
        "load": read("/proc/loadavg"),
        **{f"pressure {k}": read(f"/proc/pressure/{k}") for k in ("cpu", "io", "memory")},
        "neighbours": output("ip", "neigh"),
        "endpoints in the rules": "\n".join(
            line for line in output("nft", "list", "ruleset").splitlines() if ip in line or "dnat" in line),
        "frozen": " ".join(p for p in glob.glob("/sys/fs/cgroup/freezer/atoll-*/pod*/**/freezer.state", recursive=True)
                           if read(p).strip() != "THAWED"),
    }
    return "\n".join(f"-- {k}\n{v.rstrip()[:6000]}" for k, v in parts.items() if v.strip())


class Failure:
    """A request that failed: what curl said, and what was seen while it hung."""

    def __init__(self, text, took, seen):
        self.text, self.took, self.at, self.seen = text, took, time.time(), seen

    def __repr__(self):
        return f"{time.strftime('%H:%M:%S', time.gmtime(self.at))} after {self.took:.2f} s: {self.text}\n{self.seen}"


class RequestLoop:
    """Requests a URL again and again in a thread; remembers every failure."""

    def __init__(self, url):
        self.url, self.failures, self.count, self.slowest, self.stop = url, [], 0, 0.0, threading.Event()
        self.ip = re.sub(r"^\w+://|[:/].*$", "", url)
        self.thread = threading.Thread(target=self.loop)

    def request(self):
        start, wall = time.monotonic(), time.time()
        p = subprocess.Popen(["curl", "-sS", "--fail", "--max-time", str(MAX_S), "-o", "/dev/null", "-w", FORM, self.url],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        seen = ""
        try:
            out, err = p.communicate(timeout=LONG_S)
        except subprocess.TimeoutExpired:
            seen = evidence(self.ip)
            out, err = p.communicate()
        took = time.monotonic() - start
        if p.returncode:
            jump = time.time() - wall - took
            self.failures.append(Failure(f"{err.strip()} ({out}); request {self.count}; the wall clock jumped {jump:.3f} s", took, seen))
        self.slowest = max(self.slowest, took)

    def loop(self):
        while not self.stop.is_set():
            self.request()
            self.count += 1
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
