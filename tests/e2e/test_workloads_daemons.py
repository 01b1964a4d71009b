"""DaemonSets as kubectl drives them, on a real node and on one that nobody runs."""
import json

from atoll_cluster import IMAGE, until


def daemons(name, **spec):
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}}, **spec, "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "100000"]}]}}}}


def pods(atoll, ns, app):
    return [p for p in atoll.items("pods", "-l", f"app={app}", namespace=ns) if not p["metadata"].get("deletionTimestamp")]


def test_daemonset_rolls_out_and_back(atoll, namespace):
    def kubectl(*args):
        return atoll.kubectl("-n", namespace, *args, timeout=90).stdout

    atoll.apply(daemons("agent"), namespace=namespace)
    assert "successfully rolled out" in kubectl("rollout", "status", "ds/agent", "--timeout=60s")
    nodes = len(atoll.items("nodes"))
    first = pods(atoll, namespace, "agent")
    assert len(first) == nodes
    tolerated = {(t["key"], t["effect"]) for t in first[0]["spec"]["tolerations"]}
    assert ("node.kubernetes.io/not-ready", "NoExecute") in tolerated and ("node.kubernetes.io/unschedulable", "NoSchedule") in tolerated
    term = first[0]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": [first[0]["spec"]["nodeName"]]}]
    kubectl("set", "env", "ds/agent", "V=2")
    assert "successfully rolled out" in kubectl("rollout", "status", "ds/agent", "--timeout=60s")
    assert {"name": "V", "value": "2"} in pods(atoll, namespace, "agent")[0]["spec"]["containers"][0]["env"]
    assert "V:" in kubectl("rollout", "history", "ds/agent", "--revision=2")
    assert "rolled back" in kubectl("rollout", "undo", "ds/agent")
    assert "successfully rolled out" in kubectl("rollout", "status", "ds/agent", "--timeout=60s")
    again = pods(atoll, namespace, "agent")[0]
    assert "env" not in again["spec"]["containers"][0]
    assert again["metadata"]["labels"]["controller-revision-hash"] == first[0]["metadata"]["labels"]["controller-revision-hash"]
    row = kubectl("get", "ds", "agent", "--no-headers").split()
    assert row[:6] == ["agent"] + [str(nodes)] * 5
    kubectl("delete", "ds", "agent", "--timeout=30s")
    until(lambda: not pods(atoll, namespace, "agent"), 30, what="pods gone with their set")


def test_daemonset_surge_never_leaves_a_node_without(atoll, namespace):
    atoll.apply(daemons("surge", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}),
                namespace=namespace)
    atoll.kubectl("-n", namespace, "rollout", "status", "ds/surge", "--timeout=60s")
    old = pods(atoll, namespace, "surge")[0]["metadata"]["name"]
    atoll.kubectl("-n", namespace, "set", "env", "ds/surge", "V=2")
    atoll.kubectl("-n", namespace, "rollout", "status", "ds/surge", "--timeout=60s")
    events = [e["message"] for e in sorted(atoll.items("events", namespace=namespace), key=lambda e: int(e["metadata"]["resourceVersion"]))
              if e["involvedObject"]["name"] == "surge"]
    new = pods(atoll, namespace, "surge")[0]["metadata"]["name"]
    until(lambda: any(f"Deleted pod: {old}" in e["message"] for e in atoll.items("events", namespace=namespace)), what="the old pod's end")
    assert new != old and f"Created pod: {new}" in events


def test_daemonset_follows_labels_and_taints_of_nodes(atoll, namespace):
    fake = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"fake-{namespace}", "labels": {"ns": namespace, "disk": "ssd"}}}
    atoll.apply(fake)
    try:
        d = daemons("picky")
        d["spec"]["template"]["spec"]["nodeSelector"] = {"ns": namespace, "disk": "ssd"}
        atoll.apply(d, namespace=namespace)
        until(lambda: len(pods(atoll, namespace, "picky")) == 1, what="its pod")
        assert atoll.get("ds", "picky", namespace)["status"]["desiredNumberScheduled"] == 1
        atoll.kubectl("label", "node", fake["metadata"]["name"], "disk=hdd", "--overwrite")
        until(lambda: not pods(atoll, namespace, "picky"), what="no pod on another disk")
        until(lambda: atoll.get("ds", "picky", namespace)["status"]["desiredNumberScheduled"] == 0, what="nothing desired")
        atoll.kubectl("taint", "node", fake["metadata"]["name"], "keep=out:NoExecute")
        atoll.kubectl("label", "node", fake["metadata"]["name"], "disk=ssd", "--overwrite")
        until(lambda: atoll.get("ds", "picky", namespace)["status"]["desiredNumberScheduled"] == 0, what="nothing desired")
        atoll.kubectl("-n", namespace, "patch", "ds", "picky", "-p", json.dumps(
            {"spec": {"template": {"spec": {"tolerations": [{"key": "keep", "operator": "Exists"}]}}}}))
        until(lambda: len(pods(atoll, namespace, "picky")) == 1, what="a pod that tolerates")
    finally:
        atoll.kubectl("delete", "node", fake["metadata"]["name"])
    until(lambda: not pods(atoll, namespace, "picky"), 30, what="no pod without a node")


def test_daemonset_whose_selector_misses_its_template(atoll, namespace):
    d = daemons("odd")
    d["spec"]["selector"]["matchLabels"] = {"app": "even"}
    said = atoll.kubectl("-n", namespace, "apply", "-f", "-", text=json.dumps(d), check=False).stderr
    assert "spec.template.metadata.labels: Invalid value" in said and "`selector` does not match template `labels`" in said
