"""Budgets, evictions, nodes that die, and the descheduler: with nodes and pods that are only objects."""
import concurrent.futures
import contextlib
import os
import signal
import threading
import time

import pytest

import atoll_cluster as ac
from test_api import Api

NS = "disruption"
MERGE = "application/merge-patch+json"
SPEC = {"containers": [{"name": "c", "image": "none"}], "terminationGracePeriodSeconds": 0}
PODS = f"/api/v1/namespaces/{NS}/pods"
BUDGETS = f"/apis/policy/v1/namespaces/{NS}/poddisruptionbudgets"
VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget."


@pytest.fixture(scope="module")
def here(new_atoll):
    a = new_atoll(image=False)
    a.kubectl("create", "namespace", NS)
    ac.until(lambda: a.items("serviceaccounts", namespace=NS), what="default service account")
    return a


@pytest.fixture(scope="module")
def api(here):
    return Api(f"{here.root}/run/atoll/api.sock")


@contextlib.contextmanager
def paused(here, service):
    """The service does nothing meanwhile."""
    pid = here.pid(service)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def set_status(api, path, **status):
    answer = api("PATCH", path + "/status", {"status": status}, content=MERGE)
    assert answer[0] == 200, answer


def run_pod(api, path, ready=True):
    set_status(api, path, phase="Running", conditions=[{"type": "Ready", "status": "True" if ready else "False"}])


def running_pod(api, name, app, ready=True, **meta):
    """A pod that nobody runs, and that says it is running and ready."""
    body = {"metadata": {"name": name, "labels": {"app": app}, **meta}, "spec": {**SPEC, "schedulerName": "nobody"}}
    assert api("POST", PODS, body)[0] == 201
    run_pod(api, f"{PODS}/{name}", ready)
    return f"{PODS}/{name}"


def budget(api, name, app=None, **spec):
    body = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": app or name}}, **spec}}
    assert api("POST", BUDGETS, body)[0] == 201
    return f"{BUDGETS}/{name}"


def status_of(api, path):
    return api("GET", path)[1]["status"]


def shows(api, path, **want):
    """Waits until the status has these values."""
    return ac.until(lambda: (s := status_of(api, path)) and all(s.get(k) == v for k, v in want.items()) and s,
                    what=f"{want} at {path}")


def evict(api, pod, version="policy/v1", query="", **options):
    body = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": pod.rsplit("/", 1)[1], "namespace": NS}}
    if options:
        body["deleteOptions"] = options
    return api("POST", f"{pod}/eviction{query}", body)


# ---- budgets ----

def test_a_budget_follows_its_pods(api):
    pdb = budget(api, "follows", minAvailable=1)
    shows(api, pdb, observedGeneration=1, disruptionsAllowed=0, expectedPods=0)
    pods = [running_pod(api, f"follows-{i}", "follows") for i in range(3)]
    s = shows(api, pdb, disruptionsAllowed=2, currentHealthy=3, desiredHealthy=1, expectedPods=3)
    assert [(c["type"], c["status"], c["reason"]) for c in s["conditions"]] == [("DisruptionAllowed", "True", "SufficientPods")]
    run_pod(api, pods[0], ready=False)
    shows(api, pdb, disruptionsAllowed=1, currentHealthy=2)
    assert api("DELETE", pods[1])[0] == 200
    s = shows(api, pdb, disruptionsAllowed=0, currentHealthy=1, expectedPods=2)
    assert s["conditions"][0]["reason"] == "InsufficientPods"


def test_a_percentage_is_of_the_replicas_that_are_wanted(here, api):
    labels = {"app": "percent"}
    here.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "percent"},
                "spec": {"replicas": 4, "selector": {"matchLabels": labels},
                         "template": {"metadata": {"labels": labels}, "spec": {**SPEC, "schedulerName": "nobody"}}}}, namespace=NS)
    pdb = budget(api, "percent", maxUnavailable="50%")
    pods = ac.until(lambda: len(p := here.items("pods", "-l", "app=percent", namespace=NS)) == 4 and p, what="four pods")
    for p in pods[:3]:
        run_pod(api, f"{PODS}/{p['metadata']['name']}")
    shows(api, pdb, disruptionsAllowed=1, currentHealthy=3, desiredHealthy=2, expectedPods=4)
    here.kubectl("scale", "deploy/percent", "--replicas=6", "-n", NS)
    shows(api, pdb, disruptionsAllowed=0, desiredHealthy=3, expectedPods=6)
    here.kubectl("delete", "deploy/percent", "-n", NS)


