"""The api service from outside: every rule of the Kubernetes API that clients lean on, over the unix socket."""
import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import time
import uuid

import pytest

from atoll_cluster import BUILD


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=20):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    def __init__(self, sock, headers=None):
        self.sock, self.headers = sock, headers or {}

    def raw(self, method, path, body=None, content="application/json", **headers):
        c = UnixConnection(self.sock)
        h = {"Content-Type": content, **self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        c.request(method, path, body=body, headers=h)
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, r.headers, data

    def __call__(self, method, path, body=None, **kw):
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        status, headers, data = self.raw(method, path, body, **kw)
        try:
            return status, json.loads(data)
        except ValueError:
            return status, data.decode()

    def watch(self, path):
        """Yields events until the server ends the stream."""
        c = UnixConnection(self.sock)
        c.request("GET", path, headers=self.headers)
        r = c.getresponse()
        assert r.status == 200
        for line in r:
            yield json.loads(line)


@pytest.fixture
def api(root):
    return Api(os.path.join(root, "run/atoll/api.sock"))


@pytest.fixture
def ns(api):
    name = "t-" + uuid.uuid4().hex[:8]
    assert api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
    for _ in range(200):
        if api("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default")[0] == 200:
            break
        time.sleep(0.02)
    yield name
    api("DELETE", f"/api/v1/namespaces/{name}")


def cm(name="a", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name="p", node=None, **meta):
    spec = {"containers": [{"name": "c", "image": "none.invalid/x:1"}]}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name, **meta}, "spec": spec}


def maps(ns):
    return f"/api/v1/namespaces/{ns}/configmaps"


def pods(ns):
    return f"/api/v1/namespaces/{ns}/pods"


# ---- writes ----

def test_create_get_update_delete(api, ns):
    status, o = api("POST", maps(ns), cm(k="1"))
    assert status == 201 and o["kind"] == "ConfigMap" and o["metadata"]["uid"]
    assert api("GET", maps(ns) + "/a")[1] == o
    status, again = api("POST", maps(ns), cm())
    assert status == 409 and again["reason"] == "AlreadyExists"
    assert again["message"] == 'configmaps "a" already exists'
    o["data"]["k"] = "2"
    status, changed = api("PUT", maps(ns) + "/a", o)
    assert status == 200 and int(changed["metadata"]["resourceVersion"]) > int(o["metadata"]["resourceVersion"])
    status, stale = api("PUT", maps(ns) + "/a", o)
    assert status == 409 and stale["reason"] == "Conflict" and "has been modified" in stale["message"]
    status, gone = api("DELETE", maps(ns) + "/a")
    assert status == 200 and gone["status"] == "Success" and gone["details"]["uid"] == o["metadata"]["uid"]
    status, missing = api("GET", maps(ns) + "/a")
    assert status == 404 and missing["message"] == 'configmaps "a" not found'


def test_update_that_changes_nothing_writes_nothing(api, ns):
    _, o = api("POST", maps(ns), cm(k="1"))
    _, same = api("PUT", maps(ns) + "/a", o)
    assert same["metadata"]["resourceVersion"] == o["metadata"]["resourceVersion"]


def test_update_without_version_is_allowed(api, ns):
    api("POST", maps(ns), cm(k="1"))
    status, o = api("PUT", maps(ns) + "/a", cm(k="2"))
    assert status == 200 and o["data"] == {"k": "2"}


def test_identity_cannot_be_changed(api, ns):
    _, o = api("POST", maps(ns), cm())
    assert api("PUT", maps(ns) + "/a", {**o, "metadata": {**o["metadata"], "name": "b"}})[0] == 400
    status, s = api("PUT", maps(ns) + "/a", {**o, "metadata": {**o["metadata"], "uid": "x"}})
    assert status == 409 and "Precondition failed: UID" in s["message"]
    assert api("POST", maps(ns), {**cm("z"), "metadata": {"name": "z", "namespace": "other"}})[0] == 400
    assert api("POST", maps(ns), {**cm("z"), "metadata": {"name": "z", "resourceVersion": "1"}})[0] == 400


