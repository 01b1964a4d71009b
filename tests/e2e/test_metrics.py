"""kubectl top, the node's figures by nodes/proxy, and Prometheus' text of the api service."""
import json
import re
import time

import pytest

import atoll_cluster as ac

BUSY = ["sh", "-c", "while :; do :; done"]


@pytest.fixture(scope="module")
def busy(atoll):
    """A pod of two containers: one that burns CPU, one that holds memory."""
    name = "figures"
    atoll.kubectl("create", "namespace", name)
    ac.until(lambda: atoll.items("serviceaccounts", namespace=name), what="default service account")
    spec = {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "burner", "image": ac.IMAGE, "command": BUSY, "resources": {"limits": {"cpu": "200m"}}},
        {"name": "holder", "image": ac.IMAGE, "command": ["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=16; sleep 3600"],
         "resources": {"limits": {"memory": "64Mi"}}}]}
    atoll.apply({"kind": "Pod", "metadata": {"name": "busy", "labels": {"app": "busy"}}, "spec": spec}, namespace=name)
    atoll.kubectl("wait", "-n", name, "pod/busy", "--for=condition=Ready")
    time.sleep(2)
    yield name
    atoll.kubectl("delete", "namespace", name, "--wait=false")


def raw(atoll, path, check=True):
    return atoll.kubectl("get", "--raw", path, check=check).stdout


def node_raw(atoll, path):
    return raw(atoll, f"/api/v1/nodes/{atoll.node}/proxy{path}")


def samples(text):
    return {m[1]: float(m[2]) for m in re.finditer(r"^([a-z][^ ]*(?:\{[^}]*\})?) (\S+)", text, re.M)}


def test_kubectl_top_pod_shows_what_containers_use(atoll, busy):
    def used():
        """(mCPU of burner, mCPU and MiB of holder), once holder holds what it shall and rests."""
        r = atoll.kubectl("top", "pod", "-n", busy, "--containers", check=False)
        rows = {line.split()[1]: line.split()[2:] for line in r.stdout.splitlines()[1:]}
        if {"burner", "holder"} <= set(rows):
            now = int(rows["burner"][0].rstrip("m")), int(rows["holder"][0].rstrip("m")), int(rows["holder"][1].removesuffix("Mi"))
            return now if now[0] >= 50 and now[1] < 50 and now[2] >= 14 else None
    cpu, _, memory = ac.until(used, what="what the two containers use")
    assert cpu <= 400 and memory <= 64
    assert "busy" in atoll.kubectl("top", "pod", "-n", busy, "-l", "app=busy").stdout
    assert atoll.kubectl("top", "pod", "-n", busy, "-l", "app=other", check=False).stdout == ""


def test_kubectl_top_node_shows_the_machine(atoll, busy):
    lines = atoll.kubectl("top", "node").stdout.splitlines()
    name, cpu, _, memory, _ = lines[1].split()
    assert name == atoll.node and int(cpu.rstrip("m")) > 50 and int(memory.removesuffix("Mi")) > 50


def test_metrics_are_an_api_of_their_own(atoll, busy):
    one = json.loads(raw(atoll, f"/apis/metrics.k8s.io/v1beta1/namespaces/{busy}/pods/busy"))
    assert one["kind"] == "PodMetrics" and one["metadata"]["labels"] == {"app": "busy"}
    assert {c["name"] for c in one["containers"]} == {"burner", "holder"}
    assert json.loads(raw(atoll, "/apis/metrics.k8s.io/v1beta1/nodes"))["items"][0]["usage"]["cpu"].endswith("n")
    assert atoll.kubectl("get", "--raw", f"/apis/metrics.k8s.io/v1beta1/namespaces/{busy}/pods/none", check=False).returncode
    assert "v1beta1.metrics.k8s.io" in atoll.kubectl("get", "apiservices").stdout
    groups = [g["name"] for g in json.loads(raw(atoll, "/apis"))["groups"]]
    assert "metrics.k8s.io" in groups
    r = atoll.kubectl("delete", "--raw", f"/apis/metrics.k8s.io/v1beta1/namespaces/{busy}/pods/busy", check=False)
    assert "MethodNotAllowed" in r.stderr


def test_metrics_are_a_table_too(atoll, busy):
    lines = ac.until(lambda: (t := atoll.kubectl("get", "pods.metrics.k8s.io", "-n", busy).stdout.splitlines()) and len(t) > 1 and t,
                     what="a row")
    assert lines[0].split() == ["NAME", "CPU", "MEMORY", "WINDOW"]
    for line in lines[1:]:
        name, cpu, memory, window = line.split()
        assert cpu.rstrip("n").isdigit() and memory.endswith("Ki") and window.endswith("s"), line
    name, cpu, memory, _ = atoll.kubectl("get", "nodes.metrics.k8s.io", atoll.node, "--no-headers").stdout.split()
    assert name == atoll.node and int(memory[:-2]) > 0
    assert atoll.kubectl("get", "nodes.metrics.k8s.io", atoll.node, "-o", "jsonpath={.kind}").stdout == "NodeMetrics"