def test_the_scale_of_a_custom_kind_counts(api):
    replicas = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    version = {"name": "v1", "served": True, "storage": True,
               "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": replicas, "status": replicas}}},
               "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert api("POST", definitions, {"metadata": {"name": "flocks.e2e.test"}, "spec": {
        "group": "e2e.test", "scope": "Namespaced", "names": {"plural": "flocks", "singular": "flock", "kind": "Flock"}, "versions": [version]}})[0] == 201
    flocks = f"/apis/e2e.test/v1/namespaces/{NS}/flocks"
    flock = {"apiVersion": "e2e.test/v1", "kind": "Flock", "metadata": {"name": "f"}, "spec": {"replicas": 4}}
    uid = ac.until(lambda: (made := api("POST", flocks, flock)) and made[0] == 201 and made[1]["metadata"]["uid"], what="a custom object")
    owner = {"apiVersion": "e2e.test/v1", "kind": "Flock", "name": "f", "uid": uid, "controller": True}
    for i in range(3):
        running_pod(api, f"custom-{i}", "custom", ownerReferences=[owner])
    pdb = budget(api, "custom", minAvailable="50%")
    shows(api, pdb, disruptionsAllowed=1, currentHealthy=3, desiredHealthy=2, expectedPods=4)
    assert api("PATCH", f"{flocks}/f", {"spec": {"replicas": 6}}, content=MERGE)[0] == 200
    shows(api, pdb, disruptionsAllowed=0, desiredHealthy=3, expectedPods=6)
    assert api("DELETE", f"{definitions}/flocks.e2e.test")[0] == 200


# ---- eviction ----

def test_a_budget_holds_back_an_eviction(api):
    pod, pdb = running_pod(api, "held", "held"), budget(api, "held", minAvailable=1)
    shows(api, pdb, observedGeneration=1, currentHealthy=1)
    status, answer = evict(api, pod)
    assert status == 429 and answer["reason"] == "TooManyRequests" and answer["message"] == VIOLATION
    assert answer["details"]["causes"][0] == {
        "reason": "DisruptionBudget", "message": "The disruption budget held needs 1 healthy pods and has 1 currently"}
    assert evict(api, pod, dryRun=["All"])[0] == 429
    assert api("PATCH", pdb, {"spec": {"minAvailable": 0}}, content=MERGE)[0] == 200
    shows(api, pdb, observedGeneration=2, disruptionsAllowed=1)
    assert evict(api, pod, dryRun=["All"])[0] == 201 and evict(api, pod, query="?dryRun=All")[0] == 201
    assert api("GET", pod)[0] == 200 and "disruptedPods" not in status_of(api, pdb)
    assert evict(api, pod, version="policy/v1beta1")[0] == 201
    assert api("GET", pod)[0] == 404
    shows(api, pdb, disruptionsAllowed=0, expectedPods=0)


def test_a_budget_that_was_not_looked_at_yet_holds_back_too(here, api):
    pod = running_pod(api, "new", "new")
    with paused(here, "controllers"):
        budget(api, "new", minAvailable=0)
        status, answer = evict(api, pod)
    assert status == 429 and "still being processed" in answer["details"]["causes"][0]["message"]
    assert answer["details"]["retryAfterSeconds"] == 10
    ac.until(lambda: evict(api, pod)[0] == 201, what="eviction after the controller has looked")


def test_several_budgets_over_one_pod(api):
    pod = running_pod(api, "two", "two")
    for name in ("two-a", "two-b"):
        budget(api, name, "two", maxUnavailable=1)
    status, answer = evict(api, pod)
    assert status == 500 and answer["message"] == \
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


