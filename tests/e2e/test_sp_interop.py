"""The messaging service and the libraries of scalability protocols: Debian's nng and nanomsg, every protocol over every
transport they have, dialling both ways (tests/sp/*_peer.c), and their command line tools."""
import os
import select
import shutil
import subprocess
import time

import atoll_cluster as ac
import pytest
import sp_service as sp

# The role of the service on the edge, which local programs play, and that of the peer.
ROLES = {"pub": "sub", "sub": "pub", "push": "pull", "pull": "push", "req": "rep", "rep": "req",
         "surveyor": "respondent", "respondent": "surveyor", "bus": "bus", "pair": "pair"}
PATTERNS = {"pub": "pubsub", "sub": "pubsub", "push": "pipeline", "pull": "pipeline", "req": "reqrep", "rep": "reqrep",
            "surveyor": "survey", "respondent": "survey", "bus": "bus", "pair": "pair"}
LIBRARIES = {"nng": ("tcp", "ipc", "ws", "tls", "wss"), "nanomsg": ("tcp", "ipc", "ws")}
WAYS = ("dial", "listen")  # what the service does
CASES = [(lib, transport, role, way) for lib, transports in LIBRARIES.items() for transport in transports
         for role in ROLES for way in WAYS]
CASES += [("nng", transport, "pair1", way) for transport in ("tcp", "ws") for way in WAYS]
DEADLINE = 20


def name_of(case):
    return "-".join(case).replace("nanomsg", "nn")


class Peer:
    """One program with a socket of the library."""

    def __init__(self, lib, role, way, url, tls=()):
        program = os.path.join(ac.BUILD, "tests", "sp", f"sp_peer_{lib}")
        if not os.path.exists(program):
            pytest.skip(f"{program} is not built: {lib} is not installed")
        self.left = b""
        self.process = subprocess.Popen([program, role, way, url, *tls], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        preexec_fn=lambda: os.umask(0))
        os.set_blocking(self.process.stdout.fileno(), False)

    def send(self, line):
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def get(self, seconds=DEADLINE):
        """The next line; None: none came in time."""
        end = time.monotonic() + seconds
        while b"\n" not in self.left:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                return None
            more = self.process.stdout.read()
            assert more, "the peer has ended"
            self.left += more
        line, self.left = self.left.split(b"\n", 1)
        return line

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def certificates(directory):
    """A CA, and a certificate of each side for localhost and 127.0.0.1."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out",
            "ca.pem", "-days", "2", "-subj", "/CN=test CA")
    (directory / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1,URI:spiffe://here/peer\n")
    for side in ("own", "peer"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{side}.key", "-out",
                f"{side}.csr", "-subj", f"/CN={side}")
        openssl("x509", "-req", "-in", f"{side}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "ext", "-out", f"{side}.pem")
        (directory / f"{side}.both").write_text((directory / f"{side}.pem").read_text() +
                                                (directory / f"{side}.key").read_text())


class World:
    """One service with one topology for each case, and the peers that listen."""

    def __init__(self):
        self.service = sp.Service()
        self.sockets = self.service.root / "s"
        self.sockets.mkdir(mode=0o777)
        self.sockets.chmod(0o777)
        certificates(self.service.config)
        self.tls = tuple(str(self.service.config / f) for f in ("ca.pem", "peer.both")) + ("localhost",)
        self.urls, self.peers = {}, {}
        ports = [ac.free_port() for _ in CASES]
        for case, port in zip(CASES, ports):
            self.declare(case, port)
        for case in CASES:
            if case[3] == "dial":
                self.peers[case] = self.peer(case)
        try:
            for p in self.peers.values():
                assert p.get() == b"ready"
            self.service.start()
        except AssertionError:
            self.end()
            raise

    def declare(self, case, port):
        lib, transport, role, way = case
        role = "pair" if role == "pair1" else role
        run = self.service.dir("").parent / "sp"
        file = (run if way == "listen" else self.sockets) / f"{name_of(case)}.sock"
        url = {"tcp": f"tcp://127.0.0.1:{port}", "ws": f"ws://127.0.0.1:{port}/" + ("sp" if lib == "nng" else ""), "ipc": f"ipc://{file}",
               "tls": f"tls+tcp://127.0.0.1:{port}", "wss": f"wss://127.0.0.1:{port}/sp"}[transport]
        self.urls[case] = url.rstrip("/")  # nanomsg wants no path where it listens
        edge = {"name": "e", way: url, "role": role}
        more = {}
        if transport in ("tls", "wss"):
            more["identity"] = {"certificateFile": "own.pem", "keyFile": "own.key", "caFile": "ca.pem"}
            edge["peer"] = {"identity": "spiffe://here/peer"}
        self.service.declare(sp.topology(name_of(case), PATTERNS[role], edges=[edge], **more))

    def peer(self, case):
        lib, transport, role, way = case
        other = "pair1" if role == "pair1" else ROLES[role]
        return Peer(lib, other, "listen" if way == "dial" else "dial", self.urls[case],
                    self.tls if transport in ("tls", "wss") else ())

    def end(self):
        for p in self.peers.values():
            p.end()
        self.service.end()


@pytest.fixture(scope="module")
def world():
    w = World()
    yield w
    w.end()


def repeat(send, get):
    """Sends until an answer comes: who only listens may not be there yet."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        send()
        answer = get(0.2)
        if answer:
            return answer
    raise AssertionError("nothing arrived")


