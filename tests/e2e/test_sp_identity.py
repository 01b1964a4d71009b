"""Topology objects whose edges speak TLS with the certificate of the system: its key stays in the keys service."""
import socket
import ssl

import atoll_cluster as ac
import pytest
from sp_service import Client, until

NAMES = ("tls-out", "tls-in")


def topology(name, **edge):
    return {"apiVersion": "sp.atoll.dev/v1", "kind": "Topology", "metadata": {"name": name},
            "spec": {"pattern": "pubsub", "edges": [{"name": "e", "forwarding": True, **edge}]}}


@pytest.fixture(scope="module")
def here(atoll):
    atoll.sp_port = ac.free_port()
    atoll.apply(topology(NAMES[0], role="pub", listen=f"tls+tcp://127.0.0.1:{atoll.sp_port}", topology=NAMES[1]))
    atoll.apply(topology(NAMES[1], role="sub", dial=f"tls+tcp://127.0.0.1:{atoll.sp_port}", topology=NAMES[0]))
    yield atoll
    atoll.kubectl("delete", "topologies", *NAMES)


def file(here, name, which):
    path = here.root + f"/run/atoll/sp/{name}/{which}"
    until(lambda: ac.os.path.exists(path))
    return path


def test_systems_prove_themselves_without_any_file(here):
    with Client(file(here, "tls-in", "sub")) as sub, Client(file(here, "tls-out", "pub")) as pub:
        until(lambda: here.node in open(file(here, "tls-in", "peers")).read())
        sub.subscribe(b"A")
        pub.send(b"B")
        pub.send(b"A")
        assert sub.get() == b"A"


def test_the_ca_for_partners_is_not_that_of_the_api(here):
    ours = open(here.root + "/etc/atoll/messaging-ca.crt").read()
    assert ours != open(here.root + "/etc/atoll/ca.crt").read()
    context = ssl.create_default_context(cadata=ours)
    with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", here.port)) as s:
        context.wrap_socket(s, server_hostname="127.0.0.1")


def test_who_shows_no_certificate_is_refused(here):
    context = ssl.create_default_context(cafile=here.root + "/etc/atoll/messaging-ca.crt")
    with socket.create_connection(("127.0.0.1", here.sp_port), 10) as raw, pytest.raises(OSError):
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as s:
            assert s.getpeercert()["subject"]
            s.sendall(b"\0SP\0\xf0\0\0\0")
            if not s.recv(1):
                raise ConnectionResetError