@pytest.mark.parametrize("paused_service", ["controllers", None])
def test_fifty_at_once_get_what_the_budget_allows(here, api, paused_service):
    app = f"fifty-{paused_service or 'free'}".lower()
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        pods = list(pool.map(lambda i: running_pod(api, f"{app}-{i}", app), range(50)))
        pdb = budget(api, app, minAvailable=30)
        shows(api, pdb, disruptionsAllowed=20, currentHealthy=50)
        with paused(here, paused_service) if paused_service else contextlib.nullcontext():
            answers = list(pool.map(lambda p: evict(api, p)[0], pods))
            if paused_service:
                s = status_of(api, pdb)
                assert s["disruptionsAllowed"] == 0 and len(s["disruptedPods"]) == 20
                assert s["conditions"][0]["reason"] == "InsufficientPods"
    assert answers.count(201) == 20 and answers.count(429) == 30
    s = shows(api, pdb, currentHealthy=30, disruptionsAllowed=0, expectedPods=30)
    assert not s.get("disruptedPods")


def test_one_pod_is_charged_once(here, api):
    pods = [running_pod(api, f"once-{i}", "once", finalizers=["e2e/wait"]) for i in range(3)]
    pdb = budget(api, "once", minAvailable=1)
    shows(api, pdb, disruptionsAllowed=2)
    time.sleep(1.1)  # whole seconds: the pod must be older than its eviction
    with paused(here, "controllers"), concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert {s for s, _ in pool.map(lambda _: evict(api, pods[0]), range(8))} == {201}
        assert status_of(api, pdb)["disruptionsAllowed"] == 1
    pod = api("GET", pods[0])[1]
    reasons = [(c["status"], c["reason"], c["message"]) for c in pod["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert pod["metadata"]["deletionTimestamp"] and reasons == [("True", "EvictionByEvictionAPI", "Eviction API: evicting")]
    for p in pods:
        api("PATCH", p, {"metadata": {"finalizers": None}}, content=MERGE)


def test_preconditions_come_before_the_budget(api):
    pod, _ = running_pod(api, "cond", "cond"), running_pod(api, "cond-2", "cond")
    pdb = budget(api, "cond", minAvailable=1)
    before = shows(api, pdb, disruptionsAllowed=1)
    status, answer = evict(api, pod, preconditions={"uid": "11111111-2222-3333-4444-555555555555"})
    assert status == 409 and "UID in precondition" in answer["message"]
    assert evict(api, pod, preconditions={"resourceVersion": "1"})[0] == 409
    assert status_of(api, pdb) == before
    now = api("GET", pod)[1]["metadata"]
    assert evict(api, pod, preconditions={"uid": now["uid"], "resourceVersion": now["resourceVersion"]})[0] == 201
    assert api("GET", pod)[0] == 404


def test_unhealthy_pods(api):
    sick = [running_pod(api, f"sick-{i}", "sick", ready=False) for i in range(2)]
    running_pod(api, "well", "sick")
    pdb = budget(api, "sick", minAvailable=2)
    shows(api, pdb, observedGeneration=1, currentHealthy=1, desiredHealthy=2)
    assert evict(api, sick[0])[0] == 429
    assert api("PATCH", pdb, {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}}, content=MERGE)[0] == 200
    shows(api, pdb, observedGeneration=2)
    assert evict(api, sick[0])[0] == 201
    assert evict(api, f"{PODS}/well")[0] == 429
    change = {"spec": {"unhealthyPodEvictionPolicy": None, "minAvailable": 1}}
    assert api("PATCH", pdb, change, content=MERGE)[0] == 200
    shows(api, pdb, observedGeneration=3, disruptionsAllowed=0)
    assert evict(api, sick[1])[0] == 201
    assert evict(api, f"{PODS}/well")[0] == 429


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
def test_pods_that_do_not_run_are_nobodys_loss(api, phase):
    app = f"phase-{phase}".lower()
    pod = running_pod(api, app, app)
    shows(api, budget(api, app, minAvailable=1), currentHealthy=1)
    set_status(api, pod, phase=phase)
    assert evict(api, pod)[0] == 201 and api("GET", pod)[0] == 404


# ---- drain ----

def fake_node(here, name, ready=True, **labels):
    here.apply({"kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}}})
    size = {"cpu": "4", "memory": "8Gi", "pods": "50"}
    set_status(Api(here.sock), f"/api/v1/nodes/{name}", allocatable=size, capacity=size,
               conditions=[{"type": "Ready", "status": "True" if ready else "False"}])


class Kubelets:
    """Nodes that are only objects: what is bound to them runs and is ready a moment later; leases are renewed."""

    def __init__(self, here, names, delay=0.2):
        self.here, self.api, self.names, self.delay = here, Api(here.sock), list(names), delay
        self.end, self.seen, self.thread = threading.Event(), {}, threading.Thread(target=self.work)

    def __enter__(self):
        for name in self.names:
            fake_node(self.here, name, fake="yes")
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()
        for name in self.names:
            self.here.kubectl("delete", "node", name, "--ignore-not-found")

    def work(self):
        while not self.end.wait(0.05):
            for p in self.api("GET", PODS)[1]["items"]:
                path, uid = f"{PODS}/{p['metadata']['name']}", p["metadata"]["uid"]
                if p["spec"].get("nodeName") not in self.names or p["status"].get("phase") == "Running":
                    continue
                if time.monotonic() - self.seen.setdefault(uid, time.monotonic()) >= self.delay:
                    self.api("PATCH", path + "/status", {"status": {"phase": "Running", "conditions": [
                        {"type": "Ready", "status": "True"}]}}, content=MERGE)


def deployment(here, name, replicas, **spec):
    labels = {"app": name}
    here.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
                    "metadata": {"labels": labels}, "spec": {**SPEC, "nodeSelector": {"fake": "yes"}, **spec}}}}, namespace=NS)


