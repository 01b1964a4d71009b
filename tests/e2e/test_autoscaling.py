"""Autoscaling: the number of pods follows what they use, and what they use decides what they ask for."""
import json
import re
import time

import pytest

import atoll_cluster as ac
import webhook_server as ws

HPA = "horizontalpodautoscaler"
FAST_DOWN = {"scaleDown": {"stabilizationWindowSeconds": 0}}


def burner(name, replicas=1):
    """A Deployment whose pods burn CPU while the ConfigMap-free file /tmp/load is there."""
    script = "while :; do if [ -e /tmp/load ]; then i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; else sleep 0.2; fi; done"
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{
                "name": "burn", "image": ac.IMAGE, "command": ["sh", "-c", script],
                "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "150m"}}}]}}}}


def replicas(atoll, ns, name="burner"):
    return atoll.get("deployment", name, ns)["spec"]["replicas"]


def conditions(atoll, ns, name):
    o = atoll.get(HPA, name, ns)
    return {c["type"]: c for c in o.get("status", {}).get("conditions", [])}


def load(atoll, ns, on, name="burner"):
    for p in atoll.items("pods", "-l", f"app={name}", namespace=ns):
        if p["status"].get("phase") == "Running" and "deletionTimestamp" not in p["metadata"]:
            atoll.kubectl("exec", "-n", ns, p["metadata"]["name"], "--", "sh", "-c", "touch /tmp/load" if on else "rm -f /tmp/load", check=False)


def test_replicas_rise_with_the_load_and_fall_again(atoll, namespace):
    atoll.apply(burner("burner"), namespace=namespace)
    atoll.kubectl("wait", "-n", namespace, "deployment/burner", "--for=condition=Available")
    atoll.kubectl("autoscale", "-n", namespace, "deployment", "burner", "--cpu-percent=50", "--min=1", "--max=3")
    atoll.kubectl("patch", "-n", namespace, HPA, "burner", "--type=merge", "-p", json.dumps({"spec": {"behavior": FAST_DOWN}}))
    ac.until(lambda: conditions(atoll, namespace, "burner").get("ScalingActive", {}).get("status") == "True", what="figures")
    load(atoll, namespace, True)
    started = time.monotonic()
    ac.until(lambda: replicas(atoll, namespace) > 1, 10, what="more replicas")
    print("rose after", time.monotonic() - started)
    row = atoll.kubectl("get", "hpa", "-n", namespace).stdout.splitlines()
    assert row[0].split() == ["NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE"]
    assert row[1].startswith("burner") and "Deployment/burner" in row[1] and "/50%" in row[1] and "<unknown>" not in row[1]
    reason = r"SuccessfulRescale.*New size: [23]; reason: cpu resource utilization \(percentage of request\) above target"
    text = ac.until(lambda: (t := atoll.kubectl("describe", "hpa", "-n", namespace, "burner").stdout) and re.search(reason, t) and t, 10, what="the event")
    assert "resource cpu on pods  (as a percentage of request):" in text
    status = atoll.get(HPA, "burner", namespace)["status"]
    assert status["lastScaleTime"] and status["observedGeneration"] >= 1
    load(atoll, namespace, False)
    started = time.monotonic()
    ac.until(lambda: load(atoll, namespace, False) or replicas(atoll, namespace) == 1, 15, what="one replica again")
    print("fell after", time.monotonic() - started)
    ac.until(lambda: conditions(atoll, namespace, "burner")["AbleToScale"]["reason"] == "ReadyForNewScale", what="rest")
    ac.until(lambda: "All metrics below target" in atoll.kubectl("describe", "hpa", "-n", namespace, "burner").stdout, 10, what="the event")


def test_autoscalers_that_cannot_decide_say_why(atoll, namespace):
    atoll.apply(burner("burner"), namespace=namespace)

    def hpa(name, target, spec):
        return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
                "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}, "maxReplicas": 5, **spec}}

    external = {"metrics": [{"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "5"}}}]}
    atoll.apply(hpa("none", "nothing", {}), hpa("queue", "burner", external), namespace=namespace)
    c = ac.until(lambda: conditions(atoll, namespace, "none").get("AbleToScale"), what="AbleToScale")
    assert (c["status"], c["reason"]) == ("False", "FailedGetScale") and 'deployments/scale.apps "nothing" not found' in c["message"]
    c = ac.until(lambda: conditions(atoll, namespace, "queue").get("ScalingActive"), what="ScalingActive")
    assert c["reason"] == "FailedGetExternalMetric" and "unable to fetch metrics from external metrics API" in c["message"]
    assert "<unknown>/5" in atoll.kubectl("get", "hpa", "-n", namespace, "queue").stdout
    atoll.apply(hpa("second", "burner", {}), namespace=namespace)
    c = ac.until(lambda: (c := conditions(atoll, namespace, "second").get("ScalingActive")) and c["reason"] == "AmbiguousSelector" and c, what="ambiguity")
    assert c["message"] == f"pods by selector app=burner are controlled by multiple HPAs: [{{queue {namespace}}} {{second {namespace}}}]"
    before = atoll.get(HPA, "queue", namespace)["metadata"]["resourceVersion"]
    time.sleep(5)
    now = atoll.get(HPA, "queue", namespace)
    assert int(now["metadata"]["resourceVersion"]) - int(before) < 40 and replicas(atoll, namespace) == 1
    r = atoll.kubectl("apply", "-n", namespace, "-f", "-", text=json.dumps(hpa("zero", "burner", {"minReplicas": 0})), check=False)
    assert "must specify at least one Object or External metric to support scaling to zero replicas" in r.stderr


# ---- VerticalPodAutoscaler ----

def vpa(name, mode, target="burner", **policy):
    return {"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": name},
            "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}, "updatePolicy": {"updateMode": mode},
                     "resourcePolicy": {"containerPolicies": [{"containerName": "*", **policy}]}}}


def recommended(atoll, ns, name):
    status = atoll.get("vpa", name, ns).get("status", {})
    found = status.get("recommendation", {}).get("containerRecommendations", [])
    return found[0] if found else None


def milli(cpu):
    return int(cpu[:-1]) if cpu.endswith("m") else int(float(cpu) * 1000)


def test_recommendations_come_from_use_and_reach_new_pods(atoll, namespace):
    atoll.apply(burner("burner"), namespace=namespace)
    atoll.kubectl("wait", "-n", namespace, "deployment/burner", "--for=condition=Available")
    load(atoll, namespace, True)
    time.sleep(2)
    atoll.apply(vpa("v", "Initial", maxAllowed={"memory": "64Mi"}), namespace=namespace)
    r = ac.until(lambda: recommended(atoll, namespace, "v"), 20, what="recommendation")
    assert 60 <= milli(r["target"]["cpu"]) <= 250 and r["target"]["memory"] == "64Mi" and r["uncappedTarget"]["memory"] != "64Mi", r
    row = atoll.kubectl("get", "vpa", "-n", namespace).stdout.splitlines()
    assert row[0].split() == ["NAME", "MODE", "CPU", "MEM", "PROVIDED", "AGE"] and row[1].split()[:2] == ["v", "Initial"]
    checkpoint = ac.until(lambda: atoll.get("vpacheckpoint", "v-burn", namespace), what="checkpoint")
    assert checkpoint["status"]["totalSamplesCount"] >= 1 and checkpoint["status"]["cpuHistogram"]["bucketWeights"]
    (pod,) = atoll.items("pods", namespace=namespace)
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "50m"}
    atoll.kubectl("delete", "pod", "-n", namespace, pod["metadata"]["name"], "--wait=false")
    new = ac.until(lambda: next((p for p in atoll.items("pods", namespace=namespace) if p["metadata"]["uid"] != pod["metadata"]["uid"]), None), what="a new pod")
    resources = new["spec"]["containers"][0]["resources"]
    target = recommended(atoll, namespace, "v")["target"]
    assert resources["requests"]["memory"] == "64Mi" and abs(milli(resources["requests"]["cpu"]) - milli(target["cpu"])) < 100
    assert milli(resources["limits"]["cpu"]) == pytest.approx(3 * milli(resources["requests"]["cpu"]), abs=2)
    assert new["metadata"]["annotations"]["vpaObservedContainers"] == "burn" and "updated by v" in new["metadata"]["annotations"]["vpaUpdates"]


def test_pods_far_from_what_is_recommended_are_evicted_one_by_one(atoll, namespace):
    atoll.apply(burner("burner", 2), namespace=namespace)
    atoll.kubectl("wait", "-n", namespace, "deployment/burner", "--for=condition=Available")
    before = {p["metadata"]["uid"] for p in atoll.items("pods", namespace=namespace)}
    atoll.apply(vpa("v", "Recreate", minAllowed={"cpu": "80m"}), namespace=namespace)

    def all_new():
        pods = [p for p in atoll.items("pods", namespace=namespace) if "deletionTimestamp" not in p["metadata"]]
        return len(pods) == 2 and all(p["metadata"]["uid"] not in before and p["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "80m" for p in pods)
    ac.until(all_new, 60, what="new pods")
    assert "EvictedByVPA" in {e["reason"] for e in atoll.items("events", namespace=namespace)}


def test_an_autoscaler_of_amounts_that_is_wrong_is_refused(atoll, namespace):
    bad = vpa("v", "Sometimes", minAllowed={"cpu": "2"}, maxAllowed={"cpu": "1"})
    r = atoll.kubectl("apply", "-n", namespace, "-f", "-", text=json.dumps(bad), check=False)
    assert 'spec.updatePolicy.updateMode: Unsupported value: "Sometimes"' in r.stderr and "max resource for cpu is lower than min" in r.stderr


# ---- figures from elsewhere ----

EXTERNAL, CUSTOM = "external.metrics.k8s.io", "custom.metrics.k8s.io"


@pytest.fixture
def figures(atoll):
    """A server behind both groups of foreign metrics; .values[name] is what it tells."""
    trust = atoll.get("configmap", "extension-apiserver-authentication", namespace="kube-system")["data"]
    values, seen = {}, []

    def answer(path, body, headers, peer):
        path, _, query = path.partition("?")
        parts = path.strip("/").split("/")
        if len(parts) == 3:
            return 200, json.dumps({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "/".join(parts[1:3]), "resources": []}).encode()
        if path.startswith("/openapi"):
            return 404, b"{}"
        seen.append((path, query))
        name = parts[-1]
        if name not in values:
            return 404, json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                                    "message": f"the server could not find the metric {name}"}).encode()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        items = [{"metricName": name, "value": v, "timestamp": stamp, **({"describedObject": {"kind": "Pod", "name": o}} if o else {})}
                 for o, v in (values[name]() if callable(values[name]) else [("", values[name])])]
        return 200, json.dumps({"kind": "MetricValueList", "apiVersion": "/".join(parts[1:3]), "metadata": {}, "items": items}).encode()

    s = ws.Server(answer, address="192.0.2.1", names=["figures.default.svc"], client_ca=trust["requestheader-client-ca-file"])
    s.values, s.asked = values, seen
    atoll.apply({"kind": "Service", "metadata": {"name": "figures"}, "spec": {"ports": [{"port": 443}]}},
                {"kind": "Endpoints", "metadata": {"name": "figures"}, "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": s.port}]}]},
                *({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": f"v1beta1.{g}"},
                   "spec": {"group": g, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": s.bundle,
                            "service": {"namespace": "default", "name": "figures"}}} for g in (EXTERNAL, CUSTOM)))
    for g in (EXTERNAL, CUSTOM):
        ac.until(lambda: any(c["type"] == "Available" and c["status"] == "True" for c in atoll.get("apiservice", f"v1beta1.{g}")["status"].get("conditions", [])),
                 what=f"{g} available")
    yield s
    atoll.kubectl("delete", "apiservice", f"v1beta1.{EXTERNAL}", f"v1beta1.{CUSTOM}")
    atoll.kubectl("delete", "service,endpoints", "figures", "--ignore-not-found")
    s.close()


