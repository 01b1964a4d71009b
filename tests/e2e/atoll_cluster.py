"""An Atoll under test, and the few helpers that every end-to-end test needs."""
import contextlib
import ctypes
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("ATOLL_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build")))
TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
ATOLL = os.path.join(BUILD, "atoll")
BUSYBOX = "/bin/busybox"
IMAGE = "localhost/busybox:e2e"
CLONE_NEWNET = 0x40000000


def until(check, seconds=20, every=0.05, what="condition"):
    """Polls until check() is true and returns its value. A file that is not there is none. The last value is told when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = check()
        except (FileNotFoundError, ProcessLookupError) as e:
            value = e
        if value and not isinstance(value, OSError):
            return value
        assert time.monotonic() < deadline, f"{what} not reached in {seconds} s: last value {value!r}"
        time.sleep(every)


def run(*args, check=True, text=None, timeout=60, **kw):
    r = subprocess.run([str(a) for a in args], input=text, timeout=timeout, capture_output=True, text=True, errors="replace", **kw)
    assert not check or r.returncode == 0, f"{' '.join(map(str, args))}: exit {r.returncode}\n{r.stdout[-2000:]}\n{r.stderr[-2000:]}"
    return r


ports = itertools.chain.from_iterable(iter(lambda: random.sample(range(20000, 30000), 10000), None))


def free_port():
    """A port that nobody has, and that no client of another connection gets meanwhile: the kernel gives those out from 32768 on."""
    while True:
        with socket.socket() as s, contextlib.suppress(OSError):
            port = next(ports)
            s.bind(("127.0.0.1", port))
            return port


class NetworkNamespace:
    """A named network namespace with loopback up."""

    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def enter(self):
        """Moves the calling thread (and what it starts) in; returns a descriptor of where it was."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        set_namespace(fd)
        os.close(fd)
        return before

    def delete(self):
        run("ip", "netns", "delete", self.name, check=False)


