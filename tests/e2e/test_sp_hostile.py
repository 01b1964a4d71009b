"""Peers of the messaging service that break the rules, or are not who they have to be: the connection is closed, it is
counted and logged, memory stays bounded, and nobody else notices."""
import base64
import os
import socket
import ssl
import struct
import subprocess

import pytest

import atoll_cluster as ac
from sp_service import Service, topology, until

SUB = b"\0SP\0\0\x21\0\0"
REQ = b"\0SP\0\0\x30\0\0"
PAIR1 = b"\0SP\0\0\x11\0\0"
MIB = 1 << 20


def certificate(directory, ca, name, san="DNS:localhost,IP:127.0.0.1"):
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    if not (directory / f"{ca}.pem").exists():
        openssl("req", "-x509", *key, "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2", "-subj", f"/CN={ca}")
    (directory / "ext").write_text(f"subjectAltName={san}\n")
    openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/O={ca}/CN={name}")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", f"{name}.pem")


def pin_of(directory, name):
    der = subprocess.run(f"openssl x509 -in {name}.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum",
                         shell=True, cwd=directory, check=True, capture_output=True, text=True).stdout
    return "sha256:" + der.split()[0]


@pytest.fixture(scope="module")
def world():
    s = Service()
    try:
        s.ports = {n: ac.free_port() for n in ("quotes", "ask", "two", "web", "tls", "pinned", "abroad")}
        for ca, name in (("bank", "own"), ("bank", "partner"), ("thief", "impostor")):
            certificate(s.config, ca, name)
        identity = {"certificateFile": "own.pem", "keyFile": "own.key", "caFile": "bank.pem"}

        def declare(name, pattern, role, scheme="tcp", path="", **more):
            edge = {"name": "door", "role": role, "listen": f"{scheme}://127.0.0.1:{s.ports[name]}{path}", **more.pop("edge", {})}
            s.declare(topology(name, pattern, edges=[edge], **more))
        declare("quotes", "pubsub", "pub", maxMessageBytes=MIB)
        declare("ask", "reqrep", "rep", ttl=3)
        declare("two", "pair", "pair")
        declare("web", "pubsub", "pub", "ws", "/quotes")
        declare("tls", "pubsub", "pub", "tls+tcp", identity=identity)
        declare("pinned", "pubsub", "pub", "tls+tcp", identity=identity, edge={"peer": {"keyPin": pin_of(s.config, "partner")}})
        s.declare(topology("abroad", "pubsub", organisation="here", identity=identity, exports=[
            {"name": "door", "organisation": "bank", "listen": f"tls+tcp://127.0.0.1:{s.ports['abroad']}",
             "peer": {"caFile": "bank.pem"}, "policy": "drop-oldest"}]))
        yield s.start()
    finally:
        s.end()


def dial(world, name, greeting=b""):
    s = socket.create_connection(("127.0.0.1", world.ports[name]), 10)
    s.sendall(greeting)
    return s


def is_closed(s):
    """After whatever it still says."""
    s.settimeout(10)
    try:
        while s.recv(65536):
            pass
    except ConnectionResetError:
        pass
    s.close()
    return True


class Refusal:
    """One more broken peer is counted for the topology, and a line of the log says why."""

    def __init__(self, world, name, why):
        self.world, self.name, self.why = world, name, why

    def __enter__(self):
        until(lambda: self.world.figure(self.name, "broken_peers") is not None)
        self.before = self.world.figure(self.name, "broken_peers")
        self.seen = len(self.world.log)

    def __exit__(self, kind, *_):
        if kind is None:
            until(lambda: self.world.figure(self.name, "broken_peers") == self.before + 1)
            lines = [x for x in self.world.log[self.seen:].splitlines() if f"topology={self.name} " in x]
            assert any("event=link_refused" in x and self.why in x for x in lines), lines


@pytest.fixture(autouse=True)
def nobody_else_notices(world):
    """A client and its messages go on."""
    with world.connect("quotes", "sub") as sub, world.connect("quotes", "pub") as pub:
        sub.subscribe(b"")
        yield
        pub.send(b"still here")
        assert sub.get() == b"still here"


