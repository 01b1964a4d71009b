"""Persistent volumes: claims are bound, mounted, kept and given up."""
import os

import atoll_cluster as ac
import pytest

HOST = "kubernetes.io/hostname"


class Storage:
    """Volumes, claims and classes of one test; what is cluster-wide has the namespace in its name."""

    def __init__(self, atoll, ns, path):
        self.atoll, self.ns, self.path = atoll, ns, str(path)

    def name(self, short):
        return f"{self.ns}-{short}"

    def kubectl(self, *args, **kw):
        return self.atoll.kubectl("-n", self.ns, *args, **kw)

    def make_class(self, provisioner="kubernetes.io/no-provisioner", late=False, **more):
        self.atoll.apply({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": self.ns}, "provisioner": provisioner,
                          "volumeBindingMode": "WaitForFirstConsumer" if late else "Immediate", **more})
        return self.ns

    def volume(self, short, size="1Gi", node=None, **spec):
        path = os.path.join(self.path, short)
        os.makedirs(path, exist_ok=True)
        if node:
            spec["local"] = {"path": path}
            spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": HOST, "operator": "In", "values": [node]}]}]}}
        else:
            spec["hostPath"] = {"path": path}
        self.atoll.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": self.name(short)}, "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "storageClassName": self.ns, **spec}})
        return self.name(short)

    def claim(self, name, size="1Gi", **spec):
        self.atoll.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "storageClassName": self.ns, **spec}}, namespace=self.ns)

    def phase(self, kind, name, want, seconds=20):
        ac.until(lambda: self.atoll.get(kind, name, self.ns)["status"].get("phase") == want, seconds, what=f"{kind} {name} {want}")
        return self.atoll.get(kind, name, self.ns)

    def event(self, reason, name, seconds=20):
        found = lambda: [e["message"] for e in self.atoll.items("events", "--field-selector", f"reason={reason},involvedObject.name={name}",
                                                                namespace=self.ns) or
                         self.atoll.items("events", "--field-selector", f"reason={reason},involvedObject.name={name}")]
        return ac.until(found, seconds, what=f"event {reason} of {name}")[0]


@pytest.fixture
def storage(atoll, namespace, tmp_path):
    tmp_path.chmod(0o755)
    s = Storage(atoll, namespace, tmp_path)
    yield s
    s.kubectl("delete", "sts,pod,pvc", "--all", "--wait=true", "--grace-period=0", "--force", check=False)
    for kind in ("pv", "sc"):
        for o in atoll.items(kind):
            if o["metadata"]["name"].startswith(namespace) or o.get("spec", {}).get("storageClassName") == namespace:
                atoll.kubectl("delete", kind, o["metadata"]["name"], "--wait=false", check=False)


def pod_with(storage, pods, claim, name, script="exec sleep 100000", **spec):
    return pods.make([{**ac.sh(script), "volumeMounts": [{"name": "v", "mountPath": "/data"}]}], name=name,
                     volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": claim}}], **spec)


def test_a_statefulset_finds_its_data_again(storage, atoll, namespace):
    storage.make_class()
    for i in range(2):
        storage.volume(f"v{i}")
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "c", "image": ac.IMAGE, "command": ["sh", "-c", "echo $HOSTNAME >> /data/starts; exec sleep 100000"],
         "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}}
    atoll.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
        "replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": namespace, "resources": {"requests": {"storage": "1Gi"}}}}]}}, namespace=namespace)
    assert "roll out complete" in storage.kubectl("rollout", "status", "sts/db", "--timeout=40s").stdout
    volume = {i: atoll.get("pvc", f"data-db-{i}", namespace)["spec"]["volumeName"] for i in range(2)}
    assert sorted(volume.values()) == [storage.name("v0"), storage.name("v1")]

    first = atoll.get("pod", "db-0", namespace)["metadata"]["uid"]
    storage.kubectl("delete", "pod", "db-0")
    ac.until(lambda: (p := atoll.items("pods", "-l", "statefulset.kubernetes.io/pod-name=db-0", namespace=namespace)) and
             p[0]["metadata"]["uid"] != first and p[0]["status"]["phase"] == "Running", 30, what="db-0 again")
    assert storage.kubectl("exec", "db-0", "--", "cat", "/data/starts").stdout.split() == ["db-0", "db-0"]

    storage.kubectl("scale", "sts/db", "--replicas=1")
    ac.until(lambda: len(atoll.items("pods", "-l", "app=db", namespace=namespace)) == 1, 30, what="db-1 gone")
    assert storage.phase("pvc", "data-db-1", "Bound")["spec"]["volumeName"] == volume[1]
    storage.kubectl("delete", "sts", "db")
    ac.until(lambda: not atoll.items("pvc", namespace=namespace), 30, what="the claims go with the set")
    for v in volume.values():
        storage.phase("pv", v, "Released")


