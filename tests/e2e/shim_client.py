"""A client of atoll-shim's protocol (shim/protocol.h), for tests."""
import os
import socket
import struct
import subprocess

(START, START_OK, START_FAILED, SIGNAL, REMOVE, LIST, LIST_OK, QUIT, DONE, FAILED, EXITED, ATTACH,
 ATTACH_OK, STDOUT, STDERR, INPUT, INPUT_END, RESIZE, STARTED) = range(1, 20)
TTY, STDIN, STDIN_ONCE = 1, 2, 4


def text(s):
    data = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<I", len(data)) + data


class Shim:
    """The shim process of one pod, started in a directory of its own."""

    def __init__(self, binary, directory):
        self.directory = str(directory)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(self.directory, "shim.sock"))
        listener.listen(128)

        def prepare():
            os.dup2(listener.fileno(), 3)

        self.process = subprocess.Popen([binary], cwd=self.directory, pass_fds=[3],
                                        preexec_fn=prepare, start_new_session=True)
        listener.close()

    def connect(self):
        return Connection(os.path.join(self.directory, "shim.sock"))

    def resident_kib(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def stop(self):
        try:
            self.connect().send(QUIT, b"")
            self.process.wait(timeout=5)
        finally:
            self.process.kill()
            self.process.wait()


class Connection:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(path)
        self.id = 0

    def send(self, kind, body=b""):
        self.id += 1
        self.sock.sendall(struct.pack("<IHHI", len(body), kind, 0, self.id) + body)
        return self.id

    def exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def receive(self):
        n, kind, _, ident = struct.unpack("<IHHI", self.exactly(12))
        return kind, ident, self.exactly(n)

    def until(self, kind):
        while True:
            got, _, body = self.receive()
            if got == kind:
                return body

    def start(self, ident, argv, flags=0, log_bytes=10 << 20, log_files=5, console=""):
        body = text(ident) + bytes([flags]) + text(f"{ident}.log") + struct.pack("<QI", log_bytes, log_files)
        body += text(f"{ident}.pid") + text(f"{ident}.exit") + text(console)
        body += struct.pack("<I", len(argv)) + b"".join(text(a) for a in argv)
        self.send(START, body)

    def exited(self):
        body = self.until(EXITED)
        (n,) = struct.unpack_from("<I", body)
        code, signal, started, finished = struct.unpack_from("<IIqq", body, 4 + n)
        return body[4:4 + n].decode(), code, signal, started, finished
