"""Aggregated APIs: a server of this test behind an APIService, and the APIServices of Atoll's own groups."""
import json
import subprocess

import pytest

import atoll_cluster as ac
import webhook_server as ws

GROUP, VERSION = "toys.example.com", "v1alpha1"
RESOURCES = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}",
             "resources": [{"name": "toys", "singularName": "toy", "namespaced": True, "kind": "Toy", "verbs": ["create", "get", "list"],
                            "shortNames": ["ty"]},
                           {"name": "toys/status", "singularName": "", "namespaced": True, "kind": "Toy", "verbs": ["get"]}]}


def schemas(at):
    """What the server says of its kind; at: where references point to."""
    kind = {"group": GROUP, "version": VERSION, "kind": "Toy"}
    return {"com.example.toys.Toy": {"description": "Something to play with.", "type": "object", "x-kubernetes-group-version-kind": [kind],
                                     "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"},
                                                    "spec": {"$ref": at + "com.example.toys.ToySpec"}}},
            "com.example.toys.ToySpec": {"type": "object", "properties": {"color": {"description": "Bright ones sell.", "type": "string"}}}}


TOYS_PATH = f"/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/toys"
TOYS_GET = {"get": {"x-kubernetes-action": "list", "x-kubernetes-group-version-kind": {"group": GROUP, "version": VERSION, "kind": "Toy"}}}
OPENAPI_V3 = {"openapi": "3.0.0", "paths": {TOYS_PATH: TOYS_GET}, "components": {"schemas": schemas("#/components/schemas/")}}
OPENAPI_V2 = {"swagger": "2.0", "paths": {TOYS_PATH: TOYS_GET, "/api/v1/pods": {"get": {"description": "evil"}}},
              "definitions": {**schemas("#/definitions/"), "io.k8s.api.core.v1.Pod": {"description": "evil"},
                              "io.k8s.api.core.v1.PodSpec": {"description": "evil", "x-kubernetes-group-version-kind": [
                                  {"group": GROUP, "version": VERSION, "kind": "Toy2"}]}}}


@pytest.fixture(scope="module")
def cluster(root):
    a = ac.Atoll.__new__(ac.Atoll)
    a.root = root
    a.kubeconfig, a.sock = f"{root}/etc/atoll/admin.kubeconfig", f"{root}/run/atoll/api.sock"
    return a


@pytest.fixture(scope="module")
def toys(cluster):
    """A server that believes the front proxy only, as sample-apiserver does."""
    trust = cluster.get("configmap", "extension-apiserver-authentication", namespace="kube-system")["data"]
    assert json.loads(trust["requestheader-allowed-names"]) == ["front-proxy-client"]
    assert json.loads(trust["requestheader-username-headers"]) == ["X-Remote-User"]
    seen = []

    def answer(path, body, headers, peer):
        name = dict(x[0] for x in peer["subject"])["commonName"]
        seen.append((path, name, headers, body))
        if path.rstrip("/") == f"/apis/{GROUP}/{VERSION}":
            return 200, json.dumps(RESOURCES).encode()
        if path.startswith("/openapi/v3"):
            return 200, json.dumps(OPENAPI_V3).encode()
        if path.startswith("/openapi/v2"):
            return 200, json.dumps(OPENAPI_V2).encode()
        if "/toys" in path and body:
            return 201, body
        if "/toys" in path:
            toy = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Toy", "metadata": {"name": "bear", "namespace": "default"}}
            return 200, json.dumps({"apiVersion": f"{GROUP}/{VERSION}", "kind": "ToyList", "metadata": {}, "items": [toy]}).encode()
        return 404, b"{}"

    s = ws.Server(answer, address="192.0.2.1", names=["toys.default.svc"], client_ca=trust["requestheader-client-ca-file"])
    s.calls = seen
    cluster.apply({"kind": "Service", "metadata": {"name": "toys"}, "spec": {"ports": [{"port": 443}]}},
                  {"kind": "Endpoints", "metadata": {"name": "toys"}, "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": s.port}]}]},
                  {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": f"{VERSION}.{GROUP}"},
                   "spec": {"group": GROUP, "version": VERSION, "groupPriorityMinimum": 2000, "versionPriority": 200, "caBundle": s.bundle,
                            "service": {"namespace": "default", "name": "toys"}}})
    ac.until(lambda: available(cluster)["status"] == "True", what="APIService available")
    yield s
    cluster.kubectl("delete", "apiservice", f"{VERSION}.{GROUP}", "--ignore-not-found")
    s.close()


