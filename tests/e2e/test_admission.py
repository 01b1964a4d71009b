"""Admission: what the cluster adds to objects, and what it refuses, from outside."""
import concurrent.futures
import json
import uuid

import pytest

import atoll_cluster as ac
from test_api import UnixConnection

CONTAINER = {"name": "c", "image": ac.IMAGE, "command": ["sleep", "1000"]}


class Raw:
    """JSON requests over the unix socket, as the administrator or whom he impersonates."""

    def __init__(self, root):
        self.sock = f"{root}/run/atoll/api.sock"

    def __call__(self, method, path, body=None, user=None, groups=(), content="application/json"):
        c = UnixConnection(self.sock, timeout=30)
        c.putrequest(method, path)
        data = b"" if body is None else json.dumps(body).encode()
        for k, v in [("Content-Type", content), ("Content-Length", str(len(data))), *([("Impersonate-User", user)] if user else []),
                     *[("Impersonate-Group", g) for g in groups]]:
            c.putheader(k, v)
        c.endheaders(data)
        r = c.getresponse()
        text = r.read()
        c.close()
        self.warnings = [v for k, v in r.getheaders() if k.lower() == "warning"]
        return r.status, json.loads(text) if text.startswith(b"{") else text


@pytest.fixture(scope="module")
def raw(root):
    return Raw(root)


@pytest.fixture
def ns(raw):
    name = f"adm-{uuid.uuid4().hex[:6]}"
    assert raw("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
    yield name
    raw("DELETE", f"/api/v1/namespaces/{name}")


def pod(name, labels=None, annotations=None, resources=None, **spec):
    c = {**CONTAINER, **({"resources": resources} if resources else {})}
    return {"metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
            "spec": {"nodeName": "nowhere", "containers": [c], **spec}}


def make(raw, ns, plural, o, group="api/v1"):
    return raw("POST", f"/{group}/namespaces/{ns}/{plural}", o)


def made(raw, ns, plural, o, group="api/v1"):
    status, answer = make(raw, ns, plural, o, group)
    assert status == 201, answer
    return answer


def quota(raw, ns, name, hard, **spec):
    made(raw, ns, "resourcequotas", {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})


def used(raw, ns, name):
    return raw("GET", f"/api/v1/namespaces/{ns}/resourcequotas/{name}")[1].get("status", {}).get("used", {})


def until_used(raw, ns, name, want):
    ac.until(lambda: {k: v for k, v in used(raw, ns, name).items() if k in want} == want, 5, what=f"{name} used {want}")


# ---- ResourceQuota ----

def test_quota_no_race_gets_past(raw, ns):
    """200 creates at once against a quota of 50: exactly 50 are there, and the quota says so."""
    quota(raw, ns, "q", {"configmaps": "51", "count/secrets": "50"})  # kube-root-ca.crt counts too
    ac.until(lambda: used(raw, ns, "q").get("configmaps") == "1", what="root CA counted")
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        maps = list(pool.map(lambda i: make(raw, ns, "configmaps", {"metadata": {"name": f"m{i}"}})[0], range(200)))
        secrets = list(pool.map(lambda i: make(raw, ns, "secrets", {"metadata": {"name": f"s{i}"}})[0], range(200)))
    assert maps.count(201) == 50 and maps.count(403) == 150, maps
    assert secrets.count(201) == 50 and secrets.count(403) == 150, secrets
    until_used(raw, ns, "q", {"configmaps": "51", "count/secrets": "50"})
    status, answer = make(raw, ns, "configmaps", {"metadata": {"name": "more"}})
    assert status == 403 and answer["message"] == ('configmaps "more" is forbidden: exceeded quota: q, requested: configmaps=1, '
                                                   'used: configmaps=51, limited: configmaps=51')
    raw("DELETE", f"/api/v1/namespaces/{ns}/configmaps/m{maps.index(201)}")
    made(raw, ns, "configmaps", {"metadata": {"name": "more"}})


def test_quotas_with_scopes_at_once(raw, ns):
    """Two quotas that see different pods: each is filled to its own limit."""
    quota(raw, ns, "best", {"pods": "20"}, scopes=["BestEffort"])
    quota(raw, ns, "not", {"pods": "30", "requests.cpu": "1"}, scopes=["NotBestEffort"])

    def create(i):
        return make(raw, ns, "pods", pod(f"p{i}", resources={"requests": {"cpu": "10m"}} if i % 2 else None))[0]
    ac.until(lambda: raw("GET", f"/api/v1/namespaces/{ns}/serviceaccounts/default")[0] == 200, what="service account")
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(create, range(200)))
    assert answers[0::2].count(201) == 20 and answers[1::2].count(201) == 30, answers
    assert set(answers) == {201, 403}
    until_used(raw, ns, "best", {"pods": "20"})
    until_used(raw, ns, "not", {"pods": "30", "requests.cpu": "300m"})


