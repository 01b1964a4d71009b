"""Every kind of the API, one after the other: made, read, listed, shown as a table, patched, explained and deleted. What is
special about single kinds follows below."""
import base64
import copy
import json
import re
import subprocess

import pytest

import atoll_cluster as ac
from kind_manifests import JOB, LABELS, MANIFESTS, TEMPLATE, VIRTUAL
from test_api import Api

NS = "kinds"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def here(new_atoll):
    a = new_atoll(image=False)
    a.kubectl("create", "namespace", NS)
    return a


@pytest.fixture(scope="module")
def api(here):
    return Api(f"{here.root}/run/atoll/api.sock")


@pytest.fixture(scope="module")
def resources(api):
    """(apiVersion, kind) → its entry in discovery, with the path of its group."""
    found = {}
    _, groups = api("GET", "/apis")
    versions = [("v1", "/api/v1")]
    versions += [(v["groupVersion"], "/apis/" + v["groupVersion"]) for g in groups["groups"] for v in g["versions"]]
    for version, path in versions:
        status, listed = api("GET", path)
        assert status == 200, listed
        for r in listed["resources"]:
            if "/" not in r["name"]:
                found[version, r["kind"]] = {**r, "path": path}
    return found


def signing_request():
    key = subprocess.run(["openssl", "req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=kinds"],
                         check=True, capture_output=True).stdout
    return base64.b64encode(key).decode()


def manifest(version, kind):
    body = copy.deepcopy(MANIFESTS[version, kind])
    text = json.dumps(body).replace("$NS", NS)
    body = json.loads(text.replace("$CSR", signing_request()) if "$CSR" in text else text)
    name = body.pop("name", f"kinds-{kind.lower()}-{re.sub('[./]', '-', version)}")
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": dict(LABELS)}, **body}


def collection(r):
    return f"{r['path']}/namespaces/{NS}/{r['name']}" if r["namespaced"] else f"{r['path']}/{r['name']}"


def test_discovery_knows_every_manifest_and_no_other_kind(resources):
    stored = {k for k, r in resources.items() if "create" in r["verbs"] and "list" in r["verbs"]}
    assert stored - set(MANIFESTS) == set()
    assert {kind for _, kind in set(resources) - stored} <= VIRTUAL | {"NodeMetrics", "PodMetrics"}


@pytest.mark.parametrize("version, kind", sorted(MANIFESTS))
def test_a_life_of_each_kind(api, resources, version, kind):
    r = resources.get((version, kind))
    if r is None:
        pytest.fail(f"{version} {kind} is not served")
    path, wanted = collection(r), manifest(version, kind)
    one = f"{path}/{wanted['metadata']['name']}"
    status, made = api("POST", path + "?fieldValidation=Strict", wanted)
    assert status == 201, made
    try:
        assert (made["apiVersion"], made["kind"]) == (version, kind)
        status, read = api("GET", one)
        assert status == 200 and read["metadata"]["uid"] == made["metadata"]["uid"]
        status, listed = api("GET", f"{path}?labelSelector=app%3Dkinds")
        assert status == 200 and listed["kind"] == kind + "List" and wanted["metadata"]["name"] in [
            i["metadata"]["name"] for i in listed["items"]]
        status, table = api("GET", path, Accept=TABLE)
        assert status == 200 and table["kind"] == "Table"
        columns = table["columnDefinitions"]
        assert all(len(row["cells"]) == len(columns) for row in table["rows"])
        names = [str(row["object"]["metadata"]["name"]) for row in table["rows"]]
        assert wanted["metadata"]["name"] in names
        status, patched = api("PATCH", one, {"metadata": {"annotations": {"a": "b"}}}, content=MERGE)
        assert status == 200 and patched["metadata"]["annotations"]["a"] == "b", patched
        # What was read can be written back: defaults and validation agree with each other.
        for _ in range(20):
            status, same = api("PUT", one, patched)
            if status != 409:
                break
            patched = api("GET", one)[1]  # its controller wrote the status meanwhile
        assert status == 200 and same["metadata"]["resourceVersion"] == patched["metadata"]["resourceVersion"], same
    finally:
        status, gone = api("DELETE", one)
        assert status == 200, gone