@pytest.mark.parametrize("bytes_,why", [
    (b"\0SQ\0\0\x21\0\0", "byte 2 is 0x51"),
    (b"\0SP\1\0\x21\0\0", "byte 3 is 0x01"),
    (b"\0SP\0\0\x21\0\1", "byte 7 is 0x01"),
    (b"GET / HTTP/1.1\r\n\r\n", "byte 0 is 0x47"),
    (b"\0SP\0\0\x31\0\0", "peer is 0x0031 (rep)"),
    (b"\0SP\0\xf0\0\0\0", "peer is 0xf000"),
])
def test_a_broken_greeting(world, bytes_, why):
    with Refusal(world, "quotes", why):
        assert is_closed(dial(world, "quotes", bytes_))


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, 2 * MIB])
def test_a_length_that_nobody_has_memory_for(world, length):
    before = rss(world)
    with Refusal(world, "two", f"{length} bytes announced"):
        assert is_closed(dial(world, "two", PAIR1 + struct.pack(">Q", length) + b"x" * 1000))
    assert rss(world) < before + 4 * MIB


def rss(world):
    with open(f"/proc/{world.process.pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def frame(body):
    return struct.pack(">Q", len(body)) + body


def test_a_storm_of_hops_is_dropped_and_counted(world):
    with dial(world, "ask", REQ) as s, world.connect("ask", "rep") as rep:
        assert s.recv(8, socket.MSG_WAITALL) == b"\0SP\0\0\x31\0\0"
        storm = frame(struct.pack(">I", 1) * 100 + struct.pack(">I", 0x80000001) + b"storm")
        s.sendall(storm * 2000 + frame(struct.pack(">II", 7, 0x80000002) + b"question"))
        assert rep.get() == b"question"
        rep.send(b"answer")
        assert s.recv(22, socket.MSG_WAITALL) == frame(struct.pack(">II", 7, 0x80000002) + b"answer")
        until(lambda: world.figure("ask", "dropped") == 2000)


def test_a_tag_stack_without_an_end(world):
    with Refusal(world, "ask", "message without the header of its protocol"):
        assert is_closed(dial(world, "ask", REQ + frame(b"\0\0\0\1")))


def test_a_hop_count_that_no_sender_writes(world):
    with Refusal(world, "two", "message without the header of its protocol"):
        assert is_closed(dial(world, "two", PAIR1 + frame(b"\0\0\1\0x")))


KEY = base64.b64encode(b"0123456789abcdef").decode()


def upgrade(path="/quotes", protocol="pub.sp.nanomsg.org", key=KEY):
    return (f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n").encode()


@pytest.mark.parametrize("request_,why", [
    (upgrade(path="/other"), "asks for another path"),
    (upgrade(protocol="rep.sp.nanomsg.org"), "does not offer"),
    (upgrade(key="short"), "Sec-WebSocket-Key"),
    (upgrade() + b"\x82\x05plain", "wrong masking"),
    (upgrade() + b"\x82\xff\x80" + b"\0" * 11, "highest bit"),
])
def test_a_broken_upgrade(world, request_, why):
    with Refusal(world, "web", why):
        assert is_closed(dial(world, "web", request_))


def tls(world, name, who):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.load_verify_locations(world.config / "bank.pem")
    if who:
        c.load_cert_chain(world.config / f"{who}.pem", world.config / f"{who}.key")
    return c.wrap_socket(dial(world, name), server_hostname="localhost")


@pytest.mark.parametrize("name,who,why", [
    ("tls", "impostor", "the peer's certificate is refused"),
    ("tls", None, "peer did not return a certificate"),
    ("pinned", "own", "its key is sha256:"),
    ("abroad", "impostor", "the peer's certificate is refused"),
])
def test_a_certificate_of_the_wrong_organisation(world, name, who, why):
    with Refusal(world, name, why):
        with pytest.raises(OSError):
            s = tls(world, name, who)
            s.sendall(SUB)
            if not s.recv(100):
                raise ConnectionResetError


@pytest.mark.parametrize("name", ["tls", "pinned", "abroad"])
def test_the_right_certificate_is_let_in_with_tls_1_3(world, name):
    with tls(world, name, "partner") as s, world.connect(name, "pub") as pub:
        assert s.version() == "TLSv1.3"
        s.sendall(SUB)
        assert s.recv(8) == b"\0SP\0\0\x20\0\0"
        until(lambda: "partner" in (world.dir(name) / "peers").read_text())
        pub.send(b"secret")
        assert s.recv(14) == frame(b"secret")


def test_between_organisations_nothing_older_is_spoken(world):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.load_verify_locations(world.config / "bank.pem")
    c.load_cert_chain(world.config / "partner.pem", world.config / "partner.key")
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        c.wrap_socket(dial(world, "abroad"), server_hostname="localhost")