def test_quota_gives_back_what_was_not_stored(raw, ns):
    """Names that are taken, dry runs and invalid objects use nothing."""
    quota(raw, ns, "q", {"secrets": "3"})
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda i: make(raw, ns, "secrets", {"metadata": {"name": "same"}})[0], range(50)))
    assert answers.count(201) == 1 and set(answers) <= {201, 403, 409}, answers
    for _ in range(3):
        assert raw("POST", f"/api/v1/namespaces/{ns}/secrets?dryRun=All", {"metadata": {"name": "dry"}})[0] == 201
        assert make(raw, ns, "secrets", {"metadata": {"name": "Bad Name"}})[0] == 422
    made(raw, ns, "secrets", {"metadata": {"name": "b"}})
    made(raw, ns, "secrets", {"metadata": {"name": "c"}})
    assert make(raw, ns, "secrets", {"metadata": {"name": "d"}})[0] == 403
    until_used(raw, ns, "q", {"secrets": "3"})


def test_quota_follows_pods_and_its_own_changes(raw, ns):
    quota(raw, ns, "q", {"pods": "2", "cpu": "1", "limits.memory": "1Gi", "services.nodeports": "1", "count/deployments.apps": "1",
                         "requests.storage": "2Gi", "persistentvolumeclaims": "5", "resourcequotas": "1"})
    until_used(raw, ns, "q", {"pods": "0", "resourcequotas": "1", "count/deployments.apps": "0"})
    status, answer = make(raw, ns, "pods", pod("a"))
    assert status == 403 and answer["message"] == ('pods "a" is forbidden: failed quota: q: must specify cpu for: c; '
                                                   'limits.memory for: c')
    small = {"requests": {"cpu": "400m"}, "limits": {"memory": "400Mi"}}
    for name in "ab":
        made(raw, ns, "pods", pod(name, resources=small))
    until_used(raw, ns, "q", {"pods": "2", "cpu": "800m", "limits.memory": "800Mi"})
    status, answer = make(raw, ns, "pods", pod("c", resources=small))
    assert answer["message"] == ('pods "c" is forbidden: exceeded quota: q, requested: cpu=400m,limits.memory=400Mi,pods=1, used: '
                                 'cpu=800m,limits.memory=800Mi,pods=2, limited: cpu=1,limits.memory=1Gi,pods=2')
    raw("PATCH", f"/api/v1/namespaces/{ns}/pods/a/status", {"status": {"phase": "Succeeded"}}, content="application/merge-patch+json")
    until_used(raw, ns, "q", {"pods": "1", "cpu": "400m"})
    raw("DELETE", f"/api/v1/namespaces/{ns}/pods/b?gracePeriodSeconds=0")
    until_used(raw, ns, "q", {"pods": "0", "cpu": "0"})
    assert make(raw, ns, "services", {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [
        {"name": "x", "port": 1}, {"name": "y", "port": 2}]}})[0] == 403
    made(raw, ns, "services", {"metadata": {"name": "s"}, "spec": {"ports": [{"name": "x", "port": 1}, {"name": "y", "port": 2}]}})
    status, answer = raw("PATCH", f"/api/v1/namespaces/{ns}/services/s", {"spec": {"type": "NodePort"}},
                         content="application/merge-patch+json")
    assert status == 403 and "services.nodeports=2" in answer["message"]
    claim = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}}}
    assert make(raw, ns, "persistentvolumeclaims", claim)[0] == 403
    deployment = {"metadata": {"name": "d"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}}}
    made(raw, ns, "deployments", deployment, "apis/apps/v1")
    deployment["metadata"]["name"] = "e"
    status, answer = make(raw, ns, "deployments", deployment, "apis/apps/v1")
    assert status == 403 and answer["message"].startswith('deployments.apps "e" is forbidden: exceeded quota: q, requested: count/deploy')
    raw("PATCH", f"/api/v1/namespaces/{ns}/resourcequotas/q", {"spec": {"hard": {"count/configmaps": "7", "pods": None}}},
        content="application/merge-patch+json")
    until_used(raw, ns, "q", {"count/configmaps": "1"})
    assert "pods" not in used(raw, ns, "q")