def schemas_of(api, path):
    status, doc = api("GET", "/openapi/v3" + path)
    assert status == 200
    return doc["components"]["schemas"]


def test_nothing_is_without_a_description(api):
    for path in sorted({f"/api/{v}" if v == "v1" else f"/apis/{v}" for v, _ in MANIFESTS} | {"/apis/metrics.k8s.io/v1beta1"}):
        for name, schema in schemas_of(api, path).items():
            assert schema.get("description") or not schema.get("properties"), name
            for field, of in schema.get("properties", {}).items():
                assert of.get("description"), f"{name}.{field}"


@pytest.mark.parametrize("path, accept", [("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"), ("/openapi/v3", "*/*"),
                                          ("/openapi/v3/apis/apps/v1", "application/json"), ("/openapi/v2", "application/json"),
                                          ("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")])
def test_documents_are_not_sent_twice_to_who_has_them(here, path, accept):
    def ask(*headers):
        head, _, body = ac.run("curl", "-si", "--unix-socket", here.sock, "-H", "Accept: " + accept, *headers, "http://x" + path).stdout.partition("\n\n")
        lines = [line.strip() for line in head.splitlines()]
        return int(lines[0].split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}, body
    status, headers, body = ask()
    assert status == 200 and body and headers["vary"] == "Accept"
    status, again, body = ask("-H", f"If-None-Match: \"x\", {headers['etag']}")
    assert (status, body, again["etag"]) == (304, "", headers["etag"])
    assert ask("-H", 'If-None-Match: "x"')[0] == 200


def test_an_address_with_the_hash_of_a_document_may_be_kept(here, api):
    _, index = api("GET", "/openapi/v3")
    url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    for suffix, cache in ("", "public, immutable, max-age=31536000"), ("0", "no-cache, private"):
        told = ac.run("curl", "-si", "--unix-socket", here.sock, f"http://x{url}{suffix}").stdout.lower()
        assert f"cache-control: {cache}\n" in told


def test_kubectl_explains_a_field(here):
    out = here.kubectl("explain", "sts.spec.podManagementPolicy").stdout
    assert "OrderedReady" in out and "Parallel" in out
    out = here.kubectl("explain", "hpa", "--api-version=autoscaling/v2", "--recursive").stdout
    assert "stabilizationWindowSeconds" in out
    assert "jobTemplate" in here.kubectl("explain", "cronjob.spec").stdout


def test_versions_come_newest_first(api):
    _, groups = api("GET", "/apis")
    by_name = {g["name"]: [v["version"] for v in g["versions"]] for g in groups["groups"]}
    assert by_name["autoscaling"] == ["v2", "v1"]
    assert by_name["batch"] == ["v1", "v1beta1"]
    names = list(by_name)
    order = ["apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
             "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io", "scheduling.k8s.io",
             "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io"]
    assert [n for n in names if n in order] == order


def test_system_priority_classes_are_there(here):
    out = here.kubectl("get", "pc").stdout
    assert "system-node-critical" in out and "2000001000" in out and "system-cluster-critical" in out


def test_parts_of_the_system_can_be_asked_for(here, api):
    r = here.kubectl("get", "cs")
    assert re.search(r"etcd-0 +Healthy +ok", r.stdout) and "deprecated" in r.stderr
    assert api("GET", "/api/v1/componentstatuses/etcd-0")[1]["conditions"][0]["type"] == "Healthy"
    assert api("GET", "/api/v1/componentstatuses/nothing")[0] == 404
    assert api("DELETE", "/api/v1/componentstatuses/etcd-0")[0] == 405


def causes(answer):
    return [(c.get("field"), c["reason"]) for c in answer["details"].get("causes", [])]


