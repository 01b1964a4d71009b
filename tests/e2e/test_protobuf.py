"""Answers in protobuf, as client-go's typed clients ask for: objects, lists, Status, watches, partial objects; read here by
a decoder of the wire format that knows nothing of the server's."""
import http.client
import json
import socket
import struct

import pytest

from atoll_cluster import until

PROTOBUF = "application/vnd.kubernetes.protobuf"


def fields(data):
    """Field number → values (int or bytes) of one message."""
    out, i = {}, 0

    def varint():
        nonlocal i
        v = shift = 0
        while True:
            c = data[i]
            i += 1
            v |= (c & 0x7F) << shift
            shift += 7
            if not c & 0x80:
                return v

    while i < len(data):
        tag = varint()
        if tag & 7 == 0:
            value = varint()
        elif tag & 7 == 1:
            value, i = data[i:i + 8], i + 8
        else:
            assert tag & 7 == 2, tag
            n = varint()
            value, i = data[i:i + n], i + n
            assert len(value) == n, "cut off"
        out.setdefault(tag >> 3, []).append(value)
    return out


def unwrap(data):
    """(apiVersion, kind, fields) of an envelope."""
    assert data[:4] == b"k8s\0", data[:60]
    unknown = fields(data[4:])
    meta = fields(unknown[1][0])
    return meta[1][0].decode(), meta[2][0].decode(), fields(unknown[2][0])