def test_quota_counts_custom_resources(raw, ns):
    """A quota may be there before the kind it counts."""
    group = f"{ns}.example.com"
    quota(raw, ns, "q", {f"count/widgets.{group}": "2"})
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    crd = {"metadata": {"name": f"widgets.{group}"}, "spec": {
        "group": group, "scope": "Namespaced", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
    assert raw("POST", crds, crd)[0] == 201
    try:
        ac.until(lambda: raw("GET", f"/apis/{group}/v1/namespaces/{ns}/widgets")[0] == 200, what="kind served")

        def create(i):
            o = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": f"w{i}"}}
            return make(raw, ns, "widgets", o, f"apis/{group}/v1")[0]
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            assert sorted(pool.map(create, range(20))) == [201] * 2 + [403] * 18
        until_used(raw, ns, "q", {f"count/widgets.{group}": "2"})
        assert raw("DELETE", f"/apis/{group}/v1/namespaces/{ns}/widgets")[0] == 200  # all of them
        until_used(raw, ns, "q", {f"count/widgets.{group}": "0"})
        assert create(1) == 201
    finally:
        raw("DELETE", f"{crds}/widgets.{group}")


def test_describe_quota(new_atoll, root, ns):
    """Right at once, as people look at it."""
    a = ac.Atoll(root)
    a.kubectl("create", "quota", "q", "-n", ns, "--hard=configmaps=5,services=1")
    a.kubectl("create", "configmap", "m", "-n", ns)
    ac.until(lambda: a.get("quota", "q", ns)["status"]["used"]["configmaps"] == "2", 5, what="quota")
    lines = [line.split() for line in a.kubectl("describe", "quota", "q", "-n", ns).stdout.splitlines()]
    assert ["configmaps", "2", "5"] in lines and ["services", "0", "1"] in lines


def test_quota_is_counted_anew_at_start(new_atoll):
    """The books are memory only: a new api process makes them from what is stored."""
    a = new_atoll(start=False)
    a.up()
    ac.until(lambda: a.items("serviceaccounts"), what="default service account")
    raw = Raw(a.root)
    quota(raw, "default", "q", {"secrets": "2"})
    made(raw, "default", "secrets", {"metadata": {"name": "a"}})
    until_used(raw, "default", "q", {"secrets": "1"})
    a.kill("api")
    ac.until(lambda: a.kubectl("get", "ns", check=False).returncode == 0, what="api again")
    made(raw, "default", "secrets", {"metadata": {"name": "b"}})
    assert make(raw, "default", "secrets", {"metadata": {"name": "c"}})[0] == 403
    a.end()


# ---- LimitRanger ----

def test_limit_range(raw, ns):
    made(raw, ns, "limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "250m"}, "max": {"cpu": "1"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]}})
    p = made(raw, ns, "pods", pod("a"))
    assert p["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "250m"}}
    assert p["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == \
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    status, answer = make(raw, ns, "pods", pod("b", resources={"limits": {"cpu": "2"}}))
    assert status == 403
    assert answer["message"] == 'pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
    claim = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}}}
    status, answer = make(raw, ns, "persistentvolumeclaims", claim)
    assert status == 403 and "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 3Gi" in answer["message"]


# ---- PodSecurity ----

def label(raw, ns, **labels):
    return raw("PATCH", f"/api/v1/namespaces/{ns}", {"metadata": {"labels": {
        f"pod-security.kubernetes.io/{k.replace('_', '-')}": v for k, v in labels.items()}}}, content="application/merge-patch+json")


PREFIX = "pod-security.kubernetes.io/"


def audit_annotations(root, ns, plural, nth):
    """What PodSecurity said about the nth creation (its line follows the answer)."""
    def events():
        with open(f"{root}/var/log/atoll/audit.log") as log:
            found = [e["annotations"] for e in map(json.loads, log) if e["verb"] == "create" and e["objectRef"]["resource"] == plural
                     and e["objectRef"].get("namespace") == ns]
            return found if len(found) >= nth else None
    return {k: v for k, v in ac.until(events, what="audit event")[nth - 1].items() if k.startswith(PREFIX)}


def test_pod_security(raw, ns, root):
    bad = pod("bad", hostNetwork=True)
    made(raw, ns, "pods", bad)  # privileged by default
    status, answer = label(raw, ns, enforce="nonsense")
    assert status == 422 and "must be one of privileged, baseline, restricted" in answer["message"]
    assert label(raw, ns, enforce="baseline")[0] == 200
    assert [w.split('"', 1)[1] for w in raw.warnings] == [
        f'existing pods in namespace \\"{ns}\\" violate the new PodSecurity enforce level \\"baseline:latest\\""',
        'bad: host namespaces"']
    bad["metadata"]["name"] = "bad2"
    status, answer = make(raw, ns, "pods", bad)
    assert status == 403
    assert answer["message"] == 'pods "bad2" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    assert audit_annotations(root, ns, "pods", 2) == {f"{PREFIX}enforce-policy": "baseline:latest"}
    made(raw, ns, "pods", pod("good"))
    deployment = {"metadata": {"name": "d"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"hostPID": True, "containers": [CONTAINER]}}}}
    made(raw, ns, "deployments", deployment, "apis/apps/v1")
    assert raw.warnings == ['299 - "would violate PodSecurity \\"baseline:latest\\": host namespaces (hostPID=true)"']
    label(raw, ns, audit="baseline", warn="privileged")
    deployment["metadata"]["name"] = "d2"
    made(raw, ns, "deployments", deployment, "apis/apps/v1")
    assert not raw.warnings and audit_annotations(root, ns, "deployments", 2) == {
        f"{PREFIX}audit-violations": 'would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)'}
    label(raw, ns, enforce="restricted", enforce_version="v1.30", warn="privileged")
    many = pod("many")
    many["spec"]["containers"] = [{**CONTAINER, "name": f"container-with-a-long-name-{i}"} for i in range(20)]
    status, answer = make(raw, ns, "pods", many)
    assert status == 403 and answer["message"].count("container-with-a-long-name-19") == 4  # nothing is cut off
    assert 'violates PodSecurity "restricted:v1.30"' in answer["message"]


