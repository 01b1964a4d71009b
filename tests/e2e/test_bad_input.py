"""What cannot work is refused with its field, or told by a condition and an event; and nobody works himself to death over it."""
import json

import atoll_cluster as ac
import pytest

LABELS = {"matchLabels": {"app": "x"}}


def template(labels=None, **spec):
    return {"metadata": {"labels": labels or {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": ac.IMAGE, "command": ["sleep", "9"]}], **spec}}


def refused(atoll, ns, o):
    r = atoll.kubectl("apply", "-n", ns, "-f", "-", text=json.dumps(o), check=False)
    assert r.returncode, f"was accepted: {o}"
    return r.stderr


def event(atoll, ns, reason, name, seconds=20):
    found = ac.until(lambda: atoll.items("events", "--field-selector", f"reason={reason},involvedObject.name={name}", namespace=ns), seconds,
                     what=f"event {reason} of {name}")
    return found[0]["message"]


def condition(atoll, ns, kind, name, of_type, seconds=20):
    def check():
        o = atoll.get(kind, name, ns)
        found = [c for c in o.get("status", {}).get("conditions", []) if c["type"] == of_type]
        return found[0] if found else None
    return ac.until(check, seconds, what=f"condition {of_type} of {name}")


def assert_quiet(atoll, ns, writes=4, cpu=0.8):
    """Nothing changes, so hardly anything is done. Writes: a status now and then."""
    done, used = atoll.effort(ns)
    assert len(done) <= writes, done
    assert used < cpu, f"{used} s of CPU in 4 s"


@pytest.mark.parametrize("kind, version, spec", [
    ("Deployment", "apps/v1", {}), ("ReplicaSet", "apps/v1", {}), ("DaemonSet", "apps/v1", {}), ("StatefulSet", "apps/v1", {"serviceName": "s"}),
    ("ReplicationController", "v1", {}), ("Job", "batch/v1", {"manualSelector": True})])
def test_a_selector_that_does_not_match_its_template(atoll, namespace, kind, version, spec):
    t = template({"app": "y"}, **({"restartPolicy": "Never"} if kind == "Job" else {}))
    selector = {"app": "x"} if kind == "ReplicationController" else LABELS
    said = refused(atoll, namespace, {"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, "spec": {"selector": selector, "template": t, **spec}})
    assert "spec.template.metadata.labels: Invalid value" in said and "`selector` does not match template `labels`" in said


@pytest.mark.parametrize("schedule, why", [
    ("61 * * * *", "end of range (61) above maximum (59)"), ("* * 32 * *", "above maximum"), ("* * *", "expected exactly 5 fields"),
    ("@never", "unrecognized descriptor"), ("5-3 * * * *", "beyond end of range")])
def test_a_schedule_that_is_impossible(atoll, namespace, schedule, why):
    said = refused(atoll, namespace, {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {
        "schedule": schedule, "jobTemplate": {"spec": {"template": template(restartPolicy="Never")}}}})
    assert "spec.schedule: Invalid value" in said and why in said


def test_a_schedule_that_never_comes(atoll, namespace):
    atoll.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {
        "schedule": "0 0 31 2 *", "jobTemplate": {"spec": {"template": template(restartPolicy="Never")}}}}, namespace=namespace)
    assert event(atoll, namespace, "InvalidSchedule", "c") == "invalid schedule: 0 0 31 2 * : no time within five years fits it"
    assert_quiet(atoll, namespace, writes=0)
    assert not atoll.items("jobs", namespace=namespace)


def test_a_pod_that_fits_nowhere(atoll, namespace):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "c", "image": ac.IMAGE, "resources": {"requests": {"cpu": "10000"}}}]}}
    atoll.apply(pod, {**pod, "metadata": {"name": "q"}, "spec": template(nodeSelector={"no": "such"})["spec"]}, namespace=namespace)
    for name, why in (("p", "Insufficient cpu"), ("q", "didn't match Pod's node affinity/selector")):
        assert why in event(atoll, namespace, "FailedScheduling", name)
        c = condition(atoll, namespace, "pod", name, "PodScheduled")
        assert (c["status"], c["reason"]) == ("False", "Unschedulable") and why in c["message"]
    assert_quiet(atoll, namespace)
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "a", "operator": "In"}]}]}}}
    said = refused(atoll, namespace, {**pod, "metadata": {"name": "r"}, "spec": template(affinity=affinity)["spec"]})
    assert "nodeSelectorTerms[0].matchExpressions[0].values: Required value" in said


