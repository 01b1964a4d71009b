"""Profiles of the scheduler, from a ConfigMap that is watched; storage as a reason for a node."""
import json

import atoll_cluster as ac
import pytest

NS = "profiles"
HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- schedulerName: default-scheduler\n"
PACKING = HEAD + "- schedulerName: packer\n  pluginConfig:\n  - name: NodeResourcesFit\n    args: {scoringStrategy: {type: MostAllocated}}\n"


@pytest.fixture(scope="module")
def here(new_atoll):
    a = new_atoll(image=False)
    a.kubectl("create", "namespace", NS)
    for name in ("f1", "f2", "f3"):
        a.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"fake": "yes", "kubernetes.io/hostname": name}},
                 "spec": {"taints": [{"key": "fake", "value": "yes", "effect": "NoSchedule"}]}})
        room = {"cpu": "4", "memory": "8Gi", "pods": "20"}
        a.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"allocatable": room, "capacity": room}}))
    return a


def place(here, name, labels=None, **spec):
    here.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NS, "labels": labels or {}},
                "spec": {"containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}],
                         "nodeSelector": {"fake": "yes"}, "tolerations": [{"operator": "Exists"}], **spec}}, namespace=NS)


def node_of(here, name):
    return ac.until(lambda: here.get("pod", name, NS)["spec"].get("nodeName"), what=f"a node for {name}")


def configure(here, text):
    here.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "atoll-scheduler"}, "data": {"config.yaml": text}}, namespace="kube-system")


def told(here, reason):
    return [e["message"] for e in here.items("events", namespace="kube-system") if e["reason"] == reason]


def refusal(here, name):
    def message():
        found = [c for c in here.get("pod", name, NS)["status"].get("conditions", []) if c["type"] == "PodScheduled"]
        return found and found[0].get("message")
    return ac.until(message, what=f"a reason for {name}")


def test_a_profile_is_applied_while_pods_wait(here):
    place(here, "seed")
    busy = node_of(here, "seed")
    place(here, "early", schedulerName="packer")
    assert "schedulerName packer is of no profile" in ac.run(ac.ATOLL, "why", "--root", here.root, "-n", NS, "early").stdout
    configure(here, PACKING)
    ac.until(lambda: told(here, "Configured"), what="Configured event")
    assert node_of(here, "early") == busy
    place(here, "late", schedulerName="packer")
    assert node_of(here, "late") == busy
    place(here, "spread")
    assert node_of(here, "spread") != busy
    assert "placed by profile packer" in ac.run(ac.ATOLL, "why", "--root", here.root, "-n", NS, "late").stdout


def test_a_wrong_configuration_is_told_and_the_last_one_stays(here):
    configure(here, PACKING.replace("MostAllocated", "Nonsense"))
    messages = ac.until(lambda: told(here, "InvalidConfiguration"), what="event about the field")
    assert "profiles[1].pluginConfig[0].args.scoringStrategy.type: Unsupported value: \"Nonsense\"" in messages[0]
    place(here, "still", schedulerName="packer")
    assert node_of(here, "still") == node_of(here, "seed")
    here.kubectl("delete", "configmap", "atoll-scheduler", "-n", "kube-system")
    place(here, "plain")
    node_of(here, "plain")


def test_a_bound_volume_ties_its_pod_to_a_node(here):
    place(here, "stored", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    assert 'persistentvolumeclaim "data" not found' in refusal(here, "stored")
    on_f3 = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["f3"]}]}]}}
    here.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"},
                "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "", "nodeAffinity": on_f3,
                         "local": {"path": "/mnt"}, "claimRef": {"namespace": NS, "name": "data"}}})
    here.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": NS},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "", "volumeName": "disk"}}, namespace=NS)
    here.kubectl("patch", "pvc", "data", "-n", NS, "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Bound"}}')
    assert node_of(here, "stored") == "f3"


def test_pods_of_a_service_stand_apart(here):
    here.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "apart", "namespace": NS}, "spec": {"selector": {"app": "apart"}, "ports": [{"port": 80}]}}, namespace=NS)
    for i in range(3):
        place(here, f"apart-{i}", {"app": "apart"})
    assert {node_of(here, f"apart-{i}") for i in range(3)} == {"f1", "f2", "f3"}


def test_a_claim_that_waits_for_its_pod_is_told_the_node(here):
    here.apply({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "late"}, "provisioner": "csi.example",
                "volumeBindingMode": "WaitForFirstConsumer"})
    here.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "made", "namespace": NS},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "late"}}, namespace=NS)
    place(here, "first", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "made"}}])
    key = "volume.kubernetes.io/selected-node"
    node = ac.until(lambda: here.get("pvc", "made", NS)["metadata"].get("annotations", {}).get(key), what="the selected node")
    assert "waiting for persistentvolumeclaim" in refusal(here, "first") and "nodeName" not in here.get("pod", "first", NS)["spec"]
    # What a provisioner and the binding of volumes would do.
    here.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "made"},
                "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "late",
                         "csi": {"driver": "csi.example", "volumeHandle": "1"}, "claimRef": {"namespace": NS, "name": "made"}}})
    here.kubectl("patch", "pvc", "made", "-n", NS, "--type=merge", "-p", '{"spec":{"volumeName":"made"}}')
    here.kubectl("patch", "pvc", "made", "-n", NS, "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Bound"}}')
    assert node_of(here, "first") == node