INVALID = [
    ("batch/v1", "CronJob", {"spec": {"schedule": "61 * * * *"}}, ("spec.schedule", "FieldValueInvalid")),
    ("batch/v1", "CronJob", {"spec": {"timeZone": "Mars/Olympus"}}, ("spec.timeZone", "FieldValueInvalid")),
    ("batch/v1", "Job", {"spec": {"template": {"spec": {"restartPolicy": "Always"}}}},
     ("spec.template.spec.restartPolicy", "FieldValueRequired")),
    ("apps/v1", "StatefulSet", {"spec": {"podManagementPolicy": "Backwards"}},
     ("spec.podManagementPolicy", "FieldValueNotSupported")),
    ("networking.k8s.io/v1", "NetworkPolicy",
     {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]}},
     ("spec.egress[0].to[0].ipBlock.cidr", "FieldValueInvalid")),
    ("networking.k8s.io/v1", "Ingress", {"spec": {"rules": [{"host": "1.2.3.4"}]}}, ("spec.rules[0].host", "FieldValueInvalid")),
    ("autoscaling/v2", "HorizontalPodAutoscaler", {"spec": {"minReplicas": 4}}, ("spec.maxReplicas", "FieldValueInvalid")),
    ("autoscaling/v2", "HorizontalPodAutoscaler", {"spec": {"behavior": {"scaleUp": {"policies": []}}}},
     ("spec.behavior.scaleUp.policies", "FieldValueRequired")),
    ("policy/v1", "PodDisruptionBudget", {"spec": {"maxUnavailable": 1}}, ("spec", "FieldValueInvalid")),
    ("v1", "PersistentVolumeClaim", {"spec": {"resources": {"requests": {"storage": "0"}}}},
     ("spec.resources[storage]", "FieldValueInvalid")),
    ("scheduling.k8s.io/v1", "PriorityClass", {"value": 2000000000}, ("value", "FieldValueForbidden")),
    ("events.k8s.io/v1", "Event", {"eventTime": None}, ("eventTime", "FieldValueRequired")),
]


def merged(x, y):
    if not isinstance(x, dict) or not isinstance(y, dict):
        return y
    return {k: merged(x[k], y[k]) if k in x and k in y else y.get(k, x.get(k)) for k in {**x, **y}}


@pytest.mark.parametrize("version, kind, change, cause", INVALID)
def test_what_is_wrong_is_named(api, resources, version, kind, change, cause):
    status, answer = api("POST", collection(resources[version, kind]), merged(manifest(version, kind), change))
    assert status == 422 and cause in causes(answer), answer


IMMUTABLE = [
    ("apps/v1", "StatefulSet", {"spec": {"serviceName": "other"}}, "spec"),
    ("batch/v1", "Job", {"spec": {"completions": 5}}, "spec.completions"),
    ("v1", "PersistentVolumeClaim", {"spec": {"accessModes": ["ReadOnlyMany"]}}, "spec"),
    ("v1", "PersistentVolume", {"spec": {"hostPath": {"path": "/other"}}}, "spec.persistentvolumesource"),
    ("storage.k8s.io/v1", "StorageClass", {"provisioner": "example.com/other"}, "provisioner"),
    ("scheduling.k8s.io/v1", "PriorityClass", {"value": 8}, "value"),
    ("node.k8s.io/v1", "RuntimeClass", {"handler": "other"}, "handler"),
    ("networking.k8s.io/v1", "IngressClass", {"spec": {"controller": "example.com/other"}}, "spec.controller"),
]


@pytest.mark.parametrize("version, kind, change, field", IMMUTABLE)
def test_what_must_stay_stays(api, resources, version, kind, change, field):
    path, body = collection(resources[version, kind]), manifest(version, kind)
    body["metadata"]["name"] = "stays-" + kind.lower()
    assert api("POST", path, body)[0] == 201
    status, answer = api("PATCH", f"{path}/{body['metadata']['name']}", change, content=MERGE)
    assert status == 422 and field in [f for f, _ in causes(answer)], answer
    assert api("DELETE", f"{path}/{body['metadata']['name']}")[0] == 200


def test_a_job_selects_its_own_pods(api):
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "own"}, "spec": JOB}
    status, job = api("POST", f"/apis/batch/v1/namespaces/{NS}/jobs", body)
    assert status == 201, job
    uid = job["metadata"]["uid"]
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["job-name"] == labels["batch.kubernetes.io/job-name"] == "own" and labels["controller-uid"] == uid
    assert job["spec"]["backoffLimit"] == 6 and job["spec"]["completionMode"] == "NonIndexed"