def test_who_may_not_read_metrics_gets_none(atoll, busy):
    r = atoll.kubectl("get", "--raw", f"/apis/metrics.k8s.io/v1beta1/namespaces/{busy}/pods", "--as", "nobody", check=False)
    assert 'cannot list resource "pods" in API group "metrics.k8s.io"' in r.stderr


def test_the_node_serves_its_figures_by_proxy(atoll, busy):
    summary = json.loads(node_raw(atoll, "/stats/summary"))
    pod = next(p for p in summary["pods"] if p["podRef"]["name"] == "busy")
    assert pod["cpu"]["usageCoreNanoSeconds"] > 10**7 and len(pod["containers"]) == 2
    resource = samples(node_raw(atoll, "/metrics/resource"))
    assert resource[f'container_cpu_usage_seconds_total{{container="burner",namespace="{busy}",pod="busy"}}'] > 0.01
    assert resource["node_memory_working_set_bytes"] > 10**7
    cadvisor = node_raw(atoll, "/metrics/cadvisor")
    assert re.search(rf'container_memory_working_set_bytes{{container="holder",id="[^"]+",image="{ac.IMAGE}"[^}}]*pod="busy"}} \d{{8,}}', cadvisor)
    assert "kubelet_running_pods" in node_raw(atoll, "/metrics")
    assert node_raw(atoll, "/healthz") == "ok"
    assert "<pre>" in node_raw(atoll, "/logs/")


def test_pods_and_services_are_reached_by_proxy(atoll, busy):
    page = {"kind": "Pod", "metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "web", "image": ac.IMAGE, "ports": [{"name": "http", "containerPort": 8080}],
         "command": ["sh", "-c", "echo '<a href=\"/moved\">x</a>' > /www/index.html; echo plain > /www/t.txt; exec httpd -f -p 8080 -h /www"]}]}}
    service = {"kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"name": "p", "port": 80, "targetPort": 8080}]}}
    atoll.apply(page, service, namespace=busy)
    atoll.kubectl("wait", "-n", busy, "pod/web", "--for=condition=Ready")
    ac.until(lambda: (e := atoll.get("endpoints", "web", namespace=busy)) and e.get("subsets"), what="endpoints")
    base = f"/api/v1/namespaces/{busy}"
    for path in ("pods/web:8080", "pods/web", "pods/http:web:8080", "services/web:80", "services/web", "services/web:p", "services/http:web:p"):
        assert raw(atoll, f"{base}/{path}/proxy/t.txt") == "plain\n", path
        assert raw(atoll, f"{base}/{path}/proxy/") == f'<a href="{base}/{path}/proxy/moved">x</a>\n', path
    r = atoll.kubectl("get", "--raw", f"{base}/pods/web:8081/proxy/", check=False)
    assert "error trying to reach service: dial tcp" in r.stderr and "connection refused" in r.stderr
    r = atoll.kubectl("get", "--raw", f"{base}/services/web:99/proxy/", check=False)
    assert 'no endpoints available for service "web"' in r.stderr


def test_a_tenant_cannot_reach_the_machine_by_proxy(atoll, busy):
    """Endpoints are a tenant's to write; where they lead is not."""
    for ip in ("127.0.0.1", "169.254.169.254"):
        subsets = [{"addresses": [{"ip": ip}], "ports": [{"port": atoll.port}]}]
        o = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "evil"}, "subsets": subsets}
        atoll.apply({"kind": "Service", "metadata": {"name": "evil"}, "spec": {"ports": [{"port": 80}]}}, namespace=busy)
        r = atoll.kubectl("apply", "-n", busy, "-f", "-", text=json.dumps(o), check=False)
        if r.returncode:
            assert "may not be in the" in r.stderr
            continue
        r = atoll.kubectl("get", "--raw", f"/api/v1/namespaces/{busy}/services/https:evil:80/proxy/", check=False)
        assert "address not allowed" in r.stderr


def test_the_api_service_counts_its_requests(atoll, busy):
    before = samples(raw(atoll, "/metrics"))
    for _ in range(3):
        atoll.kubectl("get", "--raw", "/api/v1/namespaces/kube-system")
    atoll.kubectl("get", "--raw", "/api/v1/namespaces/none", check=False)
    after = samples(raw(atoll, "/metrics"))

    def count(s, code):
        return sum(v for k, v in s.items() if k.startswith("apiserver_request_total{") and f'code="{code}"' in k and 'resource="namespaces"' in k
                   and 'verb="GET"' in k and 'scope="resource"' in k)

    assert count(after, 200) - count(before, 200) >= 3 and count(after, 404) - count(before, 404) >= 1
    buckets = [(k, v) for k, v in after.items() if k.startswith("apiserver_request_duration_seconds_bucket") and 'resource="namespaces"' in k
               and 'verb="GET"' in k]
    assert any('le="+Inf"' in k and v >= 4 for k, v in buckets)
    assert after["process_cpu_seconds_total"] > 0 and after["process_resident_memory_bytes"] > 10**6
    assert after["process_start_time_seconds"] > 10**9
    assert any(k.startswith('apiserver_longrunning_requests{') and 'verb="WATCH"' in k for k in after)
    assert 'apiserver_storage_objects{resource="pods"}' in after and 'apiserver_current_inflight_requests{request_kind="readOnly"}' in after