def ready_of(here, app):
    return [p for p in here.items("pods", "-l", f"app={app}", namespace=NS) if "deletionTimestamp" not in p["metadata"] and
            any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", []))]


def test_drain_honours_a_budget(here, api):
    with Kubelets(here, ["d1", "d2"]):
        here.kubectl("cordon", "d2")
        deployment(here, "drained", 3)
        ac.until(lambda: len(ready_of(here, "drained")) == 3, what="three pods on d1")
        here.kubectl("uncordon", "d2")
        pdb = budget(api, "drained", minAvailable=3)
        shows(api, pdb, observedGeneration=1, disruptionsAllowed=0, currentHealthy=3)
        before = {p["metadata"]["uid"] for p in ready_of(here, "drained")}
        r = here.kubectl("drain", "d1", "--timeout=2s", check=False)
        assert r.returncode and VIOLATION in r.stderr, r
        assert {p["metadata"]["uid"] for p in ready_of(here, "drained")} == before
        assert api("PATCH", pdb, {"spec": {"minAvailable": 2}}, content=MERGE)[0] == 200
        shows(api, pdb, disruptionsAllowed=1)
        least, drain = 3, here.start_kubectl("drain", "d1", "--timeout=60s")
        while drain.poll() is None:
            items = api("GET", PODS + "?labelSelector=app%3Ddrained")[1]["items"]
            least = min(least, sum(any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", []))
                                   for p in items))
        assert drain.returncode == 0 and least >= 2, (least, drain.communicate())
        ac.until(lambda: [p["spec"]["nodeName"] for p in ready_of(here, "drained")] == ["d2"] * 3, what="all on d2")
        here.kubectl("delete", "deploy/drained", "-n", NS)


# ---- nodes that die ----

def taints_of(api, name):
    return {(t["key"].split("/")[-1], t["effect"]) for t in api("GET", f"/api/v1/nodes/{name}")[1]["spec"].get("taints", [])}


def lease(api, name, seconds):
    """A sign of life that promises another one every so many seconds."""
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1000 % 1000000:06}Z"
    body = {"metadata": {"name": name}, "spec": {"holderIdentity": name, "leaseDurationSeconds": seconds, "renewTime": now}}
    if api("PATCH", f"{path}/{name}", body, content=MERGE)[0] == 404:
        assert api("POST", path, body)[0] == 201


def bound_pod(api, name, node, **spec):
    body = {"metadata": {"name": name, "labels": {"app": name}}, "spec": {**SPEC, "nodeName": node, **spec}}
    assert api("POST", PODS, body)[0] == 201
    run_pod(api, f"{PODS}/{name}")
    return f"{PODS}/{name}"


def readiness(api, path):
    return next((c["status"] for c in api("GET", path)[1]["status"]["conditions"] if c["type"] == "Ready"), None)


