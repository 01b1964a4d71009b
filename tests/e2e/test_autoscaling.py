"""Autoscaling: the number of pods follows what they use, and what they use decides what they ask for."""
import json
import time

import pytest

import atoll_cluster as ac

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
    text = atoll.kubectl("describe", "hpa", "-n", namespace, "burner").stdout
    assert "SuccessfulRescale" in text and "New size: 3; reason: cpu resource utilization (percentage of request) above target" in text
    assert "resource cpu on pods  (as a percentage of request):" in text
    status = atoll.get(HPA, "burner", namespace)["status"]
    assert status["lastScaleTime"] and status["observedGeneration"] >= 1
    load(atoll, namespace, False)
    started = time.monotonic()
    ac.until(lambda: load(atoll, namespace, False) or replicas(atoll, namespace) == 1, 15, what="one replica again")
    print("fell after", time.monotonic() - started)
    ac.until(lambda: conditions(atoll, namespace, "burner")["AbleToScale"]["reason"] == "ReadyForNewScale", what="rest")
    assert "All metrics below target" in atoll.kubectl("describe", "hpa", "-n", namespace, "burner").stdout


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
