"""A client of the broker's protocol (src/wire/broker.h), for tests."""
import array
import os
import secrets
import socket
import struct
import subprocess
import uuid

(POD_CREATE, POD_OK, POD_REMOVE, DONE, CONTAINER_START, CONTAINER_OK, CONTAINER_SIGNAL, CONTAINER_REMOVE,
 EXEC, EXEC_OK, EXEC_EXIT, EXEC_RESIZE, EXEC_KILL, ATTACH, ATTACH_OK, VOLUME, VOLUME_WRITE, NET_SOCKET,
 EVENT, LIST, LIST_OK, STATS, STATS_OK, LOG_OPEN, UPDATE, LOG_REMOVE, LOCAL_REMOVE) = range(1, 28)
ERROR = 0xffff
NOT_SET = -2 ** 63


class BrokerError(Exception):
    pass


class Writer:
    def __init__(self):
        self.data = b""

    def s(self, *texts):
        for t in texts:
            d = t if isinstance(t, bytes) else t.encode()
            self.data += struct.pack("<I", len(d)) + d
        return self

    def u32(self, *v):
        self.data += struct.pack(f"<{len(v)}I", *v)
        return self

    def i64(self, *v):
        self.data += struct.pack(f"<{len(v)}q", *v)
        return self

    def u16(self, *v):
        self.data += struct.pack(f"<{len(v)}H", *v)
        return self

    def u8(self, *v):
        self.data += bytes(int(x) for x in v)
        return self

    def list(self, texts):
        return self.u32(len(texts)).s(*texts)


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, fmt):
        v = struct.unpack_from("<" + fmt, self.data)
        self.data = self.data[struct.calcsize("<" + fmt):]
        return v[0]

    def s(self):
        n = self.take("I")
        v, self.data = self.data[:n], self.data[n:]
        return v.decode(errors="replace")


class Connection:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        cwd = os.getcwd()
        os.chdir(os.path.dirname(path))
        self.sock.connect(os.path.basename(path))
        os.chdir(cwd)
        self.id = 0
        self.buffer = b""
        self.fds = []
        self.events = []

    def send(self, kind, body):
        self.id += 1
        self.sock.sendall(struct.pack("<IHHI", len(body), kind, 0, self.id) + body)
        return self.id

    def fill(self, n):
        while len(self.buffer) < n:
            fds = array.array("i")
            data, anc, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(16 * 4))
            if not data:
                raise EOFError
            for _, _, raw in anc:
                fds.frombytes(raw[:len(raw) - len(raw) % 4])
            self.fds += list(fds)
            self.buffer += data

    def receive(self):
        self.fill(12)
        n, kind, _, ident = struct.unpack("<IHHI", self.buffer[:12])
        self.fill(12 + n)
        body, self.buffer = self.buffer[12:12 + n], self.buffer[12 + n:]
        return kind, ident, body

    def wait(self, ident):
        """The answer to one request; events that come meanwhile are kept."""
        while True:
            kind, got, body = self.receive()
            if got == 0:
                self.events.append((kind, body))
                continue
            if got != ident:
                self.other[got] = (kind, body)
                continue
            if kind == ERROR:
                r = Reader(body)
                r.take("H")
                raise BrokerError(f"{r.s()}: {r.s()}")
            return kind, body

    other: dict = {}

    def call(self, kind, writer=None):
        return self.wait(self.send(kind, writer.data if writer else b""))

    def take_fds(self):
        fds, self.fds = self.fds, []
        return fds

    def event(self, kind):
        while True:
            for i, (k, body) in enumerate(self.events):
                if k == kind:
                    del self.events[i]
                    return body
            k, ident, body = self.receive()
            if ident == 0:
                self.events.append((k, body))

    def exit_event(self):
        r = Reader(self.event(EVENT))
        return {"uid": r.s(), "id": r.s(), "code": r.take("I"), "signal": r.take("I"), "oom": r.take("?"),
                "started": r.take("q"), "finished": r.take("q"), "message": r.s()}

    def list(self):
        _, body = self.call(LIST)
        r = Reader(body)
        out = []
        for _ in range(r.take("I")):
            out.append({"uid": r.s(), "id": r.s(), "name": r.s(), "ns": r.s(), "pod": r.s(),
                        "attempt": r.take("I"), "running": r.take("?"), "pid": r.take("I"),
                        "code": r.take("I"), "signal": r.take("I"), "oom": r.take("?"),
                        "started": r.take("q"), "finished": r.take("q"), "message": r.s()})
        return out


def resources(w, shares=-1, quota=-1, memory=-1, pids=-1, oom=NOT_SET):
    return w.i64(shares, quota, memory, pids, oom)


def pod(uid, hostname="web-0", host_network=False, share=False, sysctls=(), resolv="nameserver 10.96.0.10\n",
        hosts="127.0.0.1 localhost\n", host_ipc=False, host_pid=False, **res):
    w = Writer().s(uid, "web-0", "default", hostname).u8(host_network, host_ipc, host_pid, share)
    w.s(resolv, hosts).list(list(sysctls))
    return resources(w, **res)


def container(uid, ident, layers, args, env=(), mounts=(), cwd="", user="", run_as_user=-1, run_as_group=-1,
              groups=(), privileged=False, escalate=True, read_only=False, non_root=False, tty=False,
              stdin=False, stdin_once=False, add=(), drop=(), seccomp="RuntimeDefault", unmasked=False,
              termination="/dev/termination-log", name="app", attempt=0, **res):
    w = Writer().s(uid, ident, name, "default", "web-0").u32(attempt)
    w.list(layers).list(args).list(list(env)).u32(len(mounts))
    for m in mounts:
        w.u8(m.get("kind", 1)).s(m["source"]).u8(m.get("type", 0)).s(m.get("sub", ""), m["target"])
        w.u8(m.get("ro", False)).u8(m.get("propagation", 0))
    w.s(cwd, user).i64(run_as_user, run_as_group).u32(len(groups)).i64(*groups)
    w.u8(privileged, escalate, read_only, non_root, tty, stdin, stdin_once).list(list(add)).list(list(drop))
    w.s(seccomp).u8(unmasked)
    return resources(w, **res).s(termination)


def container_id():
    return secrets.token_hex(32)


def pod_uid():
    return str(uuid.uuid4())


class Broker:
    """One broker on a root directory, in a mount namespace of its own that outlives its restarts."""

    def __init__(self, binary, root, instance, inside="true"):
        """inside: a command that runs in the new mount namespace first."""
        self.binary, self.root, self.instance = binary, root, instance
        self.holder = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c",
                                        f"{inside} && echo made && exec sleep 1000"], stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"made\n"
        namespace = os.stat(f"/proc/{self.holder.pid}/ns/mnt").st_ino
        assert namespace != os.stat("/proc/self/ns/mnt").st_ino, "would change the machine's own mounts"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", self.binary, self.root, self.instance],
            stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        assert line == b"ready\n", line
        return self.connect()

    def connect(self):
        return Connection(f"{self.root}/run/atoll/broker.sock")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def run(self, *argv):
        return subprocess.run(["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", *argv],
                              stdout=subprocess.PIPE, text=True).stdout

    def end(self):
        self.kill()
        self.holder.kill()
        self.holder.wait()