# ---- Priority, RuntimeClass, default classes ----

def test_priority_classes(raw, ns):
    group = "/apis/scheduling.k8s.io/v1/priorityclasses"
    status, answer = make(raw, ns, "pods", pod("a", priorityClassName="none"))
    assert status == 403 and answer["message"] == 'pods "a" is forbidden: no PriorityClass with name none was found'
    assert raw("POST", group, {"metadata": {"name": "e2e-std"}, "value": 42, "globalDefault": True, "preemptionPolicy": "Never"})[0] == 201
    try:
        status, answer = raw("POST", group, {"metadata": {"name": "e2e-two"}, "value": 43, "globalDefault": True})
        assert status == 403 and "PriorityClass e2e-std is already marked as default. Only one default can exist" in answer["message"]
        p = made(raw, ns, "pods", pod("a"))["spec"]
        assert (p["priorityClassName"], p["priority"], p["preemptionPolicy"]) == ("e2e-std", 42, "Never")
        status, answer = make(raw, ns, "pods", pod("b", priority=7))
        assert status == 403 and "the integer value of priority (7) must not be provided in pod spec" in answer["message"]
        p = made(raw, ns, "pods", pod("c", priorityClassName="system-node-critical"))["spec"]
        assert p["priority"] == 2000001000
        path = f"/api/v1/namespaces/{ns}/pods/a"
        mine = raw("GET", path)[1]
        del mine["spec"]["priority"], mine["spec"]["preemptionPolicy"]
        mine["metadata"]["labels"] = {"put": "back"}
        status, p = raw("PUT", path, mine)
        assert status == 200 and (p["spec"]["priority"], p["spec"]["preemptionPolicy"]) == (42, "Never"), p
    finally:
        raw("DELETE", f"{group}/e2e-std")


