"""An Atoll of the benchmark: its own root directory under /tmp, reached through its unix socket as system:admin."""
import base64
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def pss_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1)) * 1024


class Instance:
    PORT = 6443

    def __init__(self, build):
        self.atoll = str(Path(build) / "atoll")
        self.root = tempfile.mkdtemp(prefix="atoll-bench-")
        self.sock = f"{self.root}/run/atoll/api.sock"
        self.local = threading.local()

    # ---- life ----

    def up(self):
        """Returns milliseconds to /readyz and to node Ready, as a client sees them."""
        began = time.monotonic()
        p = subprocess.Popen([self.atoll, "up", "--root", self.root, "--listen", f"127.0.0.1:{self.PORT}", "--node-name", "bench",
                              "--daemon"], stdout=subprocess.DEVNULL)
        ready = self.wait_readyz(began + 20) - began
        node = self.wait_node(began + 30) - began
        if p.wait(timeout=20) != 0:
            raise RuntimeError("atoll up failed")
        return ready * 1000, node * 1000

    def wait_readyz(self, deadline):
        while time.monotonic() < deadline:
            c = UnixConnection(self.sock)
            try:
                c.request("GET", "/readyz")
                if c.getresponse().status == 200:
                    return time.monotonic()
            except OSError:
                pass
            finally:
                c.close()
            time.sleep(0.001)
        raise RuntimeError(f"the API is not ready; see {self.root}/var/log/atoll/atoll.log")

    def wait_node(self, deadline):
        for e in self.watch("/api/v1/nodes?watch=1&timeoutSeconds=30"):
            if any(c["type"] == "Ready" and c["status"] == "True" for c in e["object"]["status"].get("conditions", [])):
                return time.monotonic()
            if time.monotonic() > deadline:
                break
        raise RuntimeError("the node does not become Ready")

    def down(self):
        subprocess.run([self.atoll, "down", "--root", self.root, "--purge"], stdout=subprocess.DEVNULL, timeout=60, check=True)

    def close(self):
        try:
            self.down()
        except (subprocess.SubprocessError, OSError):
            pass
        shutil.rmtree(self.root, ignore_errors=True)

    def status(self):
        return json.loads(subprocess.check_output([self.atoll, "status", "--root", self.root, "-o", "json"]))

    def pid(self, service):
        return next(s["pid"] for s in self.status()["services"] if s["name"] == service)

    def pss(self):
        """Bytes of all services and init, each page shared by n processes counted as 1/n."""
        s = self.status()
        return {p["name"]: pss_bytes(p["pid"]) for p in [*s["services"], {"name": "init", **s["init"]}]}

    # ---- the API ----

    def call(self, method, path, body=None, ok=(200, 201, 202)):
        """One connection per thread, kept alive."""
        c = getattr(self.local, "connection", None)
        if c is None:
            c = self.local.connection = UnixConnection(self.sock)
        try:
            c.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            r = c.getresponse()
            data = r.read()
        except (OSError, http.client.HTTPException):
            c.close()
            self.local.connection = None
            raise
        if r.status not in ok:
            raise RuntimeError(f"{method} {path}: {r.status} {data[:300]}")
        return data

    def get(self, path):
        return json.loads(self.call("GET", path))

    def watch(self, path):
        c = UnixConnection(self.sock, timeout=60)
        try:
            c.request("GET", path)
            r = c.getresponse()
            while line := r.readline():
                yield json.loads(line)
        finally:
            c.close()

    def forget_connection(self):
        self.local = threading.local()

    def create_all(self, path, objects, threads=8):
        """Creates them from several clients at once."""
        left, failed = iter(objects), []
        lock = threading.Lock()

        def client():
            try:
                while True:
                    with lock:
                        o = next(left, None)
                    if o is None:
                        return
                    self.call("POST", path, o)
            except Exception as e:  # told to the caller below
                failed.append(e)
        workers = [threading.Thread(target=client) for _ in range(threads)]
        for t in workers:
            t.start()
        for t in workers:
            t.join()
        if failed:
            raise failed[0]

    def client_files(self, directory):
        """The admin's certificate and key, out of the kubeconfig."""
        text = Path(self.root, "etc/atoll/admin.kubeconfig").read_text()
        paths = []
        for field in ("client-certificate-data", "client-key-data"):
            data = re.search(rf"{field}:\s*\"?([A-Za-z0-9+/=]+)", text).group(1)
            paths.append(os.path.join(directory, field))
            Path(paths[-1]).write_bytes(base64.b64decode(data))
        return paths

    # ---- images ----

    def import_busybox(self, directory, name="bench:1"):
        subprocess.run([self.atoll, "image", "from-dir", str(directory), "--name", name, "--root", self.root], check=True,
                       stdout=subprocess.DEVNULL)


def busybox_rootfs(directory):
    root = Path(directory) / "rootfs"
    for d in ("bin", "tmp", "etc", "dev", "proc", "sys"):
        (root / d).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in ("sh", "sleep", "true"):
        (root / "bin" / applet).symlink_to("busybox")
    return root
