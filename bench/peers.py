"""The peers: nginx, crun, podman when installed, Kubernetes 1.20 when its kit is built. Nothing here is started unless a row asks."""
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from measure import TOP

# Kubernetes 1.20.2 with etcd 3.4 on two cores of such a machine, from the README of its kit.
BASELINE = {"memory_mib": 534e6 / 2**20, "readyz_ms": 3400, "get_per_s": 5494, "pod_running_ms": 1003, "pods_per_s": 5.3}
KUBERNETES = "Kubernetes 1.20"


class Nginx:
    """One process that serves one static file: on a unix socket, and over TLS with HTTP/1.1 or HTTP/2."""

    CONFIG = """
daemon off; master_process off; worker_processes 1; pid {d}/nginx.pid; error_log {d}/error.log crit;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600;
  open_file_cache max=10; default_type application/json; ssl_protocols TLSv1.3;
  client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
  ssl_certificate {d}/server.crt; ssl_certificate_key {d}/server.key; root {d}/www;
  server {{ listen unix:{d}/nginx.sock; }}
  server {{ listen 127.0.0.1:8443 ssl http2; }}
}}
"""

    def __init__(self, directory, answer):
        d = Path(directory)
        (d / "www").mkdir()
        (d / "www/object").write_bytes(answer)
        (d / "nginx.conf").write_text(self.CONFIG.format(d=d))
        self.sock, self.port = f"{d}/nginx.sock", 8443
        self.process = subprocess.Popen(["nginx", "-p", str(d), "-c", f"{d}/nginx.conf"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.sock), "nginx does not start")
        self.pid = self.process.pid

    def close(self):
        self.process.kill()
        self.process.wait()


def certificate(directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", f"{directory}/server.key", "-out", f"{directory}/server.crt"],
                   check=True, stderr=subprocess.DEVNULL)


def wait_for(check, message, seconds=10):
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise RuntimeError(message)
        time.sleep(0.005)


def run(*argv, **kw):
    return subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=30, **kw)


class Crun:
    """`crun run` of the same root directory and command: in the network of its caller, or with a network namespace and a veth."""

    def __init__(self, directory, rootfs):
        self.d = Path(directory) / "crun"
        self.d.mkdir()
        self.n = 0
        run("crun", "spec", cwd=self.d)
        spec = json.loads((self.d / "config.json").read_text())
        spec["process"].update(terminal=False, args=["/bin/busybox", "sleep", "3600"])
        spec["root"] = {"path": str(rootfs), "readonly": False}
        spec["linux"]["cgroupsPath"] = f"/atoll-bench-{os.getpid()}"
        self.spec = spec

    def start(self, with_link):
        """Milliseconds until it runs, and what ends it."""
        self.n += 1
        name, net = f"atoll-bench-{os.getpid()}-{self.n}", f"ab{self.n}"
        spaces = [s for s in self.spec["linux"]["namespaces"] if s["type"] != "network"]
        if with_link:
            spaces.append({"type": "network", "path": f"/run/netns/{net}"})
        self.spec["linux"]["namespaces"] = spaces
        (self.d / "config.json").write_text(json.dumps(self.spec))
        began = time.monotonic()
        if with_link:
            self.link(net)
        run("crun", "--root", str(self.d / "state"), "--cgroup-manager=cgroupfs", "run", "--detach", "--bundle", str(self.d), name,
            stdin=subprocess.DEVNULL)
        took = (time.monotonic() - began) * 1000
        run("crun", "--root", str(self.d / "state"), "--cgroup-manager=cgroupfs", "delete", "--force", name)
        if with_link:
            run("ip", "netns", "delete", net)
        return took

    def link(self, net):
        run("ip", "netns", "add", net)
        host = f"v{net}"
        run("ip", "-batch", "-", text=True,
            input=f"link add {host} type veth peer name eth0 netns {net}\nlink set {host} up\n")
        run("ip", "-n", net, "-batch", "-", text=True,
            input="link set lo up\naddr add 10.99.0.2/24 dev eth0\nlink set eth0 up\nroute add default via 10.99.0.1\n")


class Podman:
    def __init__(self, directory, rootfs):
        self.base = ["podman", "--root", f"{directory}/podman", "--runroot", f"{directory}/podman-run", "--cgroup-manager=cgroupfs"]
        self.rootfs = str(rootfs)

    @staticmethod
    def installed():
        return shutil.which("podman") is not None

    def start(self):
        began = time.monotonic()
        name = subprocess.check_output([*self.base, "run", "-d", "--network=none", "--rootfs", self.rootfs, "/bin/busybox", "sleep",
                                        "3600"], text=True, timeout=60).strip()
        took = (time.monotonic() - began) * 1000
        run(*self.base, "rm", "-f", "-t", "0", name)
        return took


class Redis:
    """One redis-server on a unix socket that keeps nothing on disk."""

    def __init__(self, directory):
        self.sock = f"{directory}/redis.sock"
        self.process = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", self.sock, "--save", "", "--appendonly", "no",
                                         "--maxclients", "4000", "--client-output-buffer-limit", "pubsub 0 0 0", "--dir",
                                         str(directory)], stdout=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.sock), "redis-server does not start")

    def pids(self):
        return [self.process.pid]

    def close(self):
        self.process.kill()
        self.process.wait()


class ControlPlane:
    """kube-apiserver, etcd, scheduler and controller-manager of the peer kit, when it is built. `make bench` never builds it."""

    HINT = ("Kubernetes 1.20 was not measured: it is not built here. Build it once (Debian's source package, about 20 minutes, 5 GB) with "
            "tests/peers/k8s-1.20/build.sh base, then run `make bench` again.")

    def __init__(self, directory):
        self.run_dir = Path(directory) / "peer"
        self.kit = Path(os.environ.get("PEER_KIT", TOP / "tests/peers/k8s-1.20"))
        default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "peers/k8s-1.20"
        self.home = Path(os.environ.get("PEER_HOME", default))
        self.port, self.etcd_port = 16443, 12379

    def built(self):
        return (self.kit / "run-controlplane.sh").exists() and (self.home / "bin/kube-apiserver").exists()

    def command(self, verb):
        env = dict(os.environ, PEER_HOME=str(self.home), RUN=str(self.run_dir))
        return subprocess.run([str(self.kit / "run-controlplane.sh"), verb], text=True, env=env, timeout=120, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def start(self):
        """Milliseconds from the start of kube-apiserver to /readyz (etcd runs before)."""
        return float(re.search(r"readyz ok: (\d+) ms", self.command("start")).group(1))

    def pss_mib(self):
        return sum(int(line.split()[2]) for line in self.command("mem").splitlines()[1:]) / 1024

    def pid(self, name="apiserver"):
        return int((self.run_dir / "pid" / name).read_text())

    def pids(self):
        return [self.pid(n) for n in ("etcd", "apiserver", "kcm", "scheduler")]

    def client_files(self):
        return str(self.run_dir / "pki/admin.crt"), str(self.run_dir / "pki/admin.key")

    def curl(self, path, *more):
        crt, key = self.client_files()
        return subprocess.check_output(["curl", "-sSf", "-k", "--cert", crt, "--key", key, *more,
                                        f"https://127.0.0.1:{self.port}{path}"], timeout=60)

    def create(self, path, body):
        self.curl(path, "-H", "Content-Type: application/json", "-d", json.dumps(body))

    def stop(self):
        self.command("clean")