def test_runtime_class(raw, ns):
    group = "/apis/node.k8s.io/v1/runtimeclasses"
    status, answer = make(raw, ns, "pods", pod("a", runtimeClassName="none"))
    assert status == 403 and answer["message"] == 'pods "a" is forbidden: pod rejected: RuntimeClass "none" not found'
    assert raw("POST", group, {"metadata": {"name": "e2e-rc"}, "handler": "crun", "overhead": {"podFixed": {"cpu": "10m"}}, "scheduling": {
        "nodeSelector": {"x": "y"}, "tolerations": [{"key": "k", "operator": "Exists"}]}})[0] == 201
    try:
        p = made(raw, ns, "pods", pod("a", runtimeClassName="e2e-rc", nodeSelector={"a": "b"}))["spec"]
        assert p["overhead"] == {"cpu": "10m"} and p["nodeSelector"] == {"a": "b", "x": "y"}
        assert {"key": "k", "operator": "Exists"} in p["tolerations"]
        status, answer = make(raw, ns, "pods", pod("b", runtimeClassName="e2e-rc", nodeSelector={"x": "z"}))
        assert status == 403 and "conflict: runtimeClass.scheduling.nodeSelector[x] = y; pod.spec.nodeSelector[x] = z" in answer["message"]
        assert make(raw, ns, "pods", pod("c", overhead={"cpu": "1"}))[0] == 403
    finally:
        raw("DELETE", f"{group}/e2e-rc")


def test_default_classes(raw, ns):
    storage, ingress = "/apis/storage.k8s.io/v1/storageclasses", "/apis/networking.k8s.io/v1/ingressclasses"
    mark = {"storageclass.kubernetes.io/is-default-class": "true", "ingressclass.kubernetes.io/is-default-class": "true"}
    assert raw("POST", storage, {"metadata": {"name": "e2e-sc", "annotations": mark}, "provisioner": "x.y/z"})[0] == 201
    assert raw("POST", ingress, {"metadata": {"name": "e2e-ic", "annotations": mark}, "spec": {"controller": "x.y/z"}})[0] == 201
    try:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        c = made(raw, ns, "persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": spec})
        assert c["spec"]["storageClassName"] == "e2e-sc"
        c = made(raw, ns, "persistentvolumeclaims", {"metadata": {"name": "none"}, "spec": {**spec, "storageClassName": ""}})
        assert c["spec"].get("storageClassName") == ""
        status, answer = raw("PATCH", f"/api/v1/namespaces/{ns}/persistentvolumeclaims/c", {"spec": {"resources": {"requests": {
            "storage": "2Gi"}}}}, content="application/merge-patch+json")
        assert status in (403, 422), answer
        i = made(raw, ns, "ingresses", {"metadata": {"name": "i"}, "spec": {"defaultBackend": {"service": {
            "name": "s", "port": {"number": 80}}}}}, "apis/networking.k8s.io/v1")
        assert i["spec"]["ingressClassName"] == "e2e-ic"
    finally:
        raw("DELETE", f"{storage}/e2e-sc")
        raw("DELETE", f"{ingress}/e2e-ic")