def test_a_foreign_figure_scales_to_zero_and_back(atoll, namespace, figures):
    atoll.apply(burner("burner"), namespace=namespace)
    metric = {"type": "External", "external": {"metric": {"name": "queue", "selector": {"matchLabels": {"name": "mail"}}},
                                               "target": {"type": "AverageValue", "averageValue": "10"}}}
    figures.values["queue"] = "25"
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "burner"}
    atoll.apply({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "queue"},
                 "spec": {"scaleTargetRef": ref, "minReplicas": 0, "maxReplicas": 5, "behavior": FAST_DOWN, "metrics": [metric]}}, namespace=namespace)
    ac.until(lambda: replicas(atoll, namespace) == 3, 15, what="three replicas")
    assert (f"/apis/{EXTERNAL}/v1beta1/namespaces/{namespace}/queue", "labelSelector=name%3Dmail") in figures.asked
    figures.values["queue"] = "0"
    ac.until(lambda: replicas(atoll, namespace) == 0, 10, what="no replica")
    ac.until(lambda: "0/10 (avg)" in atoll.kubectl("get", "hpa", "-n", namespace, "queue").stdout, what="figures in the table")
    figures.values["queue"] = "7"
    ac.until(lambda: replicas(atoll, namespace) == 1, 10, what="one replica")
    figures.values["queue"] = "NaN"
    c = ac.until(lambda: (c := conditions(atoll, namespace, "queue")["ScalingActive"]) and c["status"] == "False" and c, what="a figure that is no number")
    assert c["reason"] == "FailedGetExternalMetric" and "quantities must match" in c["message"]
    assert replicas(atoll, namespace) == 1
    writes, cpu = atoll.effort(namespace)
    assert len(writes) <= 6 and cpu < 0.8, (writes, cpu)


