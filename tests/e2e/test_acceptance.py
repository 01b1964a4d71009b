"""The acceptance of "First light": a user applies ordinary manifests and drives them with kubectl."""
import json
import os
import re
import shutil
import time
import urllib.request

import pytest

from atoll_cluster import ATOLL, BUILD, TOP, free_port, run, until
from request_loop import RequestLoop

SERVICES = ["api", "broker", "controllers", "dns", "egress", "image", "keys", "network", "node", "scheduler", "sp", "store"]


@pytest.fixture(scope="module")
def hello(new_atoll):
    """The demo, started by its own script on a root of its own."""
    a = new_atoll(start=False)
    a.up()
    out = run(f"{TOP}/examples/hello/run", "--root", a.root, "--build", BUILD, timeout=120).stdout
    a.demo_output = out
    return a


def rollout(a, timeout="60s"):
    return a.kubectl("rollout", "status", "deploy/hello", f"--timeout={timeout}", timeout=90).stdout


def url(a):
    return f"http://{a.get('service', 'hello')['spec']['clusterIP']}/"


def test_the_demo_fetches_the_page_and_tells_time_services_memory_and_next_commands(hello):
    out = hello.demo_output
    assert "<h1>Hello from Atoll</h1>" in out
    assert re.search(r"Deployment ready after \d+ ms", out) and re.search(r"\d+ services use [\d.]+ MiB", out)
    assert len(re.findall(r"^    kubectl ", out, re.M)) == 3


@pytest.mark.parametrize("kind", ["nodes", "pods", "svc", "deploy", "rs", "ep", "endpointslices", "events", "cm", "secrets", "sa", "ns",
                                  "leases", "roles", "rolebindings", "clusterroles", "clusterrolebindings"])
def test_get_wide_of_every_kind(hello, kind):
    r = hello.kubectl("get", kind, "-A", "-o", "wide")
    lines = r.stdout.splitlines()
    if kind in ("secrets", "roles", "rolebindings") and not lines:
        assert "No resources found" in r.stderr
        return
    assert "NAME" in lines[0] and "AGE" in lines[0] or kind in ("events", "roles", "clusterroles")
    assert len(lines) > 1


def test_get_of_all_at_once_shows_the_whole_picture(hello):
    out = hello.kubectl("get", "nodes,pods,svc,deploy,rs,ep,endpointslices,events", "-A", "-o", "wide").stdout
    assert re.search(r"node/n1 +Ready +\S+ +\S+ +v1\.32\.\d+\+atoll +10\.|node/n1 +Ready", out)
    assert len(re.findall(r"pod/hello-\w+-\w+ +1/1 +Running +0 ", out)) == 3
    assert re.search(r"service/hello +ClusterIP +10\.\S+ +<none> +80/TCP +\S+ +app=hello", out)
    assert re.search(r"service/kubernetes +ClusterIP +10\.\S+ +<none> +443/TCP", out)
    assert re.search(r"deployment.apps/hello +3/3 +3 +3 +\S+ +web +localhost/hello:1 +app=hello", out)
    assert re.search(r"endpoints/hello +10\.[\d.]+:8080,10\.[\d.]+:8080,10\.[\d.]+:8080", out)
    assert re.search(r"endpointslice.discovery.k8s.io/hello-\w+ +IPv4 +8080", out)
    for reason in ("Scheduled", "Pulled", "Created", "Started", "ScalingReplicaSet", "SuccessfulCreate"):
        assert reason in out, reason


def test_describe_node_and_pod(hello):
    node = hello.kubectl("describe", "node").stdout
    assert re.search(r"Ready +True .* KubeletReady", node) and "Allocated resources:" in node and "hello-" in node
    assert "cpu" in node and "Container Runtime Version:  crun://" in node
    pod = hello.kubectl("describe", "pod", "-l", "app=hello").stdout
    for text in ("Controlled By:  ReplicaSet/hello-", "Started ", "Readiness:", "http-get http://:http/", "ConfigMap (a volume populated by a ConfigMap)",
                 "QoS Class:", "Successfully assigned default/hello-"):
        assert text in pod, text


def test_scale_to_twenty_and_back(hello):
    hello.kubectl("scale", "deploy/hello", "--replicas=20")
    assert "successfully rolled out" in rollout(hello)
    assert len([p for p in hello.items("pods", "-l", "app=hello") if p["status"]["phase"] == "Running"]) == 20
    until(lambda: sum(len(s["addresses"]) for s in hello.items("endpoints")[0:]
                      for s in s.get("subsets", []) if s["ports"][0]["port"] == 8080) == 20, what="20 endpoints")
    hello.kubectl("scale", "deploy/hello", "--replicas=3")
    until(lambda: len(hello.items("pods", "-l", "app=hello")) == 3, 40, what="3 pods")


def test_deleting_all_pods_heals(hello):
    before = {p["metadata"]["name"] for p in hello.items("pods", "-l", "app=hello")}
    hello.kubectl("delete", "pod", "-l", "app=hello", "--wait=false")
    rollout(hello)
    until(lambda: len(now := {p["metadata"]["name"] for p in hello.items("pods", "-l", "app=hello")}) == 3 and not now & before, 40)
    assert "Hello" in run("curl", "-sS", "--fail", "--max-time", "5", url(hello)).stdout