def test_generate_name_and_missing_name(api, ns):
    _, o = api("POST", maps(ns), {"metadata": {"generateName": "g-"}})
    assert o["metadata"]["name"].startswith("g-") and len(o["metadata"]["name"]) == 7
    status, s = api("POST", maps(ns), {"metadata": {}})
    assert status == 422 and s["details"]["causes"][0]["field"] == "metadata.name"


def test_unknown_fields_by_field_validation(api, ns):
    body = {**cm(), "nonsense": 1}
    status, s = api("POST", maps(ns) + "?fieldValidation=Strict", body)
    assert status == 400 and 'unknown field "nonsense"' in s["message"]
    status, headers, _ = api.raw("POST", maps(ns), json.dumps(body))
    assert status == 201 and 'unknown field \\"nonsense\\"' in headers["Warning"]
    status, headers, _ = api.raw("POST", maps(ns) + "?fieldValidation=Ignore", json.dumps({**body, "metadata": {"name": "b"}}))
    assert status == 201 and headers["Warning"] is None


def test_invalid_objects_are_named_and_not_stored(api, ns):
    status, s = api("POST", maps(ns), cm("Not A Name"))
    assert status == 422 and s["reason"] == "Invalid" and s["details"]["kind"] == "ConfigMap"
    status, s = api("POST", pods(ns), {"metadata": {"name": "p"}, "spec": {"containers": []}})
    assert status == 422 and s["message"].startswith('Pod "p" is invalid: spec.containers: Required value')
    assert api("GET", pods(ns) + "/p")[0] == 404
    assert api("POST", maps(ns), "{not json")[0] == 400
    assert api("POST", maps(ns), "x", content="text/weird")[0] == 415
    assert api("POST", maps(ns), {**cm(), "kind": "Secret"})[0] == 400


def test_an_object_that_is_too_big_is_refused(api, ns):
    pod_with = pod()
    pod_with["metadata"]["name"] = "big"
    pod_with["spec"]["containers"][0]["env"] = [{"name": f"A{i}", "value": "x" * 1000} for i in range(1800)]
    status, s = api("POST", pods(ns), pod_with)
    assert status == 413 and s["reason"] == "RequestEntityTooLarge"
    status, s = api("POST", maps(ns), cm(k="x" * 1100000))
    assert status == 422
    status, _ = api("POST", maps(ns), b"{" + b" " * (4 << 20) + b"}")
    assert status == 413


def test_yaml_body(api, ns):
    status, o = api("POST", maps(ns), "metadata: {name: yaml}\ndata: {k: 'v'}\n", content="application/yaml")
    assert status == 201, o
    assert o["data"] == {"k": "v"}