def test_a_custom_kind_is_scaled_by_figures_of_its_pods(atoll, namespace, figures):
    group = "toys.autoscaling.example.com"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                                               "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}}}}
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}
    atoll.apply({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"toys.{group}"},
                 "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "toys", "singular": "toy", "kind": "Toy"},
                          "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
                                        "subresources": {"status": {}, "scale": scale}}]}})
    atoll.kubectl("wait", f"crd/toys.{group}", "--for=condition=Established")
    atoll.apply({"apiVersion": f"{group}/v1", "kind": "Toy", "metadata": {"name": "t"}, "spec": {"replicas": 2}}, namespace=namespace)
    atoll.kubectl("patch", "-n", namespace, "toys", "t", "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"replicas": 2, "selector": "app=toy"}}))
    for name in ("toy-1", "toy-2"):
        atoll.apply({"kind": "Pod", "metadata": {"name": name, "labels": {"app": "toy"}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "c", "image": ac.IMAGE, "command": ["sleep", "3600"]}]}}, namespace=namespace)
    figures.values["hits"] = lambda: [("toy-1", "30"), ("toy-2", "10")]
    metric = {"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "10"}}}
    atoll.apply({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "toys"},
                 "spec": {"scaleTargetRef": {"apiVersion": f"{group}/v1", "kind": "Toy", "name": "t"}, "maxReplicas": 9, "metrics": [metric]}}, namespace=namespace)
    ac.until(lambda: atoll.get(f"toys.{group}", "t", namespace)["spec"]["replicas"] == 4, 20, what="four toys")
    assert (f"/apis/{CUSTOM}/v1beta1/namespaces/{namespace}/pods/*/hits", "labelSelector=app%3Dtoy") in figures.asked
    time.sleep(3)
    assert atoll.get(f"toys.{group}", "t", namespace)["spec"]["replicas"] == 4
    rescales = [e for e in atoll.items("events", namespace=namespace) if e["reason"] == "SuccessfulRescale"]
    assert len(rescales) == 1 and rescales[0].get("count", 1) == 1, rescales
    atoll.kubectl("delete", "crd", f"toys.{group}", "--wait=false")