def test_rollout_loses_no_request_and_undo_and_history_work(hello):
    with RequestLoop(url(hello)) as loop:
        hello.kubectl("set", "env", "deploy/hello", "V=2")
        assert "successfully rolled out" in rollout(hello)
        pod = hello.items("pods", "-l", "app=hello", "--sort-by=.metadata.creationTimestamp")[-1]
        assert {"name": "V", "value": "2"} in pod["spec"]["containers"][0]["env"]
        assert re.findall(r"^(\d+) ", hello.kubectl("rollout", "history", "deploy/hello").stdout, re.M) == ["1", "2"]
        assert "rolled back" in hello.kubectl("rollout", "undo", "deploy/hello").stdout
        rollout(hello)
        assert re.findall(r"^(\d+) ", hello.kubectl("rollout", "history", "deploy/hello").stdout, re.M) == ["2", "3"]
        assert "V:" in hello.kubectl("rollout", "history", "deploy/hello", "--revision=2").stdout
        hello.kubectl("rollout", "restart", "deploy/hello")
        rollout(hello)
    assert not loop.failures, f"{len(loop.failures)} of {loop.count} failed: {loop.failures[:3]}"
    assert "env" not in hello.get("deploy", "hello")["spec"]["template"]["spec"]["containers"][0]


def test_pause_and_resume(hello):
    hello.kubectl("rollout", "pause", "deploy/hello")
    hello.kubectl("set", "env", "deploy/hello", "PAUSED=1")
    until(lambda: (d := hello.get("deploy", "hello"))["status"]["observedGeneration"] == d["metadata"]["generation"])
    assert hello.get("deploy", "hello")["status"].get("updatedReplicas", 0) == 0
    hello.kubectl("rollout", "resume", "deploy/hello")
    rollout(hello)
    assert hello.get("deploy", "hello")["status"]["updatedReplicas"] == 3


def test_logs_of_a_deployment(hello):
    assert "serving as hello-" in hello.kubectl("logs", "deploy/hello").stdout


def test_exec_reaches_the_service_by_its_name(hello):
    out = hello.kubectl("exec", "deploy/hello", "--", "wget", "-qO-", "http://hello.default.svc.cluster.local").stdout
    assert "<h1>Hello from Atoll</h1>" in out


def test_cp_both_ways(hello, tmp_path):
    rollout(hello)
    pod = until(lambda: [p for p in hello.items("pods", "-l", "app=hello") if "deletionTimestamp" not in p["metadata"]])[0]["metadata"]["name"]
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/data").write_bytes(os.urandom(2_000_000))
    hello.kubectl("cp", f"{tmp_path}/tree", f"{pod}:/tmp/tree")
    hello.kubectl("cp", f"{pod}:/tmp/tree", f"{tmp_path}/back")
    assert (tmp_path / "back/sub/data").read_bytes() == (tmp_path / "tree/sub/data").read_bytes()


def test_port_forward_to_a_service(hello):
    port = free_port()
    p = hello.start_kubectl("port-forward", "svc/hello", f"{port}:80")
    try:
        assert "Forwarding from" in p.stdout.readline()
        for _ in range(5):
            assert b"Hello from Atoll" in urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read()
    finally:
        p.kill()
        p.communicate()


def test_diff_and_explain(hello):
    manifest = f"{TOP}/examples/hello/hello.yaml"
    text = open(manifest).read()
    r = hello.kubectl("diff", "-f", "-", text=text.replace("Hello from Atoll", "Hello again"), check=False)
    assert r.returncode == 1 and re.search(r"^-.*Hello from Atoll", r.stdout, re.M) and re.search(r"^\+.*Hello again", r.stdout, re.M), r.stderr
    out = hello.kubectl("explain", "pod.spec.containers").stdout
    assert "KIND:" in out and "FIELD: containers" in out and re.search(r"^  livenessProbe\t<Probe>", out, re.M)
    assert re.search(r"^ +httpGet\t<HTTPGetAction>", hello.kubectl("explain", "pod.spec.containers.livenessProbe", "--recursive").stdout, re.M)


def test_a_kind_of_ones_own_works_at_once(hello):
    hello.kubectl("apply", "--server-side", "-f", f"{TOP}/examples/crontabs/crontabs.yaml")
    r = hello.kubectl("apply", "-f", f"{TOP}/examples/crontabs/crontab.yaml", check=False)
    assert r.returncode == 1 and 'The CronTab "a" is invalid: spec: Invalid value: "object": too many' in r.stderr, r.stderr
    hello.kubectl("apply", "-f", "-", text=open(f"{TOP}/examples/crontabs/crontab.yaml").read().replace("12", "3"))
    hello.kubectl("delete", "-f", f"{TOP}/examples/crontabs/crontabs.yaml")