def test_a_claim_in_use_stays_until_its_pod_goes(storage, atoll, pods):
    storage.make_class()
    pv = storage.volume("v", size="3Gi")
    storage.claim("c", size="2Gi")
    claim = storage.phase("pvc", "c", "Bound")
    assert claim["status"]["capacity"] == {"storage": "3Gi"} and claim["status"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] == "yes"
    ref = storage.phase("pv", pv, "Bound")["spec"]["claimRef"]
    assert (ref["kind"], ref["name"], ref["uid"]) == ("PersistentVolumeClaim", "c", claim["metadata"]["uid"])

    columns = storage.kubectl("get", "pvc", "c", "--no-headers").stdout.split()
    assert columns[:7] == ["c", "Bound", pv, "3Gi", "RWO", storage.ns, "<unset>"]
    columns = storage.kubectl("get", "pv", pv, "--no-headers").stdout.split()
    assert columns[:8] == [pv, "3Gi", "RWO", "Retain", "Bound", f"{storage.ns}/c", storage.ns, "<unset>"]

    pod_with(storage, pods, "c", "user")
    pods.running("user")
    storage.kubectl("delete", "pvc", "c", "--wait=false")
    atoll.kubectl("delete", "pv", pv, "--wait=false")
    assert storage.kubectl("get", "pvc", "c", "--no-headers").stdout.split()[1] == "Terminating"
    late = pod_with(storage, pods, "c", "late")
    ac.until(lambda: 'persistentvolumeclaim "c" is being deleted' in str(pods.events(late)), what="the late pod waits")
    assert storage.kubectl("get", "pv", pv, "--no-headers").stdout.split()[4] == "Terminating"
    storage.kubectl("delete", "pod", "user", "late", "--grace-period=0", "--force")
    ac.until(lambda: not atoll.items("pvc", namespace=storage.ns), what="the claim is gone")
    ac.until(lambda: pv not in str(atoll.items("pv")), what="the volume is gone")


def test_a_claim_waits_for_a_volume_that_suits_it_and_says_so(storage, atoll):
    storage.make_class()
    storage.volume("small", size="1Gi")
    storage.claim("c", size="2Gi", selector={"matchLabels": {"disk": "fast"}})
    assert storage.event("ProvisioningFailed", "c") == "no volume plugin matched name: kubernetes.io/no-provisioner"
    storage.claim("plain", size="2Gi", storageClassName="")
    assert storage.event("FailedBinding", "plain") == "no persistent volumes available for this claim and no storage class is set"
    storage.volume("large", size="9Gi")
    pv = storage.volume("fits", size="8Gi")
    assert storage.phase("pv", pv, "Available")
    atoll.kubectl("label", "pv", pv, "disk=fast")
    assert storage.phase("pvc", "c", "Bound")["spec"]["volumeName"] == pv
    storage.claim("named", size="2Gi", volumeName=pv)
    assert storage.event("FailedBinding", "named") == f'volume "{pv}" already bound to a different claim.'
    storage.claim("big", size="50Gi", volumeName=storage.name("large"))
    assert storage.event("VolumeMismatch", "big") == f'Cannot bind to requested volume "{storage.name("large")}": requested PV is too small'
    kept = storage.volume("kept", claimRef={"namespace": storage.ns, "name": "mine"})
    storage.claim("mine")
    assert storage.phase("pvc", "mine", "Bound")["spec"]["volumeName"] == kept