def available(cluster, name=f"{VERSION}.{GROUP}"):
    conditions = cluster.get("apiservice", name)["status"].get("conditions", [])
    return next((c for c in conditions if c["type"] == "Available"), {"status": "Unknown", "reason": ""})


def test_own_groups_have_local_api_services(cluster):
    ac.until(lambda: cluster.get("apiservice", "v1.apps"), what="v1.apps")
    for name in ("v1.", "v1.apps", "v2.autoscaling", "v1.apiregistration.k8s.io"):
        assert available(cluster, name)["reason"] == "Local"
    assert cluster.get("apiservice", "v1.apps")["spec"] == {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15}
    line = cluster.kubectl("get", "apiservice", "v1.apps").stdout.splitlines()[1].split()
    assert line[:3] == ["v1.apps", "Local", "True"]
    cluster.kubectl("delete", "apiservice", "v1.apps")
    ac.until(lambda: cluster.get("apiservice", "v1.apps"), what="v1.apps again")


def test_requests_are_handed_over_with_who_asks(cluster, toys):
    assert cluster.kubectl("get", "toys").stdout.split() == ["NAME", "AGE", "bear", "<unknown>"]
    cluster.kubectl("create", "-f", "-", "--validate=false",
                    text=json.dumps({"apiVersion": f"{GROUP}/{VERSION}", "kind": "Toy", "metadata": {"name": "ball"}}))
    path, proxy, headers, body = toys.calls[-1]
    headers = {k.lower(): v for k, v in headers.items()}
    assert path.startswith(f"/apis/{GROUP}/{VERSION}/namespaces/default/toys") and json.loads(body)["metadata"]["name"] == "ball"
    assert proxy == "front-proxy-client" and headers["x-remote-user"] == "kubernetes-admin"
    assert headers["x-remote-group"] in ("system:masters", "system:authenticated") and "authorization" not in headers
    assert headers["host"] == "toys.default.svc:443"


def test_clients_cannot_pose_as_others(cluster, toys):
    cluster.kubectl("get", "--raw", f"/apis/{GROUP}/{VERSION}/namespaces/default/toys", "--as", "jane", check=False)
    r = ac.run("curl", "-s", "--unix-socket", cluster.sock, "-H", "X-Remote-User: evil", "-H", "X-Remote-Group: evil",
               f"http://localhost/apis/{GROUP}/{VERSION}/namespaces/default/toys")
    assert "ToyList" in r.stdout
    headers = {k.lower(): v for k, v in toys.calls[-1][2].items()}
    assert headers["x-remote-user"] == "system:admin" and headers["x-remote-group"] != "evil"