def test_config_map_change_arrives_at_the_service(hello):
    hello.kubectl("patch", "cm", "hello", "-p", json.dumps({"data": {"index.html": "second page\n"}}))
    until(lambda: {run("curl", "-sS", "--max-time", "5", url(hello), check=False).stdout for _ in range(6)} == {"second page\n"}, 30,
          what="the new page everywhere")


@pytest.mark.parametrize("service", SERVICES)
def test_killing_a_service_fails_no_request_and_it_is_back_within_a_second(hello, service):
    assert sorted(hello.services()) == SERVICES
    rollout(hello)
    target = url(hello)
    before = hello.services()[service]
    pods = {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["containerID"] for p in hello.items("pods", "-l", "app=hello")
            if "deletionTimestamp" not in p["metadata"]}
    with RequestLoop(target) as loop:
        until(lambda: loop.count > 5)
        hello.kill(service)
        killed = time.clock_gettime(time.CLOCK_BOOTTIME)
        pid = until(lambda: (s := hello.services()[service])["restarts"] > before["restarts"] and s["pid"], 5, every=0.02, what=f"{service} back")
        # The kernel knows when it was started; asking who is there takes a while on a busy machine.
        took = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK") - killed
        until(lambda: hello.kubectl("get", "--raw", "/readyz", check=False).stdout == "ok", 5, every=0.02, what="API ready")
        n = loop.count
        until(lambda: loop.count > n + 20)
    assert not loop.failures, f"{len(loop.failures)} of {loop.count} failed: {loop.failures[:3]}"
    assert took < 1.0, f"{service} was back after {took:.2f} s"
    rollout(hello)
    after = {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["containerID"] for p in hello.items("pods", "-l", "app=hello")}
    assert pods.items() <= after.items()


def test_everything_still_works_after_all_those_deaths(hello):
    hello.kubectl("scale", "deploy/hello", "--replicas=5")
    rollout(hello)
    hello.kubectl("scale", "deploy/hello", "--replicas=3")
    until(lambda: len(hello.items("pods", "-l", "app=hello")) == 3, 40)
    out = hello.kubectl("exec", "deploy/hello", "--", "wget", "-qO-", "http://hello.default.svc.cluster.local").stdout
    assert "second page" in out


def test_down_and_up_lose_nothing_while_pods_serve(hello):
    def picture():
        return {p["metadata"]["name"]: [(s["containerID"], s["restartCount"]) for s in p["status"]["containerStatuses"]]
                for p in hello.items("pods", "-l", "app=hello")}
    before, target = picture(), url(hello)
    with RequestLoop(target) as loop:
        hello.down()
        n = loop.count
        until(lambda: loop.count > n + 20)
        hello.up()
        hello.ready()
        rollout(hello)
        n = loop.count
        until(lambda: loop.count > n + 20)
    assert not loop.failures, f"{len(loop.failures)} of {loop.count} failed: {loop.failures[:3]}"
    assert picture() == before
    hello.kubectl("delete", "pod", "-l", "app=hello", "--wait=false")
    rollout(hello)


def test_the_official_client_creates_watches_patches_executes_deletes(hello):
    kubernetes = pytest.importorskip("kubernetes")
    from kubernetes import client, config, watch
    from kubernetes.stream import stream
    config.load_kube_config(hello.kubeconfig)
    v1 = client.CoreV1Api()
    version = v1.list_namespaced_pod("default").metadata.resource_version
    v1.create_namespaced_pod("default", client.V1Pod(
        metadata=client.V1ObjectMeta(name="py"), spec=client.V1PodSpec(termination_grace_period_seconds=1, containers=[
            client.V1Container(name="c", image="localhost/hello:1", command=["sleep", "1000"])])))
    seen = []
    for e in watch.Watch().stream(v1.list_namespaced_pod, "default", field_selector="metadata.name=py", resource_version=version, timeout_seconds=30):
        seen.append(e["type"])
        if e["object"].status.phase == "Running":
            break
    assert seen[0] == "ADDED" and set(seen[1:]) == {"MODIFIED"}
    assert v1.patch_namespaced_pod("py", "default", {"metadata": {"labels": {"x": "y"}}}).metadata.labels == {"x": "y"}
    assert stream(v1.connect_get_namespaced_pod_exec, "py", "default", command=["echo", "hi"], stdout=True, stderr=True,
                  stdin=False, tty=False) == "hi\n"
    version = v1.read_namespaced_pod("py", "default").metadata.resource_version
    v1.delete_namespaced_pod("py", "default")
    for e in watch.Watch().stream(v1.list_namespaced_pod, "default", field_selector="metadata.name=py", resource_version=version, timeout_seconds=30):
        if e["type"] == "DELETED":
            break
    else:
        pytest.fail("no DELETED event")
    with pytest.raises(client.ApiException) as gone:
        v1.read_namespaced_pod("py", "default")
    assert gone.value.status == 404 and kubernetes


def test_purge_leaves_nothing(hello):
    root = hello.root
    hello.end()
    left = [f for f in ("run", "var", "etc") if os.path.exists(os.path.join(root, f)) and
            any(files for _, _, files in os.walk(os.path.join(root, f)))]
    assert not left
    shutil.rmtree(root, ignore_errors=True)
    assert os.access(ATOLL, os.X_OK)