def tolerates(seconds, key="node.kubernetes.io/unreachable"):
    return [{"key": key, "operator": "Exists", "effect": "NoExecute", **({} if seconds is None else {"tolerationSeconds": seconds})}]


def test_a_dead_node_loses_its_pods(here, api):
    fake_node(here, "dead")
    ac.until(lambda: taints_of(api, "dead") == set(), what="the taint that new nodes have is gone")
    lease(api, "dead", 3)
    short, long = bound_pod(api, "short", "dead", tolerations=tolerates(2)), bound_pod(api, "long", "dead", tolerations=tolerates(None))
    begin = time.monotonic()
    ac.until(lambda: readiness(api, "/api/v1/nodes/dead") == "Unknown", what="node Unknown")
    ac.until(lambda: readiness(api, long) == "False", what="its pods are not ready")
    assert time.monotonic() - begin < 6
    ac.until(lambda: taints_of(api, "dead") == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}, what="taints")
    ac.until(lambda: api("GET", short)[0] == 404, what="the eviction of a pod that tolerates it for two seconds")
    assert time.monotonic() - begin > 4 and api("GET", long)[0] == 200
    lease(api, "dead", 30)
    fake_node(here, "dead")
    ac.until(lambda: taints_of(api, "dead") == set(), what="no taints")
    here.kubectl("delete", "node", "dead")
    assert api("DELETE", long)[0] == 200


def test_pods_stay_half_a_minute_unless_they_say_otherwise(api):
    pod = running_pod(api, "patient", "patient")
    spec = api("GET", pod)[1]["spec"]
    assert {(t["key"].split("/")[-1], t["effect"], t["tolerationSeconds"]) for t in spec["tolerations"]} == \
        {("not-ready", "NoExecute", 30), ("unreachable", "NoExecute", 30)}
    assert api("DELETE", pod)[0] == 200


def test_a_taint_evicts_who_does_not_tolerate_it(here, api):
    fake_node(here, "sour")
    lease(api, "sour", 30)
    key = "e2e/sour"
    none, some = bound_pod(api, "none", "sour"), bound_pod(api, "some", "sour", tolerations=tolerates(2, key))
    ever, back = bound_pod(api, "ever", "sour", tolerations=tolerates(None, key)), bound_pod(api, "back", "sour", tolerations=tolerates(6, key))
    here.kubectl("taint", "node", "sour", f"{key}=x:NoExecute")
    ac.until(lambda: api("GET", none)[0] == 404, what="the eviction of a pod without toleration")
    assert [t for t in api("GET", "/api/v1/nodes/sour")[1]["spec"]["taints"] if t["key"] == key][0]["timeAdded"]
    assert api("GET", some)[0] == 200
    ac.until(lambda: api("GET", some)[0] == 404, what="the end of a toleration")
    here.kubectl("taint", "node", "sour", f"{key}-")
    with pytest.raises(AssertionError):
        ac.until(lambda: api("GET", back)[0] == 404, seconds=6, what="an eviction that was called off")
    assert api("GET", ever)[0] == 200
    for pod in (ever, back):
        api("DELETE", pod)
    here.kubectl("delete", "node", "sour")


def test_conditions_and_cordon_show_as_taints(here, api):
    fake_node(here, "tight")
    set_status(api, "/api/v1/nodes/tight", conditions=[{"type": "Ready", "status": "True"}, {"type": "MemoryPressure", "status": "True"}])
    ac.until(lambda: taints_of(api, "tight") == {("memory-pressure", "NoSchedule")}, what="taint by condition")
    here.kubectl("cordon", "tight")
    ac.until(lambda: taints_of(api, "tight") == {("memory-pressure", "NoSchedule"), ("unschedulable", "NoSchedule")}, what="cordoned")
    here.kubectl("uncordon", "tight")
    ac.until(lambda: taints_of(api, "tight") == {("memory-pressure", "NoSchedule")}, what="uncordoned")
    here.kubectl("delete", "node", "tight")