def test_a_quota_of_nothing(atoll, namespace):
    atoll.apply({"kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}, namespace=namespace)
    ac.until(lambda: atoll.get("quota", "none", namespace).get("status", {}).get("hard") == {"pods": "0"}, what="the quota counts")
    said = refused(atoll, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": template()["spec"]})
    assert "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0" in said
    atoll.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 3, "selector": LABELS, "template": template()}},
                {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": template(restartPolicy="Never")}}, namespace=namespace)
    c = condition(atoll, namespace, "deployment", "d", "ReplicaFailure")
    assert (c["status"], c["reason"]) == ("True", "FailedCreate") and "exceeded quota: none" in c["message"]
    name = atoll.items("rs", namespace=namespace)[0]["metadata"]["name"]
    assert "exceeded quota: none" in event(atoll, namespace, "FailedCreate", name)
    assert "exceeded quota: none" in event(atoll, namespace, "FailedCreate", "j")
    ac.until(lambda: len(atoll.effort(namespace, 2)[0]) <= 12, 30, what="tries become seldom")
    assert_quiet(atoll, namespace, writes=24)
    atoll.kubectl("-n", namespace, "patch", "quota", "none", "-p", '{"spec":{"hard":{"pods":"9"}}}')
    ac.until(lambda: len(atoll.items("pods", namespace=namespace)) >= 4, 70, what="the pods, once they may be")


def hpa(name, metrics=None):
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": 5, **({"metrics": metrics} if metrics else {})}}


def test_figures_that_are_missing_and_two_autoscalers_of_one_target(atoll, namespace):
    atoll.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": LABELS, "template": template()}},
                hpa("one", [{"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "5"}}}]), namespace=namespace)
    c = condition(atoll, namespace, "hpa", "one", "ScalingActive")
    assert (c["status"], c["reason"]) == ("False", "FailedGetExternalMetric") and "unable to fetch metrics from external metrics API" in c["message"]
    assert "unable to fetch metrics from external metrics API" in event(atoll, namespace, "FailedGetExternalMetric", "one")
    assert_quiet(atoll, namespace)
    atoll.apply(hpa("two"), namespace=namespace)
    for name in ("one", "two"):
        c = ac.until(lambda: (c := condition(atoll, namespace, "hpa", name, "ScalingActive"))["reason"] == "AmbiguousSelector" and c, what="ambiguity")
        assert c["status"] == "False" and "are controlled by multiple HPAs" in c["message"]
        assert "are controlled by multiple HPAs" in event(atoll, namespace, "AmbiguousSelector", name)
    assert_quiet(atoll, namespace)
    for value in ("NaN", "-1x"):
        bad = hpa("three", [{"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": value}}}])
        assert "quantities must match" in refused(atoll, namespace, bad)
    assert atoll.get("deployment", "d", namespace)["spec"]["replicas"] == 1


def test_a_claim_that_nothing_suits(atoll, namespace):
    atoll.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": f"no-{namespace}", "resources": {"requests": {"storage": "1Gi"}}}}, namespace=namespace)
    assert event(atoll, namespace, "ProvisioningFailed", "c") == f'storageclass.storage.k8s.io "no-{namespace}" not found'
    assert_quiet(atoll, namespace, writes=1)