def test_what_is_released_is_retained_or_fails_to_be_deleted(storage, atoll):
    storage.make_class()
    pv = storage.volume("kept")
    storage.claim("c")
    storage.phase("pvc", "c", "Bound")
    storage.kubectl("delete", "pvc", "c")
    storage.phase("pv", pv, "Released")
    storage.claim("c")
    assert storage.atoll.get("pvc", "c", storage.ns)["status"]["phase"] == "Pending"
    atoll.kubectl("patch", "pv", pv, "--type=json", "-p", '[{"op":"remove","path":"/spec/claimRef"}]')
    assert storage.phase("pvc", "c", "Bound")["spec"]["volumeName"] == pv
    atoll.kubectl("patch", "pv", pv, "-p", '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}')
    storage.kubectl("delete", "pvc", "c")
    assert "host_path deleter only supports /tmp/.+" in storage.phase("pv", pv, "Failed")["status"]["message"] or storage.path.startswith("/tmp/")
    assert storage.event("VolumeFailedDelete", pv)


def test_a_claim_of_a_class_that_waits_is_bound_where_its_pod_goes(storage, atoll, pods):
    storage.make_class(late=True)
    storage.volume("elsewhere", node="other")
    here = storage.volume("here", size="5Gi", node="n1")
    storage.claim("c")
    assert storage.event("WaitForFirstConsumer", "c") == "waiting for first consumer to be created before binding"
    assert storage.atoll.get("pvc", "c", storage.ns)["status"]["phase"] == "Pending"
    pod_with(storage, pods, "c", "p", "echo there > /data/x; exec sleep 100000")
    pods.running("p")
    assert storage.phase("pvc", "c", "Bound")["spec"]["volumeName"] == here
    ac.until(lambda: os.path.exists(os.path.join(storage.path, "here", "x")), what="the file on the node")
    assert "waiting for persistentvolumeclaim \"c\" to be bound" in str(pods.events("p"))


def test_a_pod_says_which_claim_it_waits_for(storage, pods):
    storage.make_class()
    pod_with(storage, pods, "c", "p")
    ac.until(lambda: 'persistentvolumeclaim "c" not found' in str(pods.events("p")), what="the claim is missed")
    storage.claim("c")
    ac.until(lambda: "pod has unbound immediate PersistentVolumeClaims" in str(pods.events("p")), what="the claim is unbound")
    storage.volume("v")
    pods.running("p")