def test_claims_and_volumes_in_use(raw, ns):
    """A claim that a placed pod uses stays until the pod is gone."""
    claim = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "",
                                                 "resources": {"requests": {"storage": "1Gi"}}}}
    assert made(raw, ns, "persistentvolumeclaims", claim)["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    volume = {"metadata": {"name": ns}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                                                 "hostPath": {"path": "/nowhere"}}}
    status, answer = raw("POST", "/api/v1/persistentvolumes", volume)
    assert status == 201 and answer["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    made(raw, ns, "pods", pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]))
    path = f"/api/v1/namespaces/{ns}/persistentvolumeclaims/c"
    raw("DELETE", path)
    assert raw("GET", path)[1]["metadata"]["deletionTimestamp"]
    raw("DELETE", f"/api/v1/namespaces/{ns}/pods/p?gracePeriodSeconds=0")
    ac.until(lambda: raw("GET", path)[0] == 404, what="claim gone")
    raw("DELETE", f"/api/v1/persistentvolumes/{ns}")
    ac.until(lambda: raw("GET", f"/api/v1/persistentvolumes/{ns}")[0] == 404, what="volume gone")


# ---- namespaces, service accounts ----

def test_namespace_lifecycle(raw, ns):
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        status, answer = raw("DELETE", f"/api/v1/namespaces/{name}")
        assert status == 403 and answer["message"] == f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    assert make(raw, "no-such", "configmaps", {"metadata": {"name": "m"}})[0] == 404
    made(raw, ns, "configmaps", {"metadata": {"name": "m", "finalizers": ["example.com/hold"]}})
    assert raw("DELETE", f"/api/v1/namespaces/{ns}")[0] == 200
    status, answer = make(raw, ns, "configmaps", {"metadata": {"name": "n"}})
    assert status == 403 and answer["details"]["causes"] == [
        {"reason": "NamespaceTerminating", "message": f"namespace {ns} is being terminated", "field": "metadata.namespace"}]
    assert answer["message"].endswith(f"unable to create new content in namespace {ns} because it is being terminated")
    raw("PATCH", f"/api/v1/namespaces/{ns}/configmaps/m", {"metadata": {"finalizers": None}}, content="application/merge-patch+json")


def test_service_account(raw, ns):
    """A pod right after its namespace waits for the default account."""
    fresh = f"{ns}-fresh"
    raw("POST", "/api/v1/namespaces", {"metadata": {"name": fresh}})
    p = made(raw, fresh, "pods", pod("a"))
    assert p["spec"]["serviceAccountName"] == "default"
    raw("DELETE", f"/api/v1/namespaces/{fresh}")
    status, answer = make(raw, ns, "pods", pod("a", serviceAccountName="none"))
    assert status == 403
    assert answer["message"] == f'pods "a" is forbidden: error looking up service account {ns}/none: serviceaccount "none" not found'
    made(raw, ns, "serviceaccounts", {"metadata": {"name": "strict", "annotations": {
        "kubernetes.io/enforce-mountable-secrets": "true"}}, "secrets": [{"name": "ok"}], "imagePullSecrets": [{"name": "pull"}]})
    volume = {"volumes": [{"name": "v", "secret": {"secretName": "other"}}], "serviceAccountName": "strict"}
    status, answer = make(raw, ns, "pods", pod("a", **volume))
    assert status == 403 and 'volume with secret.secretName="other" is not allowed' in answer["message"]
    volume["volumes"][0]["secret"]["secretName"] = "ok"
    assert made(raw, ns, "pods", pod("a", **volume))["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    status, answer = make(raw, ns, "pods", pod("m", annotations={"kubernetes.io/config.mirror": "x"}, serviceAccountName="default"))
    assert status == 403 and answer["message"].endswith("a mirror pod may not reference service accounts")


# ---- nodes ----

NODE = {"user": "system:node:n1", "groups": ["system:nodes", "system:authenticated"]}


def test_node_restriction(raw, ns):
    made(raw, ns, "pods", pod("mine", nodeName="n1"))
    made(raw, ns, "pods", pod("other", nodeName="n2"))

    def refused(answer, text):
        status, body = answer
        assert status == 403 and text in body["message"], body
    merge = {"content": "application/merge-patch+json", **NODE}
    refused(raw("PATCH", "/api/v1/nodes/n1", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}, **merge),
            'node "n1" is not allowed to modify taints')
    refused(raw("PATCH", "/api/v1/nodes/n1", {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}, **merge),
            "is not allowed to modify labels: node-role.kubernetes.io/control-plane")
    assert raw("PATCH", "/api/v1/nodes/n1", {"metadata": {"labels": {"node.kubernetes.io/fine": "1", "own": "2"}}}, **merge)[0] == 200
    status = {"status": {"message": "x"}}
    assert raw("PATCH", f"/api/v1/namespaces/{ns}/pods/other/status", status, **merge)[0] == 403
    assert raw("PATCH", f"/api/v1/namespaces/{ns}/pods/mine/status", status, **merge)[0] == 200
    assert raw("DELETE", f"/api/v1/namespaces/{ns}/pods/other?gracePeriodSeconds=0", **NODE)[0] == 403
    refused(raw("POST", f"/api/v1/namespaces/{ns}/pods", pod("own", nodeName="n1"), **NODE), "can only create mirror pods")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "other", "namespace": ns}}
    assert raw("POST", f"/api/v1/namespaces/{ns}/pods/other/eviction", eviction, **NODE)[0] == 403
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    assert raw("POST", f"/api/v1/namespaces/{ns}/serviceaccounts/default/token", token, **NODE)[0] == 403
    assert raw("DELETE", f"/api/v1/namespaces/{ns}/pods/mine?gracePeriodSeconds=0", **NODE)[0] == 200