def name_of(message):
    return fields(message[1][0])[1][0].decode()


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("x", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


@pytest.fixture(scope="module")
def ask(root):
    def go(path, accept=PROTOBUF, method="GET", body=None, **headers):
        c = Connection(f"{root}/run/atoll/api.sock")
        c.request(method, path, body, {"Accept": accept, "Content-Type": "application/json", **headers})
        return c.getresponse()

    for i in range(30):
        r = go("/api/v1/namespaces/default/configmaps", "application/json", "POST",
               json.dumps({"metadata": {"name": f"pb{i:02}", "labels": {"pb": "yes"}}, "data": {"k": "v" * (i * 2000)}}))
        assert r.status in (201, 409), r.read()
    return go


def test_an_object(ask):
    r = ask("/api/v1/namespaces/default/configmaps/pb03")
    assert (r.status, r.getheader("content-type")) == (200, PROTOBUF)
    version, kind, m = unwrap(r.read())
    assert (version, kind, name_of(m)) == ("v1", "ConfigMap", "pb03")
    assert {k: v[0] for k, v in fields(m[2][0]).items()} == {1: b"k", 2: b"v" * 6000}


def test_a_list_and_its_pages(ask):
    url = "/api/v1/namespaces/default/configmaps?labelSelector=pb%3Dyes"
    for _ in range(2):  # measured, then remembered
        version, kind, m = unwrap(ask(url).read())
        assert (version, kind, len(m[2])) == ("v1", "ConfigMapList", 30)
        assert [name_of(fields(i)) for i in m[2]] == [f"pb{i:02}" for i in range(30)]
    page = unwrap(ask(url + "&limit=7").read())[2]
    token = fields(page[1][0])[3][0].decode()
    names = [name_of(fields(i)) for i in page[2]]
    rest = unwrap(ask(f"{url}&limit=100&continue={token}").read())[2]
    assert names + [name_of(fields(i)) for i in rest[2]] == [f"pb{i:02}" for i in range(30)]
    assert 2 not in unwrap(ask("/api/v1/namespaces/default/configmaps?labelSelector=pb%3Dno").read())[2]


def test_every_list_decodes_and_has_what_json_has(ask, root):
    def lists():
        for version in ["api/v1"] + ["apis/" + g["preferredVersion"]["groupVersion"] for g in
                                     json.loads(ask("/apis", "application/json").read())["groups"]]:
            for r in json.loads(ask("/" + version, "application/json").read())["resources"]:
                if "list" in r["verbs"]:
                    yield f"/{version}/{r['name']}"

    n = 0
    for path in lists():
        r = ask(path)
        body = r.read()
        if r.status == 406:
            continue
        assert r.status == 200, (path, body)
        items = unwrap(body)[2].get(2, [])
        plain = json.loads(ask(path, "application/json").read())["items"]
        assert [name_of(fields(i)) for i in items] == [i["metadata"]["name"] for i in plain], path
        n += len(items)
    assert n > 50


def test_partial_objects(ask):
    accept = PROTOBUF + ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    version, kind, m = unwrap(ask("/api/v1/namespaces/default/configmaps/pb03", accept).read())
    assert (version, kind, name_of(m), set(m)) == ("meta.k8s.io/v1", "PartialObjectMetadata", "pb03", {1})
    version, kind, m = unwrap(ask("/api/v1/namespaces/default/configmaps?labelSelector=pb", accept.replace("Metadata;", "MetadataList;")).read())
    assert (version, kind, len(m[2])) == ("meta.k8s.io/v1", "PartialObjectMetadataList", 30)
    assert all(set(fields(i)) == {1} for i in m[2])


def test_failures_are_status_messages(ask):
    r = ask("/api/v1/namespaces/default/configmaps/none")
    version, kind, m = unwrap(r.read())
    assert (r.status, version, kind, m[2], m[4], m[6]) == (404, "v1", "Status", [b"Failure"], [b"NotFound"], [404])
    r = ask("/api/v1/namespaces/default/configmaps", method="POST", body="{")
    assert r.status == 400 and unwrap(r.read())[2][6] == [400]


@pytest.mark.parametrize("accept,status,kind", [
    (PROTOBUF + ",application/json", 200, PROTOBUF),
    ("application/json," + PROTOBUF, 200, "application/json"),
    (PROTOBUF + ";q=0.5,application/json;q=0.9", 200, "application/json"),
    ("application/json;q=0.5," + PROTOBUF, 200, PROTOBUF),
    (PROTOBUF + ";q=0,*/*", 200, "application/json"),
    (PROTOBUF + ";as=Table;g=meta.k8s.io;v=v1," + PROTOBUF, 200, PROTOBUF),
    (PROTOBUF + ";as=Table;g=meta.k8s.io;v=v1", 406, "application/json"),
    ("text/html", 406, "application/json"),
    ("application/json;q=0", 406, "application/json"),
])
def test_negotiation(ask, accept, status, kind):
    r = ask("/api/v1/namespaces/default/configmaps/pb03", accept)
    assert (r.status, r.getheader("content-type")) == (status, kind), r.read()


def test_discovery(ask):
    version, kind, m = unwrap(ask("/api/v1").read())
    assert kind == "APIResourceList" and m[1] == [b"v1"]
    pods = next(fields(i) for i in m[2] if fields(i)[1] == [b"pods"])
    assert b"watch" in fields(pods[4][0])[1] and pods[3] == [b"Pod"]
    assert unwrap(ask("/apis").read())[1] == "APIGroupList"


def frames(r):
    while True:
        head = r.read(4)
        if not head:
            return
        n = struct.unpack(">I", head)[0]
        event = fields(r.read(n))
        yield event[1][0].decode(), unwrap(fields(event[2][0])[1][0])


def test_a_watch(ask):
    url = "/api/v1/namespaces/default/configmaps"
    rv = json.loads(ask(url, "application/json").read())["metadata"]["resourceVersion"]
    r = ask(f"{url}?watch=1&resourceVersion={rv}&allowWatchBookmarks=true&timeoutSeconds=3")
    assert r.getheader("content-type") == PROTOBUF + ";stream=watch"
    assert ask(url, method="POST", body=json.dumps({"metadata": {"name": "seen"}})).read()[:4] == b"k8s\0"
    ask(url + "/seen", method="DELETE").read()
    seen = [(t, k, name_of(m) if t != "BOOKMARK" else None) for t, (_, k, m) in frames(r)]
    assert seen == [("ADDED", "ConfigMap", "seen"), ("DELETED", "ConfigMap", "seen"), ("BOOKMARK", "ConfigMap", None)]


def test_a_scale_and_delete_options(ask):
    d = {"metadata": {"name": "pb"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}}
    assert ask("/apis/apps/v1/namespaces/default/deployments", method="POST", body=json.dumps(d)).status == 201
    version, kind, m = unwrap(ask("/apis/apps/v1/namespaces/default/deployments/pb/scale").read())
    assert (version, kind, name_of(m)) == ("autoscaling/v1", "Scale", "pb")
    # DeleteOptions {propagationPolicy: Background}, then {preconditions: {uid: "x"}}
    head = b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12"
    url = "/apis/apps/v1/namespaces/default/deployments/pb"
    r = ask(url, "application/json", "DELETE", head + b"\x05\x12\x03\x0a\x01x", **{"Content-Type": PROTOBUF})
    assert r.status == 409, r.read()
    r = ask(url, "application/json", "DELETE", head + b"\x0c\x22\x0aBackground", **{"Content-Type": PROTOBUF})
    assert r.status == 200, r.read()
    until(lambda: ask(url).status == 404, what="deployment gone")