def get_within(client):
    def get(seconds):
        client.settimeout(seconds)
        try:
            return client.get()
        except TimeoutError:
            return None
        finally:
            client.settimeout(DEADLINE)
    return get


def to_peer(client, peer):
    assert repeat(lambda: client.send(b"down"), peer.get) == b"down"


def from_peer(client, peer):
    assert repeat(lambda: peer.send(b"up"), get_within(client)) == b"up"


def ask_peer(client, peer):
    assert repeat(lambda: client.send(b"question"), get_within(client)) == b"re:question"


def ask_us(client, peer):
    def ask():
        peer.send(b"question")
        if get_within(client)(0.3) == b"question":
            client.send(b"answer")
    assert repeat(ask, lambda seconds: peer.get(0.3)) == b"answer"


def both(client, peer):
    to_peer(client, peer)
    from_peer(client, peer)


EXCHANGES = {"pub": to_peer, "sub": from_peer, "push": to_peer, "pull": from_peer, "req": ask_peer, "rep": ask_us,
             "surveyor": ask_peer, "respondent": ask_us, "bus": both, "pair": both, "pair1": both}


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_messages_pass(world, case):
    role = case[2]
    with world.service.connect(name_of(case), "pair" if role == "pair1" else role) as client:
        if role == "sub":
            client.subscribe(b"")
        peer = world.peers.pop(case, None) or world.peer(case)
        try:
            if case[3] == "listen":
                assert peer.get() == b"ready"
            EXCHANGES[role](client, peer)
        finally:
            peer.end()


def tool(*args, seconds=DEADLINE):
    return subprocess.run(args, capture_output=True, timeout=seconds)


@pytest.mark.parametrize("program,quiet", [("nngcat", "--raw"), ("nanocat", "-A")])
def test_the_tools_of_the_libraries_dial_the_ipc_door(world, program, quiet):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    name = name_of(("nng", "tcp", "pub", "listen"))
    url = "ipc://" + world.service.path(name, "sub.ipc")
    connect = "--dial" if program == "nngcat" else "--connect"
    more = ["--count=1"] if program == "nngcat" else []
    process = subprocess.Popen([program, "--sub", connect, url, "--subscribe=", quiet, *more], stdout=subprocess.PIPE)
    try:
        with world.service.connect(name, "pub") as client:
            got = repeat(lambda: client.send(b"news\n"),
                         lambda s: select.select([process.stdout], [], [], s)[0] and os.read(process.stdout.fileno(), 100))
        assert got.startswith(b"news")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