def test_new_nodes_are_not_ready(raw):
    status, node = raw("POST", "/api/v1/nodes", {"metadata": {"name": "new"}})
    assert status == 201 and {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"} in node["spec"]["taints"]
    raw("DELETE", "/api/v1/nodes/new")


def test_plugins_are_switched_off_by_name(new_atoll):
    a = new_atoll(start=False)
    with pytest.raises(AssertionError, match='disable-admission-plugins plugin "NoSuch" is unknown'):
        a.up("--disable-admission-plugins", "LimitRanger,NoSuch")
    a.up("--disable-admission-plugins", "NamespaceLifecycle,DefaultTolerationSeconds")
    raw = Raw(a.root)
    ac.until(lambda: a.items("serviceaccounts"), what="default service account")
    o = {"metadata": {"name": "lost"}, "spec": {"schedulerName": "nobody", "containers": [CONTAINER]}}
    assert raw("POST", "/api/v1/namespaces/nowhere/configmaps", {"metadata": {"name": "c"}})[0] == 201
    status, pod = raw("POST", "/api/v1/namespaces/default/pods", o)
    assert status == 201 and "tolerations" not in pod["spec"] and pod["spec"]["serviceAccountName"] == "default"
    assert "disable_admission_plugins=NamespaceLifecycle,DefaultTolerationSeconds" in open(f"{a.root}/etc/atoll/settings").read()
