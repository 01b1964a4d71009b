"""Sets of pods with names: StatefulSets as kubectl drives them."""
from atoll_cluster import IMAGE, until


def template(app, **env):
    return {"metadata": {"labels": {"app": app}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "c", "image": IMAGE, "command": ["sleep", "100000"], "env": [{"name": k, "value": v} for k, v in env.items()]}]}}


def ready(atoll, name, ns, want):
    s = atoll.get("sts", name, ns)["status"]
    return s.get("readyReplicas", 0) == want and s["replicas"] == want


def test_statefulset_rolls_out_scales_and_rolls_back(atoll, namespace):
    def kubectl(*args):
        return atoll.kubectl("-n", namespace, *args, timeout=90).stdout

    def names():
        return sorted(p["metadata"]["name"] for p in atoll.items("pods", "-l", "app=db", namespace=namespace))

    atoll.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
        "replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template("db")}}, namespace=namespace)
    assert "roll out complete" in kubectl("rollout", "status", "sts/db", "--timeout=60s")
    assert names() == ["db-0", "db-1"]
    first = {p["metadata"]["name"]: p["metadata"]["creationTimestamp"] for p in atoll.items("pods", "-l", "app=db", namespace=namespace)}
    assert first["db-0"] <= first["db-1"]
    assert atoll.kubectl("-n", namespace, "exec", "db-1", "--", "hostname").stdout.strip() == "db-1"

    kubectl("scale", "sts/db", "--replicas=3")
    until(lambda: ready(atoll, "db", namespace, 3), 60, what="3 replicas")
    assert names() == ["db-0", "db-1", "db-2"]
    kubectl("scale", "sts/db", "--replicas=2")
    until(lambda: names() == ["db-0", "db-1"] and ready(atoll, "db", namespace, 2), 60, what="2 replicas")

    kubectl("set", "env", "sts/db", "V=2")
    assert "roll out complete" in kubectl("rollout", "status", "sts/db", "--timeout=60s")
    pod = atoll.get("pod", "db-0", namespace)
    assert {"name": "V", "value": "2"} in pod["spec"]["containers"][0]["env"]
    until(lambda: (s := atoll.get("sts", "db", namespace)["status"])["currentRevision"] == s["updateRevision"])
    assert atoll.get("sts", "db", namespace)["status"]["currentRevision"] == pod["metadata"]["labels"]["controller-revision-hash"]
    assert "V:" in kubectl("rollout", "history", "sts/db", "--revision=2")
    assert "rolled back" in kubectl("rollout", "undo", "sts/db")
    assert "roll out complete" in kubectl("rollout", "status", "sts/db", "--timeout=60s")
    assert "env" not in atoll.get("pod", "db-0", namespace)["spec"]["containers"][0]

    kubectl("delete", "pod", "db-0", "--wait=false")
    until(lambda: ready(atoll, "db", namespace, 2) and atoll.get("pod", "db-0", namespace)["metadata"]["uid"] != pod["metadata"]["uid"], 60)
    assert "create Pod db-0 in StatefulSet db successful" in kubectl("get", "events")


def test_statefulset_makes_claims_for_each_pod(atoll, namespace):
    t = template("data")
    t["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    atoll.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"}, "spec": {
        "replicas": 2, "serviceName": "s", "podManagementPolicy": "Parallel", "selector": {"matchLabels": {"app": "data"}}, "template": t,
        "ordinals": {"start": 5}, "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}]}}, namespace=namespace)
    until(lambda: len(atoll.items("pods", "-l", "app=data", namespace=namespace)) == 2, what="the pods")
    assert sorted(c["metadata"]["name"] for c in atoll.items("pvc", namespace=namespace)) == ["data-s-5", "data-s-6"]
    volumes = atoll.get("pod", "s-6", namespace)["spec"]["volumes"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-s-6"}} in volumes
    until(lambda: all(c["metadata"].get("ownerReferences") for c in atoll.items("pvc", namespace=namespace)), what="owners of the claims")
    atoll.kubectl("-n", namespace, "delete", "sts", "s", "--wait=false")
    until(lambda: not atoll.items("pvc", namespace=namespace), 40, what="the claims go with the set")