def test_out_of_service_frees_pods_that_cannot_end(here, api):
    fake_node(here, "broken", ready=False)
    pod = bound_pod(api, "stuck", "broken", terminationGracePeriodSeconds=30, tolerations=[{"operator": "Exists"}])
    assert api("DELETE", pod)[0] == 200
    assert "deletionTimestamp" in api("GET", pod)[1]["metadata"]
    here.kubectl("taint", "node", "broken", "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
    ac.until(lambda: api("GET", pod)[0] == 404, what="the end of a pod on a node out of service")
    here.kubectl("delete", "node", "broken")


# ---- the descheduler ----

POLICIES = "/apis/descheduling.atoll.dev/v1alpha1/deschedulerpolicies"


def test_the_descheduler_moves_pods_within_budgets(here, api):
    with Kubelets(here, ["m1", "m2"]):
        for name in ("m1", "m2"):
            here.kubectl("label", "node", name, "disk=ssd")
        here.kubectl("cordon", "m2")
        deployment(here, "moved", 2, nodeSelector={"disk": "ssd"})
        ac.until(lambda: len(ready_of(here, "moved")) == 2, what="two pods on m1")
        here.kubectl("uncordon", "m2")
        here.kubectl("label", "node", "m1", "disk-")
        pdb = budget(api, "moved", minAvailable=2)
        shows(api, pdb, observedGeneration=1, currentHealthy=2, disruptionsAllowed=0)
        policy = {"metadata": {"name": "mend"}, "spec": {
            "dryRun": True, "intervalSeconds": 5, "cooldownSeconds": 0, "minPodAgeSeconds": 0, "strategies": {"nodeAffinity": {}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NS}}}}
        assert api("POST", POLICIES, policy)[0] == 201
        one = f"{POLICIES}/mend"
        s = shows(api, one, observedGeneration=1, candidates=2, evictions=0)
        assert s["message"] == "held back: 2 by disruption budgets"
        assert api("PATCH", pdb, {"spec": {"minAvailable": 1}}, content=MERGE)[0] == 200
        shows(api, pdb, disruptionsAllowed=1)
        shows(api, one, candidates=2, evictions=1, totalEvictions=0)
        events = ac.until(lambda: [e for e in here.items("events", namespace=NS) if e["reason"] == "DescheduleDryRun"], what="an Event")
        assert "would be evicted from node m1 by nodeAffinity" in events[0]["message"] and "node m2 suits it" in events[0]["message"]
        assert {p["spec"]["nodeName"] for p in ready_of(here, "moved")} == {"m1"}
        assert api("PATCH", one, {"spec": {"dryRun": False}}, content=MERGE)[0] == 200
        ac.until(lambda: [p["spec"]["nodeName"] for p in ready_of(here, "moved")] == ["m2", "m2"], seconds=40, what="both on m2")
        ac.until(lambda: [e for e in here.items("events", namespace=NS) if e["reason"] == "Descheduled"], what="an Event")
        s = shows(api, one, candidates=0, evictions=0, totalEvictions=2)
        table = here.kubectl("get", "deschedulerpolicies").stdout.split()
        assert table[:9] == ["NAME", "SUSPEND", "DRY", "RUN", "LAST", "PASS", "CANDIDATES", "EVICTIONS", "TOTAL"]
        assert api("DELETE", one)[0] == 200
        here.kubectl("delete", "deploy/moved", "-n", NS)


def test_a_policy_is_checked(api):
    def refused(**spec):
        status, answer = api("POST", POLICIES, {"metadata": {"name": "bad"}, "spec": spec})
        assert status == 422, answer
        return [c["field"] for c in answer["details"]["causes"]]
    levels = "spec.strategies.lowNodeUtilization."
    assert refused(intervalSeconds=1) == ["spec.intervalSeconds"]
    assert refused(strategies={"lowNodeUtilization": {"thresholds": {"cpu": 60}, "targetThresholds": {"cpu": 50}}}) == [levels + "thresholds[cpu]"]
    assert refused(strategies={"lowNodeUtilization": {"thresholds": {"cpu": 20}, "targetThresholds": {"cpu": 101}}}) == [levels + "targetThresholds[cpu]"]
    assert refused(strategies={"lowNodeUtilization": {"thresholds": {"cpu": 20}}}) == [levels + "targetThresholds", levels + "targetThresholds[cpu]"]
    assert refused(strategies={"podLifeTime": {}}) == ["spec.strategies.podLifeTime.maxPodLifeTimeSeconds"]
    assert refused(podSelector={"matchExpressions": [{"key": "a", "operator": "Near"}]})