# ---- where they run ----

def quota_of(uid, word):
    """The CPU quota of the process's control group, in µs per 100 ms; −1: none."""
    pid = ac.process_of(uid, word.encode())
    for line in open(f"/proc/{pid}/cgroup"):
        _, controllers, path = line.rstrip("\n").split(":", 2)
        for file in (f"/sys/fs/cgroup/{controllers}{path}/cpu.cfs_quota_us", f"/sys/fs/cgroup/cpu{path}/cpu.cfs_quota_us",
                     f"/sys/fs/cgroup{path}/cpu.max", f"/sys/fs/cgroup/unified{path}/cpu.max"):
            try:
                text = open(file).read().split()[0]
                return -1 if text == "max" else int(text)
            except OSError:
                pass
    raise AssertionError("no quota found")


def test_a_running_container_is_resized_without_a_restart(pods):
    name = pods.make([ac.sh("exec sleep 7777", resources={"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}})])
    uid = pods.running(name)["metadata"]["uid"]
    assert quota_of(uid, "7777") == 10000

    def resize(resources, check=True):
        return pods.kubectl("patch", "pod", name, "--subresource=resize", "-p", json.dumps({"spec": {"containers": [{"name": "c", "resources": resources}]}}), check=check)
    resize({"requests": {"cpu": "70m"}, "limits": {"cpu": "300m"}})
    ac.until(lambda: quota_of(uid, "7777") == 30000, 10, what="new quota")
    s = ac.until(lambda: (c := pods.container(name)).get("resources", {}).get("limits", {}).get("cpu") == "300m" and c, 10, what="status")
    assert s["restartCount"] == 0 and s["allocatedResources"]["cpu"] == "70m"
    resize({"requests": {"cpu": "900"}, "limits": {"cpu": "1000"}})
    ac.until(lambda: pods.get(name)["status"].get("resize") == "Infeasible", 10, what="Infeasible")
    assert any(c["type"] == "PodResizePending" and c["reason"] == "Infeasible" for c in pods.get(name)["status"]["conditions"])
    assert quota_of(uid, "7777") == 30000 and pods.container(name)["resources"]["limits"]["cpu"] == "300m"
    resize({"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}})
    ac.until(lambda: quota_of(uid, "7777") == 10000 and "resize" not in pods.get(name)["status"], 10, what="the old quota")
    assert not any(c["type"] == "PodResizePending" for c in pods.get(name)["status"]["conditions"])


def test_a_resize_policy_asks_for_a_restart(pods):
    name = pods.make([ac.sh("sleep 7778", resources={"requests": {"cpu": "50m"}},
                            resizePolicy=[{"resourceName": "cpu", "restartPolicy": "RestartContainer"}])], terminationGracePeriodSeconds=0)
    pods.running(name)
    pods.kubectl("patch", "pod", name, "--subresource=resize", "-p", '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"60m"}}}]}}')
    ac.until(lambda: pods.container(name)["restartCount"] == 1 and "running" in pods.container(name)["state"], 20, what="a restart")
    time.sleep(1)
    assert pods.container(name)["restartCount"] == 1


def test_recommendations_reach_pods_where_they_run(atoll, namespace):
    atoll.apply(burner("burner"), namespace=namespace)
    atoll.kubectl("wait", "-n", namespace, "deployment/burner", "--for=condition=Available")
    (pod,) = atoll.items("pods", namespace=namespace)
    atoll.apply(vpa("v", "InPlaceOrRecreate", minAllowed={"cpu": "80m"}, controlledResources=["cpu"]), namespace=namespace)
    ac.until(lambda: atoll.items("pods", namespace=namespace)[0]["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "80m", 40, what="more CPU")
    (after,) = atoll.items("pods", namespace=namespace)
    assert after["metadata"]["uid"] == pod["metadata"]["uid"] and after["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "240m"
    ac.until(lambda: quota_of(pod["metadata"]["uid"], "load") == 24000, 10, what="new quota")
    assert "InPlaceResizedByVPA" in {e["reason"] for e in atoll.items("events", namespace=namespace)}


def test_recommendations_survive_a_restart_and_evictions_honour_budgets(atoll, namespace):
    atoll.apply(burner("burner", 2),
                {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "all"},
                 "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "burner"}}}}, namespace=namespace)
    atoll.kubectl("wait", "-n", namespace, "deployment/burner", "--for=condition=Available")
    before = {p["metadata"]["uid"] for p in atoll.items("pods", namespace=namespace)}
    atoll.apply(vpa("v", "Recreate", minAllowed={"cpu": "90m"}), namespace=namespace)
    checkpoint = ac.until(lambda: atoll.get("vpacheckpoint", "v-burn", namespace), 30, what="checkpoint")
    atoll.kill("controllers")
    seen = checkpoint["status"]["totalSamplesCount"]
    after = ac.until(lambda: (c := atoll.get("vpacheckpoint", "v-burn", namespace))["status"]["totalSamplesCount"] > seen and c, 40, what="a newer checkpoint")
    assert after["status"]["firstSampleStart"] == checkpoint["status"]["firstSampleStart"]
    time.sleep(12)  # two more looks of the updater
    assert {p["metadata"]["uid"] for p in atoll.items("pods", namespace=namespace)} == before, "evicted in spite of the budget"
    atoll.kubectl("delete", "pdb", "-n", namespace, "all")
    ac.until(lambda: any(p["metadata"]["uid"] not in before for p in atoll.items("pods", namespace=namespace)), 90, what="an eviction")