def wire(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(n):
    out = b""
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def test_protobuf_body(api, ns):
    meta = wire(1, b"pb") + wire(11, wire(1, b"l") + wire(2, b"v"))
    secret = wire(1, meta) + wire(2, wire(1, b"k") + wire(2, b"\x00\xff")) + wire(3, b"Opaque")
    body = b"k8s\0" + wire(1, wire(1, b"v1") + wire(2, b"Secret")) + wire(2, secret)
    status, o = api("POST", f"/api/v1/namespaces/{ns}/secrets", body, content="application/vnd.kubernetes.protobuf")
    assert status == 201 and base64.b64decode(o["data"]["k"]) == b"\x00\xff" and o["metadata"]["labels"] == {"l": "v"}
    for cut in range(5, len(body), 3):
        status, _ = api("POST", f"/api/v1/namespaces/{ns}/secrets", body[:cut], content="application/vnd.kubernetes.protobuf")
        assert 400 <= status < 500
    assert api("POST", f"/api/v1/namespaces/{ns}/secrets", body, content="application/vnd.kubernetes.protobuf",
               Accept="application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1")[0] == 406


def test_dry_run_stores_nothing(api, ns):
    status, o = api("POST", maps(ns) + "?dryRun=All", cm())
    assert status == 201 and "resourceVersion" not in o["metadata"]
    assert api("GET", maps(ns) + "/a")[0] == 404
    api("POST", maps(ns), cm(k="1"))
    assert api("PATCH", maps(ns) + "/a?dryRun=All", {"data": {"k": "2"}}, content="application/merge-patch+json")[1]["data"]["k"] == "2"
    assert api("DELETE", maps(ns) + "/a?dryRun=All")[0] == 200
    assert api("GET", maps(ns) + "/a")[1]["data"]["k"] == "1"


def test_patches(api, ns):
    api("POST", maps(ns), cm(k="1", gone="x"))
    _, o = api("PATCH", maps(ns) + "/a", {"data": {"gone": None, "new": "y"}}, content="application/merge-patch+json")
    assert o["data"] == {"k": "1", "new": "y"}
    _, o = api("PATCH", maps(ns) + "/a", [{"op": "replace", "path": "/data/k", "value": "2"}], content="application/json-patch+json")
    assert o["data"]["k"] == "2"
    status, _ = api("PATCH", maps(ns) + "/a", [{"op": "test", "path": "/data/k", "value": "9"}], content="application/json-patch+json")
    assert status == 422
    status, s = api("PATCH", maps(ns) + "/a", {"metadata": {"resourceVersion": "1"}}, content="application/merge-patch+json")
    assert status == 409 and s["reason"] == "Conflict"
    assert api("PATCH", maps(ns) + "/a", "{}", content="application/apply-patch+cbor")[0] == 415
    assert api("PATCH", maps(ns) + "/none", {}, content="application/merge-patch+json")[0] == 404


def test_generation_counts_changes_of_spec(api, ns):
    path = f"/apis/apps/v1/namespaces/{ns}/deployments"
    d = {"metadata": {"name": "d"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}},
         "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}}
    status, o = api("POST", path, d)
    assert status == 201 and o["metadata"]["generation"] == 1
    _, o = api("PATCH", path + "/d", {"metadata": {"labels": {"x": "y"}}}, content="application/merge-patch+json")
    assert o["metadata"]["generation"] == 1
    _, o = api("PATCH", path + "/d", {"spec": {"minReadySeconds": 3}}, content="application/merge-patch+json")
    assert o["metadata"]["generation"] == 2
    _, scale = api("GET", path + "/d/scale")
    assert scale["kind"] == "Scale" and scale["status"]["selector"] == "a=b"
    _, scale = api("PATCH", path + "/d/scale", {"spec": {"replicas": 1}}, content="application/merge-patch+json")
    assert scale["spec"]["replicas"] == 1
    assert api("GET", path + "/d")[1]["spec"]["replicas"] == 1
    assert api("PATCH", path + "/d/scale", {"spec": {"replicas": -1}}, content="application/merge-patch+json")[0] == 422


def test_status_and_spec_ignore_each_other(api, ns):
    path = f"/apis/apps/v1/namespaces/{ns}/replicasets"
    r = {"metadata": {"name": "r"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}},
         "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}}
    api("POST", path, r)
    _, o = api("PATCH", path + "/r/status", {"spec": {"minReadySeconds": 9}, "status": {"observedGeneration": 77}}, content="application/merge-patch+json")
    assert o["status"]["observedGeneration"] == 77 and "minReadySeconds" not in o["spec"]
    _, o = api("PATCH", path + "/r", {"spec": {"minReadySeconds": 9}, "status": {"observedGeneration": 5}}, content="application/merge-patch+json")
    assert o["spec"]["minReadySeconds"] == 9 and o["status"]["observedGeneration"] != 5


# ---- deletion ----

def test_finalizers_and_preconditions(api, ns):
    _, o = api("POST", maps(ns), {**cm(), "metadata": {"name": "a", "finalizers": ["example.com/f"]}})
    status, s = api("DELETE", maps(ns) + "/a", {"preconditions": {"uid": "wrong"}})
    assert status == 409 and s["reason"] == "Conflict"
    status, o = api("DELETE", maps(ns) + "/a")
    assert status == 200 and o["metadata"]["deletionTimestamp"]
    assert api("GET", maps(ns) + "/a")[0] == 200
    status, _ = api("PATCH", maps(ns) + "/a", {"metadata": {"finalizers": None}}, content="application/merge-patch+json")
    assert status == 200
    assert api("GET", maps(ns) + "/a")[0] == 404


def test_pod_grace(api, ns):
    status, _ = api("POST", pods(ns), pod(node="ghost"))
    assert status == 201
    _, o = api("DELETE", pods(ns) + "/p", {"gracePeriodSeconds": 40})
    assert o["metadata"]["deletionGracePeriodSeconds"] == 40
    _, o = api("DELETE", pods(ns) + "/p", {"gracePeriodSeconds": 60})
    assert o["metadata"]["deletionGracePeriodSeconds"] == 40
    _, o = api("DELETE", pods(ns) + "/p?gracePeriodSeconds=0")
    assert api("GET", pods(ns) + "/p")[0] == 404


def test_deletecollection_by_label(api, ns):
    for i in range(300):
        assert api("POST", maps(ns), {**cm(f"c{i}"), "metadata": {"name": f"c{i}", "labels": {"odd": str(i % 2)}}})[0] == 201
    assert api("DELETE", maps(ns) + "?labelSelector=odd%3D1")[0] == 200
    left = [o["metadata"]["name"] for o in api("GET", maps(ns))[1]["items"] if o["metadata"]["name"].startswith("c")]
    assert len(left) == 150


def test_namespace_lifecycle(api):
    status, s = api("POST", maps("nowhere"), cm())
    assert status == 404 and s["message"] == 'namespaces "nowhere" not found'
    name = "dying-" + uuid.uuid4().hex[:6]
    api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    api("POST", maps(name), {**cm(), "metadata": {"name": "a", "finalizers": ["example.com/f"]}})
    _, o = api("DELETE", f"/api/v1/namespaces/{name}")
    assert o["status"]["phase"] == "Terminating"
    status, s = api("POST", maps(name), cm("b"))
    assert status == 403 and "being terminated" in s["message"]
    api("PATCH", maps(name) + "/a", {"metadata": {"finalizers": []}}, content="application/merge-patch+json")
    for _ in range(200):
        if api("GET", f"/api/v1/namespaces/{name}")[0] == 404:
            return
        time.sleep(0.05)
    raise AssertionError(api("GET", f"/api/v1/namespaces/{name}"))


# ---- reads ----

def test_chunks_are_consistent_while_the_list_changes(api, ns):
    for i in range(20):
        api("POST", maps(ns), cm(f"c{i:02}"))
    _, page = api("GET", maps(ns) + "?limit=6")
    names = [o["metadata"]["name"] for o in page["items"]]
    revision = page["metadata"]["resourceVersion"]
    assert len(names) == 6 and page["metadata"]["remainingItemCount"] >= 14
    api("POST", maps(ns), cm("c05x"))
    api("DELETE", maps(ns) + "/c19")
    while page["metadata"].get("continue"):
        _, page = api("GET", maps(ns) + f"?limit=6&continue={page['metadata']['continue']}")
        assert page["metadata"]["resourceVersion"] == revision
        names += [o["metadata"]["name"] for o in page["items"]]
    assert [n for n in names if n.startswith("c")] == [f"c{i:02}" for i in range(20)]
    _, exact = api("GET", maps(ns) + f"?resourceVersion={revision}&resourceVersionMatch=Exact")
    assert [o["metadata"]["name"] for o in exact["items"]] == names
    assert api("GET", maps(ns) + "?continue=garbage")[0] == 400


def test_inconsistent_token_goes_on_at_the_newest_version(api, ns):
    for i in range(6):
        api("POST", maps(ns), cm(f"c{i}"))
    start = json.dumps({"v": "meta.k8s.io/v1", "rv": -1, "start": f"{ns}/c2"})
    token = base64.urlsafe_b64encode(start.encode()).decode().rstrip("=")
    _, page = api("GET", maps(ns) + f"?limit=2&continue={token}")
    assert [o["metadata"]["name"] for o in page["items"]] == ["c3", "c4"]
    old = base64.urlsafe_b64encode(start.replace("-1", "1").encode()).decode().rstrip("=")
    status, answer = api("GET", maps(ns) + f"?limit=2&continue={old}")
    assert status in (200, 410)
    if status == 410:
        assert answer["reason"] == "Expired" and answer["metadata"]["continue"]


def test_future_version(api, ns):
    status, s = api("GET", maps(ns) + "?resourceVersion=999999999")
    assert status == 504 and s["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert api("GET", maps(ns) + "?resourceVersion=x")[0] == 400


def test_selectors(api, ns):
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2"}), ("c", {})):
        api("POST", maps(ns), {**cm(name), "metadata": {"name": name, "labels": labels}})

    def found(q):
        return [o["metadata"]["name"] for o in api("GET", maps(ns) + q)[1]["items"] if len(o["metadata"]["name"]) == 1]
    assert found("?labelSelector=x") == ["a", "b"]
    assert found("?labelSelector=x%20in%20(2,3)") == ["b"]
    assert found("?labelSelector=!x") == ["c"]
    assert found("?fieldSelector=metadata.name%3Db") == ["b"]
    assert found("?fieldSelector=metadata.name!%3Db") == ["a", "c"]
    assert api("GET", maps(ns) + "?fieldSelector=data.k%3D1")[0] == 400
    api("POST", pods(ns), pod("p1", node="ghost"))
    assert [o["metadata"]["name"] for o in api("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dghost")[1]["items"]] == ["p1"]


def test_table_and_partial(api, ns):
    api("POST", maps(ns), cm(k="1"))
    status, headers, data = api.raw("GET", maps(ns), Accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    t = json.loads(data)
    assert status == 200 and "as=Table" in headers["Content-Type"] and t["kind"] == "Table"
    assert [c["name"] for c in t["columnDefinitions"]] == ["Name", "Data", "Age"]
    row = [r for r in t["rows"] if r["cells"][0] == "a"][0]
    assert row["cells"][1] == 1 and row["object"]["kind"] == "PartialObjectMetadata" and "data" not in row["object"]
    _, p = api("GET", maps(ns), Accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
    assert p["kind"] == "PartialObjectMetadataList" and all("data" not in o for o in p["items"])
    assert api("GET", maps(ns), Accept="text/html")[0] == 406


# ---- watches ----

def collect(api, path, until, then=None):
    events = []
    for e in api.watch(path):
        events.append((e["type"], e["object"]["metadata"].get("name"), e["object"]))
        if then and len(events) == 1:
            then()
        if until(events):
            return events
    return events


def test_watch_from_a_version(api, ns):
    _, first = api("POST", maps(ns), cm("first"))
    rv = first["metadata"]["resourceVersion"]
    api("POST", maps(ns), cm("second"))
    api("PATCH", maps(ns) + "/second", {"data": {"a": "b"}}, content="application/merge-patch+json")
    api("DELETE", maps(ns) + "/second")
    got = collect(api, maps(ns) + f"?watch=1&resourceVersion={rv}&timeoutSeconds=2", lambda e: len(e) == 3)
    assert [(t, n) for t, n, _ in got] == [("ADDED", "second"), ("MODIFIED", "second"), ("DELETED", "second")]
    versions = [int(o["metadata"]["resourceVersion"]) for _, _, o in got]
    assert versions == sorted(set(versions)) and versions[0] > int(rv)


def test_object_that_leaves_the_selector_is_deleted(api, ns):
    api("POST", maps(ns), {**cm("s"), "metadata": {"name": "s", "labels": {"x": "1"}}})

    def change():
        for labels in ({"x": "2"}, {"x": "1"}):
            api("PATCH", maps(ns) + "/s", {"metadata": {"labels": labels}}, content="application/merge-patch+json")
    got = collect(api, maps(ns) + "?watch=1&labelSelector=x%3D1&timeoutSeconds=3", lambda e: len(e) == 3, change)
    assert [t for t, _, _ in got] == ["ADDED", "DELETED", "ADDED"]


def test_initial_events_end_with_a_bookmark(api, ns):
    api("POST", maps(ns), cm("a"))
    got = collect(api, maps(ns) + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=2",
                  lambda e: e[-1][0] == "BOOKMARK")
    assert got[-1][2]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert api("GET", maps(ns) + "?watch=1&sendInitialEvents=true")[0] == 422


def test_watch_ends_with_a_bookmark_at_its_timeout(api, ns):
    got = collect(api, maps(ns) + "?watch=1&allowWatchBookmarks=true&timeoutSeconds=1", lambda e: False)
    assert got[-1][0] == "BOOKMARK" and int(got[-1][2]["metadata"]["resourceVersion"]) > 0


def test_watch_goes_on_over_a_restart_of_api(api, root, ns):
    first = api("POST", maps(ns), cm("before"))[1]["metadata"]["resourceVersion"]
    for i in range(5):
        api("POST", maps(ns), cm(f"m{i}"))
    kill_service(api, root, "api")
    events = list(api.watch(maps(ns) + f"?watch=1&resourceVersion={first}&timeoutSeconds=1"))
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", f"m{i}") for i in range(5)]


def test_watch_from_a_forgotten_version_is_expired(api, root, ns):
    api("POST", "/atoll/secrets/reseal?key=1", {})  # after it the store forgets its log
    kill_service(api, root, "api")
    events = list(api.watch(maps(ns) + "?watch=1&resourceVersion=1&timeoutSeconds=2"))
    assert events[0]["type"] == "ERROR" and events[0]["object"]["code"] == 410
    assert events[0]["object"]["reason"] == "Expired" and len(events) == 1


def test_many_watchers_see_every_event_once(api, ns):
    import threading
    seen = []

    version = api("GET", maps(ns) + "?limit=1")[1]["metadata"]["resourceVersion"]

    def run():
        names = []
        for e in api.watch(f"{maps(ns)}?watch=1&labelSelector=w&resourceVersion={version}&timeoutSeconds=60"):
            names.append(e["object"]["metadata"]["name"])
            if names[-1] == "end":
                break
        seen.append(names)
    threads = [threading.Thread(target=run) for _ in range(20)]
    for t in threads:
        t.start()
    wanted = [*(f"w{i}" for i in range(200)), "end"]
    for name in wanted:
        api("POST", maps(ns), {**cm(name), "metadata": {"name": name, "labels": {"w": ""}}})
    for t in threads:
        t.join()
    assert len(seen) == 20 and all(s == wanted for s in seen)


# ---- identity and access ----

def as_token(api, token):
    return Api(api.sock, {"Authorization": "Bearer " + token})


def test_tokens_and_roles(api, ns):
    status, t = api("POST", f"/api/v1/namespaces/{ns}/serviceaccounts/default/token", {"spec": {}})
    assert status == 201
    me = as_token(api, t["status"]["token"])
    status, s = me("GET", pods(ns))
    assert status == 403 and s["message"] == (
        f'pods is forbidden: User "system:serviceaccount:{ns}:default" cannot list resource "pods" in API group "" in the namespace "{ns}"')
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}"
    api("POST", rbac + "/roles", {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]})
    api("POST", rbac + "/rolebindings", {"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
                                         "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": ns}]})
    assert me("GET", pods(ns))[0] == 200
    assert me("GET", pods("default"))[0] == 403
    assert me("GET", maps(ns))[0] == 403
    _, r = me("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert r["status"]["userInfo"]["username"] == f"system:serviceaccount:{ns}:default"
    _, r = me("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
              {"spec": {"resourceAttributes": {"namespace": ns, "verb": "list", "resource": "pods"}}})
    assert r["status"]["allowed"] is True
    _, r = api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": t["status"]["token"]}})
    assert r["status"]["authenticated"] and r["status"]["user"]["groups"][0] == "system:serviceaccounts"
    broken = t["status"]["token"][:-6] + "AAAAAA"
    assert as_token(api, broken)("GET", "/api")[0] == 401
    assert as_token(api, "x.y.z")("GET", "/api")[0] == 401


def test_token_dies_with_what_it_is_bound_to(api, ns):
    _, p = api("POST", pods(ns), pod(node="ghost"))
    _, t = api("POST", f"/api/v1/namespaces/{ns}/serviceaccounts/default/token",
               {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": p["metadata"]["uid"]}}})
    me = as_token(api, t["status"]["token"])
    assert me("GET", "/api")[0] == 200
    api("DELETE", pods(ns) + "/p?gracePeriodSeconds=0")
    assert me("GET", "/api")[0] == 401


def test_impersonation(api, ns):
    assert api("GET", pods(ns), Impersonate_User="nobody")[0] == 403
    assert api("GET", pods(ns), Impersonate_User="x", Impersonate_Group="system:masters")[0] == 200
    _, t = api("POST", f"/api/v1/namespaces/{ns}/serviceaccounts/default/token", {"spec": {}})
    assert as_token(api, t["status"]["token"])("GET", "/api", Impersonate_User="x")[0] == 403


def test_issuer_discovery(api):
    _, conf = api("GET", "/.well-known/openid-configuration")
    assert conf["issuer"] == "https://kubernetes.default.svc.cluster.local"
    _, keys = api("GET", "/openid/v1/jwks")
    assert keys["keys"][0]["crv"] == "P-256" and len(keys["keys"][0]["x"]) == 43


# ---- admission ----

def test_pods_get_account_token_and_tolerations(api, ns):
    _, p = api("POST", pods(ns), pod(node="ghost"))
    spec = p["spec"]
    assert spec["serviceAccountName"] == "default" and spec["priority"] == 0
    volume = spec["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert volume["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3607
    assert spec["containers"][0]["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert sorted(t["key"] for t in spec["tolerations"]) == ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
    status, s = api("POST", pods(ns), {**pod("q"), "spec": {**pod()["spec"], "serviceAccountName": "nobody"}})
    assert status == 403 and 'serviceaccount "nobody" not found' in s["message"]


def test_service_addresses(api, ns):
    path = f"/api/v1/namespaces/{ns}/services"

    def svc(name, **spec):
        return api("POST", path, {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}})
    _, a = svc("a")
    assert a["spec"]["clusterIP"].startswith("10.97.") and a["spec"]["clusterIPs"] == [a["spec"]["clusterIP"]]
    status, s = svc("b", clusterIP=a["spec"]["clusterIP"])
    assert status == 422 and "already allocated" in s["message"]
    assert svc("c", clusterIP="192.168.1.1")[0] == 422
    assert svc("d", clusterIP="None")[1]["spec"]["clusterIP"] == "None"
    _, n = svc("n", type="NodePort")
    port = n["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    status, s = svc("m", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    assert status == 422 and "already allocated" in s["message"]
    _, moved = api("PATCH", path + "/n", {"spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}, content="application/merge-patch+json")
    assert "nodePort" not in moved["spec"]["ports"][0] and moved["spec"]["clusterIP"] == n["spec"]["clusterIP"]
    api("DELETE", path + "/a")
    assert svc("again", clusterIP=a["spec"]["clusterIP"])[0] == 201
    taken = svc("other", type="NodePort")[1]["spec"]["ports"][0]["nodePort"]
    first = {"name": "a", "port": 80, "nodePort": port}
    assert svc("twice", type="NodePort", ports=[first, {"name": "b", "port": 81, "nodePort": taken}])[0] == 422
    assert svc("twice", type="NodePort", ports=[first])[0] == 201, "who was refused for one number may come again for the other"


def test_binding(api, ns):
    body = pod()
    body["spec"]["nodeSelector"] = {"no": "such-node"}
    api("POST", pods(ns), body)
    path = pods(ns) + "/p/binding"
    assert api("POST", path, {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "ghost"}})[0] == 201
    _, p = api("GET", pods(ns) + "/p")
    assert p["spec"]["nodeName"] == "ghost"
    assert [c["status"] for c in p["status"]["conditions"] if c["type"] == "PodScheduled"] == ["True"]
    assert api("POST", path, {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "other"}})[0] == 409


def test_eviction(api, ns):
    api("POST", pods(ns), pod(node="ghost"))
    assert api("POST", pods(ns) + "/p/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"},
                                                  "deleteOptions": {"gracePeriodSeconds": 0}})[0] == 201
    assert api("GET", pods(ns) + "/p")[0] == 404


# ---- discovery ----

def test_discovery(api):
    _, headers, data = api.raw("GET", "/apis", Accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    d = json.loads(data)
    assert d["kind"] == "APIGroupDiscoveryList" and "as=APIGroupDiscoveryList" in headers["Content-Type"]
    apps = [g for g in d["items"] if g["metadata"]["name"] == "apps"][0]["versions"][0]
    deploy = [r for r in apps["resources"] if r["resource"] == "deployments"][0]
    assert {s["subresource"] for s in deploy["subresources"]} == {"status", "scale"}
    assert api("GET", "/api/v1")[1]["kind"] == "APIResourceList"
    assert api("GET", "/apis/apps")[1]["preferredVersion"]["version"] == "v1"
    assert api("GET", "/openapi/v3")[1]["paths"]["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1")
    assert "paths" in api("GET", "/openapi/v3/apis/apps/v1")[1]
    assert api("GET", "/version")[1]["minor"] == "32"
    assert api("GET", "/readyz") == (200, "ok")
    assert "[+]ping ok" in api("GET", "/livez?verbose")[1]
    assert api("GET", "/nowhere") == (404, "404 page not found\n")
    assert api("GET", "/apis/nope/v1/things")[0] == 404
    status, s = api("GET", "/api/v1/things")
    assert status == 404 and s["message"] == "the server could not find the requested resource"


def test_events_are_one_resource_in_two_groups(api, ns):
    body = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": ns}, "reason": "R",
            "message": "m", "type": "Normal", "source": {"component": "test"}, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1}
    assert api("POST", f"/api/v1/namespaces/{ns}/events", body)[0] == 201
    _, e = api("GET", f"/apis/events.k8s.io/v1/namespaces/{ns}/events/e")
    assert e["note"] == "m" and e["regarding"]["name"] == "p" and e["apiVersion"] == "events.k8s.io/v1"


# ---- restarts ----

def kill_service(api, root, name):
    status = json.loads(subprocess.run([os.path.join(BUILD, "atoll"), "status", "--root", root, "-o", "json"],
                                       capture_output=True, text=True, check=True).stdout)
    pid = [s["pid"] for s in status["services"] if s["name"] == name][0]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if api("GET", "/readyz")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"not ready after {name} was killed")


def test_nothing_is_lost_when_store_or_api_die(api, root, ns):
    api("POST", maps(ns), cm("kept", k="1"))
    for name in ("store", "api", "keys"):
        kill_service(api, root, name)
        assert api("GET", maps(ns) + "/kept")[1]["data"]["k"] == "1"
        assert api("PATCH", maps(ns) + "/kept", {"data": {name: "back"}}, content="application/merge-patch+json")[0] == 200
    assert set(api("GET", maps(ns) + "/kept")[1]["data"]) == {"k", "store", "api", "keys"}


def test_writes_survive_a_store_that_dies_again_and_again(api, root, ns):
    """Every answered create is there, none is there twice, none fails while the store comes back."""
    import threading
    stop, failed, names = threading.Event(), [], []

    def writer(k):
        i = 0
        while not stop.is_set():
            status, o = api("POST", maps(ns), cm(f"w{k}-{i}"))
            if status == 201:
                names.append(f"w{k}-{i}")
            else:
                failed.append((status, o))
            i += 1
    threads = [threading.Thread(target=writer, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for _ in range(3):
        time.sleep(0.4)
        kill_service(api, root, "store")
    stop.set()
    for t in threads:
        t.join()
    assert not failed, failed[:3]
    have = {o["metadata"]["name"] for o in api("GET", maps(ns))[1]["items"]}
    assert len(names) > 20 and set(names) <= have
