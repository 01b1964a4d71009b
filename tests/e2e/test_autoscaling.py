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