def test_a_volume_is_made_on_the_node_and_removed_with_its_claim(storage, atoll, pods):
    storage.make_class("atoll.dev/local", late=True)
    storage.claim("c", size="5Gi")
    pod_with(storage, pods, "c", "p", "echo kept > /data/x; exec sleep 100000", securityContext={"runAsUser": 1000})
    pods.running("p")
    claim = storage.phase("pvc", "c", "Bound")
    name = claim["spec"]["volumeName"]
    assert name == f"pvc-{claim['metadata']['uid']}" and claim["status"]["capacity"] == {"storage": "5Gi"}
    pv = storage.phase("pv", name, "Bound")
    assert pv["spec"]["persistentVolumeReclaimPolicy"] == "Delete" and pv["spec"]["local"]["path"] == f"/var/lib/atoll/volumes/{name}"
    assert pv["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == ["n1"]
    assert storage.event("ProvisioningSucceeded", "c") == f"Successfully provisioned volume {name}"
    directory = os.path.join(atoll.root, "var/lib/atoll/volumes", name)
    assert open(os.path.join(directory, "x")).read() == "kept\n"

    storage.kubectl("delete", "pod", "p")
    pod_with(storage, pods, "c", "again")
    pods.running("again")
    assert pods.sh("again", "cat /data/x") == "kept\n"
    storage.kubectl("delete", "pod", "again")
    storage.kubectl("delete", "pvc", "c")
    ac.until(lambda: atoll.get("pv", name) is None, what="the volume is gone")
    assert not os.path.exists(directory)


def test_a_local_volume_that_is_retained_stays(storage, atoll, pods):
    storage.make_class("atoll.dev/local", late=True, reclaimPolicy="Retain")
    storage.claim("c")
    pod_with(storage, pods, "c", "p")
    pods.running("p")
    name = atoll.get("pvc", "c", storage.ns)["spec"]["volumeName"]
    storage.kubectl("delete", "pod", "p")
    storage.kubectl("delete", "pvc", "c")
    storage.phase("pv", name, "Released")
    assert os.path.isdir(os.path.join(atoll.root, "var/lib/atoll/volumes", name))
    atoll.kubectl("patch", "pv", name, "-p", '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}')
    ac.until(lambda: atoll.get("pv", name) is None, what="the volume is gone")
    assert not os.path.exists(os.path.join(atoll.root, "var/lib/atoll/volumes", name))


def test_a_volume_for_one_pod_alone(storage, atoll, pods):
    storage.make_class("atoll.dev/local", late=True)
    pods.make([{**ac.sh("echo mine > /data/x; exec sleep 100000"), "volumeMounts": [{"name": "v", "mountPath": "/data"}]}], name="p",
              volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
                  "accessModes": ["ReadWriteOnce"], "storageClassName": storage.ns, "resources": {"requests": {"storage": "1Gi"}}}}}}])
    pods.running("p")
    claim = storage.phase("pvc", "p-v", "Bound")
    assert claim["metadata"]["ownerReferences"][0]["uid"] == atoll.get("pod", "p", storage.ns)["metadata"]["uid"]
    storage.kubectl("delete", "pod", "p")
    ac.until(lambda: not atoll.items("pvc", namespace=storage.ns), what="the claim goes with its pod")
    ac.until(lambda: atoll.get("pv", claim["spec"]["volumeName"]) is None, what="the volume goes, too")


def test_a_mounted_volume_survives_a_restart_of_the_agent(storage, atoll, pods):
    storage.make_class("atoll.dev/local", late=True)
    storage.claim("c")
    pod_with(storage, pods, "c", "p", "echo start >> /data/x; trap 'exit 1' TERM; while :; do sleep 0.2; done")
    pods.running("p")
    pid = atoll.pid("node")
    atoll.kill("node")
    ac.until(lambda: atoll.services()["node"]["ready"] and atoll.pid("node") != pid, what="the agent again")
    assert pods.container("p")["restartCount"] == 0 and pods.sh("p", "cat /data/x") == "start\n"
    pods.sh("p", "kill 1", check=False)
    ac.until(lambda: pods.container("p")["restartCount"] == 1 and pods.container("p")["ready"], 40, what="the container again")
    assert pods.sh("p", "cat /data/x") == "start\nstart\n"
    assert "FailedMount" not in str(pods.events("p"))


def test_a_pod_with_a_claim_that_is_named_on_another_node_is_not_mounted(storage, atoll, pods):
    """spec.nodeName goes around the scheduler; the node itself looks whether it can reach the volume."""
    storage.make_class()
    storage.volume("far", node="other")
    storage.claim("c")
    storage.phase("pvc", "c", "Bound")
    pod_with(storage, pods, "c", "p", nodeName="n1")
    ac.until(lambda: "MountVolume.NodeAffinity check failed for volume" in str(pods.events("p")), what="FailedMount")
    assert atoll.get("pod", "p", storage.ns)["status"]["phase"] == "Pending"