def test_one_autoscaler_in_two_versions(api):
    path = f"/apis/autoscaling/{{}}/namespaces/{NS}/horizontalpodautoscalers"
    body = manifest("autoscaling/v2", "HorizontalPodAutoscaler")
    body["metadata"]["name"] = "two"
    body["spec"]["metrics"] = [{"type": "Resource", "resource": {"name": n, "target": {"type": "Utilization",
                                                                                      "averageUtilization": 50}}}
                               for n in ("cpu", "memory")]
    body["spec"]["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    assert api("POST", path.format("v2"), body)[0] == 201
    for _ in range(20):  # its controller writes the status meanwhile
        status, old = api("GET", path.format("v1") + "/two")
        assert status == 200 and old["apiVersion"] == "autoscaling/v1"
        assert old["spec"]["targetCPUUtilizationPercentage"] == 50
        carried = {k.rpartition("/")[2]: json.loads(v) for k, v in old["metadata"]["annotations"].items()}
        assert carried["metrics"] == [{"type": "Resource", "resource": {"name": "memory", "targetAverageUtilization": 50}}]
        assert carried["behavior"]["ScaleDown"]["StabilizationWindowSeconds"] == 60
        assert all(c["type"] for c in carried.get("conditions", []))
        old["spec"]["maxReplicas"] = 9
        status = api("PUT", path.format("v1") + "/two", old)[0]
        if status != 409:
            break
    assert status == 200
    _, new = api("GET", path.format("v2") + "/two")
    assert new["spec"]["maxReplicas"] == 9 and len(new["spec"]["metrics"]) == 2
    assert new["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 60
    assert "annotations" not in new["metadata"]
    versions = {e["apiVersion"] for e in new["metadata"]["managedFields"] if "f:metrics" in e["fieldsV1"].get("f:spec", {})}
    assert versions == {"autoscaling/v2"}  # whose fields they are, whatever version was written


def test_fields_that_were_written_in_another_version_are_named_as_they_are_stored(api):
    path = f"/apis/autoscaling/{{}}/namespaces/{NS}/horizontalpodautoscalers"
    spec = {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": {"kind": "Deployment", "name": "none", "apiVersion": "apps/v1"}}
    assert api("POST", path.format("v1") + "?fieldManager=me", {"metadata": {"name": "older"}, "spec": spec})[0] == 201
    _, new = api("GET", path.format("v2") + "/older")
    (mine,) = [e for e in new["metadata"]["managedFields"] if e["manager"] == "me"]
    assert mine["apiVersion"] == "autoscaling/v2" and "f:metrics" in mine["fieldsV1"]["f:spec"], mine


def test_an_empty_budget_selector_means_nothing_in_beta(api):
    path = f"/apis/policy/{{}}/namespaces/{NS}/poddisruptionbudgets"
    body = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "empty"},
            "spec": {"minAvailable": 1, "selector": {}}}
    assert api("POST", path.format("v1beta1"), body)[0] == 201
    _, stable = api("GET", path.format("v1") + "/empty")
    assert stable["spec"]["selector"]["matchExpressions"][0]["operator"] == "Exists"
    _, beta = api("GET", path.format("v1beta1") + "/empty")
    assert beta["spec"]["selector"] == {}
    assert api("DELETE", path.format("v1") + "/empty")[0] == 200


@pytest.mark.parametrize("version, kind", [("apps/v1", "StatefulSet"), ("v1", "ReplicationController")])
def test_scale_of_every_workload(api, resources, version, kind):
    path, body = collection(resources[version, kind]), manifest(version, kind)
    body["metadata"]["name"] = "scaled-" + kind.lower()
    assert api("POST", path, body)[0] == 201
    one = f"{path}/{body['metadata']['name']}"
    status, scale = api("GET", one + "/scale")
    assert status == 200 and scale["spec"].get("replicas", 0) == 0 and scale["status"]["selector"] == "app=kinds"
    status, table = api("GET", one + "/scale", Accept=TABLE)
    assert status == 200 and [c["name"] for c in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"], table
    assert table["rows"][0]["cells"][:3] == [body["metadata"]["name"], 0, 0]
    assert api("PATCH", one + "/scale", {"spec": {"replicas": 0}}, content=MERGE)[0] == 200
    scale["spec"]["replicas"] = -1
    assert api("PUT", one + "/scale", scale)[0] == 422
    assert api("DELETE", one)[0] == 200


# ---- pods: ephemeral containers, resize ----

def running_pod(api, name, labels):
    """A pod that nobody runs, and that says it is running and ready."""
    path = f"/api/v1/namespaces/{NS}/pods"
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
            "spec": {**TEMPLATE["spec"], "schedulerName": "nobody"}}
    assert api("POST", path, body)[0] == 201
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert api("PATCH", f"{path}/{name}/status", status, content=MERGE)[0] == 200
    return f"{path}/{name}"


def test_ephemeral_containers_are_only_added(api):
    pod = running_pod(api, "debugged", {"set": "debugged"})
    new = {"name": "debug", "image": "localhost/none:2", "targetContainerName": "c"}
    path = pod + "/ephemeralcontainers"
    strategic = "application/strategic-merge-patch+json"
    status, answer = api("PATCH", path, {"spec": {"ephemeralContainers": [new]}}, content=strategic)
    assert status == 200 and answer["spec"]["ephemeralContainers"][0]["name"] == "debug", answer
    _, read = api("GET", path)
    read["spec"]["ephemeralContainers"][0]["image"] = "localhost/other:1"
    read["metadata"]["labels"] = {}
    status, answer = api("PUT", path, read)
    assert status == 422 and "may not be changed" in answer["message"]
    read["spec"]["ephemeralContainers"] = []
    assert "may not be removed" in api("PUT", path, read)[1]["message"]
    _, after = api("GET", pod)
    assert after["metadata"]["labels"] == {"set": "debugged"}
    bad = {"name": "c", "image": "x", "ports": [{"containerPort": 1}], "targetContainerName": "nobody"}
    status, answer = api("PATCH", path, {"spec": {"ephemeralContainers": [bad]}}, content=strategic)
    reasons = {r for _, r in causes(answer)}
    assert status == 422 and reasons == {"FieldValueDuplicate", "FieldValueForbidden", "FieldValueNotFound"}, answer


def test_resize_changes_resources_and_nothing_else(api):
    path = f"/api/v1/namespaces/{NS}/pods"
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "resized"},
            "spec": {"schedulerName": "nobody",
                     "containers": [{"name": "c", "image": "localhost/none:1", "resources": {"requests": {"cpu": "100m"}}}]}}
    assert api("POST", path, body)[0] == 201
    change = {"spec": {"containers": [{"name": "c", "image": "other", "resources": {"requests": {"cpu": "200m"}}}]}}
    status, after = api("PATCH", f"{path}/resized/resize", change, content="application/strategic-merge-patch+json")
    assert status == 200, after
    container = after["spec"]["containers"][0]
    assert container["resources"]["requests"]["cpu"] == "200m" and container["image"] == "localhost/none:1"
    change["spec"]["containers"][0]["resources"]["requests"] = {"cpu": None}
    status, answer = api("PATCH", f"{path}/resized/resize", change, content="application/strategic-merge-patch+json")
    assert status == 422 and "QOS" in answer["message"]


def test_a_namespace_empties_itself_of_every_kind(here, api, resources):
    ns = "emptied"
    here.kubectl("create", "namespace", ns)
    for (version, kind) in sorted(MANIFESTS):
        r = resources.get((version, kind))
        if not r or not r["namespaced"] or kind in ("ResourceQuota", "LimitRange"):
            continue
        body = json.loads(json.dumps(manifest(version, kind)).replace(f'"namespace": "{NS}"', f'"namespace": "{ns}"'))
        status, answer = api("POST", f"{r['path']}/namespaces/{ns}/{r['name']}", body)
        assert status == 201, answer
    here.kubectl("delete", "namespace", ns, "--wait=false")
    ac.until(lambda: api("GET", f"/api/v1/namespaces/{ns}")[0] == 404, seconds=30, what="the namespace is gone")