def set_namespace(fd):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def make_rootfs(path):
    """A root file system of busybox with all its applets."""
    for d in ("bin", "tmp", "etc", "root", "www"):
        os.makedirs(f"{path}/{d}")
    os.chmod(f"{path}/tmp", 0o1777)
    os.chmod(path, 0o755)
    shutil.copy(BUSYBOX, f"{path}/bin/busybox")
    for name in run(BUSYBOX, "--list").stdout.split():
        if name != "busybox":
            os.symlink("busybox", f"{path}/bin/{name}")
    with open(f"{path}/etc/passwd", "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    with open(f"{path}/etc/group", "w") as f:
        f.write("root:x:0:\napp:x:1000:\nnogroup:x:65534:\n")


class Atoll:
    """One Atoll under its own root. Names and ranges differ by number, so that many run side by side."""

    def __init__(self, root, number=0, node="n1"):
        self.root, self.port, self.node = str(root), free_port(), node
        self.pod_cidr, self.service_cidr = f"10.{100 + number}.0.0/24", f"10.{150 + number}.0.0/16"
        self.kubeconfig = os.path.join(self.root, "etc/atoll/admin.kubeconfig")
        self.sock = os.path.join(self.root, "run/atoll/api.sock")

    def up(self, *more):
        return run(ATOLL, "up", "--root", self.root, "--listen", f"127.0.0.1:{self.port}", "--node-name", self.node, "--pod-cidr",
                   self.pod_cidr, "--service-cidr", self.service_cidr, "--daemon", *more)

    def down(self, *args):
        return run(ATOLL, "down", "--root", self.root, *args, timeout=120)

    def status(self):
        return json.loads(run(ATOLL, "status", "--root", self.root, "-o", "json").stdout)

    def services(self):
        return {s["name"]: s for s in self.status()["services"]}

    def pid(self, service):
        return self.services()[service]["pid"]

    def kill(self, service):
        os.kill(self.pid(service), signal.SIGKILL)

    def image_from_dir(self, name=IMAGE, change=None, *more):
        with tempfile.TemporaryDirectory() as d:
            os.chmod(d, 0o755)
            make_rootfs(d)
            if change:
                change(d)
            return run(ATOLL, "image", "from-dir", d, "--name", name, "--root", self.root, *more)

    def kubectl(self, *args, check=True, text=None, timeout=60):
        return run("kubectl", "--kubeconfig", self.kubeconfig, *args, check=check, text=text, timeout=timeout)

    def start_kubectl(self, *args, **kw):
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(["kubectl", "--kubeconfig", self.kubeconfig, *args], text=True, **kw)

    def get(self, kind, name, namespace="default"):
        """The object, or None when there is none."""
        r = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(r.stdout) if r.stdout.strip() else None

    def items(self, kind, *more, namespace="default"):
        return json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json", *more).stdout)["items"]

    def apply(self, *objects, namespace="default"):
        for o in objects:
            o.setdefault("apiVersion", "v1")
        return self.kubectl("apply", "-n", namespace, "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def ready(self):
        """Waits until pods can be made."""
        until(lambda: any(c["type"] == "Ready" and c["status"] == "True" for n in self.items("nodes")
                          for c in n.get("status", {}).get("conditions", [])), what="node Ready")
        until(lambda: self.items("serviceaccounts"), what="default service account")
        return self

    def effort(self, ns, seconds=4, services=("controllers", "scheduler")):
        """What these services do while nothing happens: writes to the namespace by the audit log, and seconds of CPU."""
        def ticks():
            return sum(sum(map(int, open(f"/proc/{self.pid(s)}/stat").read().rsplit(")", 1)[1].split()[11:13])) for s in services)

        start, before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), ticks()
        time.sleep(seconds)
        used = (ticks() - before) / os.sysconf("SC_CLK_TCK")
        writes = []
        for name in ("audit.log.1", "audit.log"):
            path = os.path.join(self.root, "var/log/atoll", name)
            for line in open(path) if os.path.exists(path) else []:
                if f"/namespaces/{ns}/" not in line or '"verb":"' not in line or not line.endswith("}\n"):
                    continue
                e = json.loads(line)
                if e["requestReceivedTimestamp"] > start and e["verb"] in ("create", "update", "patch", "delete") and \
                        e["user"]["username"].rpartition(":")[2] in services and e["stage"] == "ResponseComplete":
                    writes.append((e["verb"], e["requestURI"], e.get("responseStatus", {}).get("code")))
        return writes, used

    def leaks(self):
        return run(ATOLL, "debug", "leaks", "--root", self.root, check=False)

    def end(self):
        """Removes all of it and tells what is left."""
        self.down("--purge")
        r = run(ATOLL, "debug", "leaks", "--root", self.root, check=False)
        left = run("ps", "-eo", "pid,args").stdout
        left = [line for line in left.splitlines() if self.root in line and "pytest" not in line]
        mounts = [m for m in open("/proc/self/mounts") if self.root in m]
        assert not left and not mounts and (r.returncode == 0 or not os.path.isdir(f"{self.root}/var/lib/atoll")), \
            f"left over: {left} {mounts} {r.stdout}"


def client_of(atoll):
    """The official client's API object."""
    from kubernetes import client, config
    return client.ApiClient(config.load_kube_config(atoll.kubeconfig) or client.Configuration.get_default_copy())


class Pods:
    """Makes pods in a namespace of its own and looks at them."""

    def __init__(self, atoll, namespace):
        self.atoll, self.namespace, self.count = atoll, namespace, 0

    def make(self, containers, name=None, metadata=None, **spec):
        self.count += 1
        name = name or f"p{self.count}"
        for i, c in enumerate(containers):
            c.setdefault("name", "c" if i == 0 else f"c{i}")
        for c in [*containers, *spec.get("initContainers", [])]:
            c.setdefault("image", IMAGE)
        spec.setdefault("terminationGracePeriodSeconds", 1)
        self.atoll.apply({"kind": "Pod", "metadata": {"name": name, "labels": {"app": name}, **(metadata or {})},
                          "spec": {**spec, "containers": containers}}, namespace=self.namespace)
        return name

    def kubectl(self, *args, **kw):
        return self.atoll.kubectl("-n", self.namespace, *args, **kw)

    def get(self, name):
        return self.atoll.get("pod", name, self.namespace)

    def container(self, name, index=0):
        statuses = self.get(name)["status"].get("containerStatuses", [])
        return statuses[index] if len(statuses) > index else {}

    def running(self, name, seconds=30):
        """Waits for Ready and returns the pod."""
        def check():
            p = self.get(name)
            return p if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", [])) else None
        try:
            return until(check, seconds, what=f"pod {name} Ready")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.kubectl('describe', 'pod', name, check=False).stdout[-3000:]}") from None

    def phase(self, name, want, seconds=30):
        until(lambda: self.get(name)["status"].get("phase") == want, seconds, what=f"pod {name} {want}")
        return self.get(name)

    def waiting(self, name, reason, seconds=30):
        return until(lambda: (w := self.container(name).get("state", {}).get("waiting")) and w.get("reason") == reason and w,
                     seconds, what=f"{name} waiting: {reason}")

    def sh(self, name, script, check=True, container=None):
        return self.kubectl("exec", name, *(["-c", container] if container else []), "--", "sh", "-c", script, check=check).stdout

    def events(self, name):
        return [e for e in self.atoll.items("events", namespace=self.namespace) if e["involvedObject"].get("name") == name]


def sh(script, **more):
    """A container that runs a script."""
    return {"command": ["sh", "-c", script], **more}


def process_of(pod_uid, word):
    """The id of a process of a pod whose command line has the word, found by its cgroup."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if pod_uid in open(f"/proc/{pid}/cgroup").read() and word in open(f"/proc/{pid}/cmdline", "rb").read():
                return pid
        except OSError:
            pass
    raise AssertionError(f"no process {word} of pod {pod_uid}")