def test_discovery_knows_the_aggregated_group(cluster, toys):
    groups = {g["name"]: g for g in json.loads(cluster.kubectl("get", "--raw", "/apis").stdout)["groups"]}
    assert groups[GROUP]["preferredVersion"]["version"] == VERSION
    assert json.loads(cluster.kubectl("get", "--raw", f"/apis/{GROUP}").stdout)["name"] == GROUP
    assert json.loads(cluster.kubectl("get", "--raw", f"/apis/{GROUP}/{VERSION}").stdout) == RESOURCES
    r = ac.run("curl", "-s", "--unix-socket", cluster.sock, "-H",
               "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "http://localhost/apis")
    group = next(g for g in json.loads(r.stdout)["items"] if g["metadata"]["name"] == GROUP)
    (resource,) = group["versions"][0]["resources"]
    assert resource["resource"] == "toys" and resource["scope"] == "Namespaced" and resource["shortNames"] == ["ty"]
    assert resource["responseKind"] == {"group": GROUP, "version": VERSION, "kind": "Toy"}
    assert [s["subresource"] for s in resource["subresources"]] == ["status"]


def test_the_openapi_index_and_the_order_of_groups_know_it(cluster, toys):
    def raw(path):
        return json.loads(cluster.kubectl("get", "--raw", path).stdout)

    entry = raw("/openapi/v3")["paths"][f"apis/{GROUP}/{VERSION}"]["serverRelativeURL"]
    assert entry.startswith(f"/openapi/v3/apis/{GROUP}/{VERSION}?hash=") and raw(entry) == OPENAPI_V3
    names = [g["name"] for g in raw("/apis")["groups"]]
    assert names[0] == "apiregistration.k8s.io" and names.index("apps") < names.index(GROUP) < names.index("metrics.k8s.io"), names
    cluster.kubectl("patch", "apiservice", f"{VERSION}.{GROUP}", "--type=merge", "-p", '{"spec":{"groupPriorityMinimum":17850}}')
    ac.until(lambda: [g["name"] for g in raw("/apis")["groups"]].index(GROUP) == 1, what="the group before apps")


def swagger(cluster):
    return json.loads(cluster.kubectl("get", "--raw", "/openapi/v2").stdout)


def swagger_protobuf(cluster):
    return subprocess.run(["curl", "-s", "--unix-socket", cluster.sock, "-H", "Accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
                           "http://localhost/openapi/v2"], capture_output=True, check=True).stdout


def test_what_an_aggregated_server_says_of_its_kinds_is_in_both_documents(cluster, toys):
    text = cluster.kubectl("explain", "toys.spec").stdout
    assert "Bright ones sell." in text and "color\t<string>" in text
    ac.until(lambda: "com.example.toys.Toy" in swagger(cluster)["definitions"], what="the server's part of /openapi/v2")
    doc = swagger(cluster)
    assert doc["definitions"]["com.example.toys.Toy"] == schemas("#/definitions/")["com.example.toys.Toy"] and TOYS_PATH in doc["paths"]
    assert "com.example.toys.ToySpec" in doc["definitions"] and "evil" not in json.dumps(doc)
    assert "io.k8s.metrics.pkg.apis.metrics.v1beta1.NodeMetrics" in doc["definitions"]
    protobuf = swagger_protobuf(cluster)
    assert b"com.example.toys.ToySpec" in protobuf and b"Bright ones sell." in protobuf and b"evil" not in protobuf
    assert b"metrics.v1beta1.ContainerMetrics" in protobuf


def references(v):
    if isinstance(v, dict):
        for key, child in v.items():
            if key == "$ref" and isinstance(child, str):
                yield child
            yield from references(child)
    elif isinstance(v, list):
        for child in v:
            yield from references(child)


def test_no_reference_of_the_merged_document_leads_nowhere(cluster, toys):
    doc = swagger(cluster)
    assert not {r for r in references(doc) if r.removeprefix("#/definitions/") not in doc["definitions"]}


def test_the_figures_of_nodes_and_pods_are_explained(cluster):
    text = cluster.kubectl("explain", "nodes", "--api-version=metrics.k8s.io/v1beta1", "--recursive").stdout
    assert "KIND:       NodeMetrics" in text and "usage" in text and "ownerReferences" in text
    assert "Name of the container." in cluster.kubectl("explain", "pods.containers", "--api-version=metrics.k8s.io/v1beta1").stdout


def test_without_its_server_an_api_is_unavailable(cluster, toys):
    def endpoints(*ports):
        subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": p}]} for p in ports]
        cluster.apply({"kind": "Endpoints", "metadata": {"name": "toys"}, "subsets": subsets})

    endpoints()
    cluster.kubectl("annotate", "service", "toys", "touched=1", "--overwrite")
    assert "io.k8s.api.core.v1.Pod" in swagger(cluster)["definitions"]
    r = cluster.kubectl("get", "--raw", f"/apis/{GROUP}/{VERSION}/namespaces/default/toys", check=False)
    assert r.returncode and "ServiceUnavailable" in r.stderr
    endpoints(toys.port)
    assert "ToyList" in cluster.kubectl("get", "--raw", f"/apis/{GROUP}/{VERSION}/namespaces/default/toys").stdout


def test_a_server_that_nobody_trusts_is_not_available(cluster, toys):
    name = "v1.other.example.com"
    cluster.apply({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name},
                   "spec": {"group": "other.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 10,
                            "service": {"namespace": "default", "name": "toys"}}})
    try:
        ac.until(lambda: available(cluster, name)["status"] == "False", what="unavailable")
        assert available(cluster, name)["reason"] == "FailedDiscoveryCheck"
        assert "certificate signed by unknown authority" in available(cluster, name)["message"]
        assert "False (FailedDiscoveryCheck)" in cluster.kubectl("get", "apiservice", name).stdout
    finally:
        cluster.kubectl("delete", "apiservice", name)


def test_api_services_are_validated(cluster):
    o = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "wrong"},
         "spec": {"group": "a.example.com", "version": "v1", "groupPriorityMinimum": 0, "versionPriority": 10}}
    err = cluster.kubectl("create", "-f", "-", text=json.dumps(o), check=False).stderr
    assert "must be `spec.version" in err and "must be positive and less than 20000" in err
