"""Clients that people have: python's dynamic client, @kubernetes/client-node, and Prometheus that discovers its targets."""
import json
import os
import shutil
import subprocess
import urllib.request

import pytest

from atoll_cluster import IMAGE, TOP, client_of, free_port, run, sh, until

CLIENT_NODE = "@kubernetes/client-node@1.3.0"


# ---- python ----

def test_the_dynamic_client_finds_kinds_and_applies(atoll, namespace):
    from kubernetes.dynamic import DynamicClient
    dynamic = DynamicClient(client_of(atoll))
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    assert deployments.namespaced and "scale" in deployments.subresources
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"k": "1"}}
    made = maps.create(body=body, namespace=namespace)
    assert made.data.k == "1"
    events = maps.watch(namespace=namespace, resource_version=made.metadata.resourceVersion, timeout=10)
    maps.patch(body={"metadata": {"name": "dynamic"}, "data": {"k": "2"}}, namespace=namespace,
               content_type="application/merge-patch+json")
    event = next(iter(events))
    assert event["type"] == "MODIFIED" and event["object"].data.k == "2"
    assert {m.metadata.name for m in maps.get(namespace=namespace).items} >= {"dynamic"}
    maps.delete(name="dynamic", namespace=namespace)
    with pytest.raises(Exception, match="404"):
        maps.get(name="dynamic", namespace=namespace)


# ---- JavaScript ----

@pytest.fixture(scope="module")
def client_node(tmp_path_factory):
    """The library from npm, kept in the user's cache; the script stands beside it, since modules are found from there."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "atoll", CLIENT_NODE.replace("/", "-"))
    if not os.path.isdir(f"{cache}/node_modules/@kubernetes/client-node"):
        os.makedirs(cache, exist_ok=True)
        # The tests run in a namespace without a way out; the installation does not.
        r = run("nsenter", "--net=/proc/1/ns/net", "npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", cache,
                CLIENT_NODE, check=False, timeout=180, cwd=cache)
        if r.returncode:
            pytest.skip(f"npm cannot install {CLIENT_NODE}: {r.stderr[-300:]}")
    shutil.copy(f"{TOP}/tests/e2e/clients/client.mjs", f"{cache}/client.mjs")
    return f"{cache}/client.mjs"


def test_client_node_informer_apply_and_exec(atoll, pods, client_node):
    pods.make([sh("sleep 600")], name="target")
    pods.running("target")
    r = run("node", client_node, atoll.kubeconfig, pods.namespace, "target", check=False)
    assert r.returncode == 0, r.stderr
    assert r.stdout.splitlines() == ["add applied 1, update applied 2, delete applied 2", "from the pod Failure 3"]


# ---- Prometheus ----

PROMETHEUS = """
global: {{scrape_interval: 1s}}
scrape_configs:
{jobs}
- job_name: atoll
  kubernetes_sd_configs: [{{role: endpoints, kubeconfig_file: {kubeconfig}, namespaces: {{names: [default]}}}}]
  scheme: https
  tls_config: {{ca_file: {ca}, insecure_skip_verify: true}}
  authorization: {{credentials_file: {token}}}
  relabel_configs: [{{source_labels: [__meta_kubernetes_service_name], regex: kubernetes, action: keep}}]
"""


@pytest.fixture
def prometheus(atoll, tmp_path):
    """Prometheus that looks for pods, endpoints, nodes and services, and scrapes the API itself."""
    atoll.kubectl("create", "serviceaccount", "prometheus", "-n", "default")
    atoll.kubectl("create", "clusterrole", "prometheus", "--verb=get", "--non-resource-url=/metrics")
    atoll.kubectl("create", "clusterrolebinding", "prometheus", "--clusterrole=prometheus", "--serviceaccount=default:prometheus")
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text(atoll_token(atoll))
    ca.write_text(json.loads(atoll.kubectl("get", "configmap", "kube-root-ca.crt", "-n", "default", "-o", "json").stdout)["data"]["ca.crt"])
    jobs = "\n".join(f"- job_name: {role}\n  kubernetes_sd_configs: [{{role: {role}, kubeconfig_file: {atoll.kubeconfig}}}]"
                     for role in ("pod", "endpoints", "endpointslice", "node", "service", "ingress"))
    config = tmp_path / "prometheus.yml"
    config.write_text(PROMETHEUS.format(jobs=jobs, kubeconfig=atoll.kubeconfig, ca=ca, token=token))
    port = free_port()
    log = open(tmp_path / "prometheus.log", "w")
    p = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
                          f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}", tmp_path / "prometheus.log"
    finally:
        p.terminate()
        p.wait(20)
        log.close()
        for kind in ("serviceaccount", "clusterrole", "clusterrolebinding"):
            atoll.kubectl("delete", kind, "prometheus", "-n", "default", check=False)


def atoll_token(atoll):
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    r = atoll.kubectl("create", "--raw", "/api/v1/namespaces/default/serviceaccounts/prometheus/token", "-f", "-", text=json.dumps(review))
    return json.loads(r.stdout)["status"]["token"]


def ask(url):
    with urllib.request.urlopen(url, timeout=5) as r:
        return json.load(r)["data"]


def test_prometheus_finds_its_targets_and_scrapes_the_api(atoll, pods, prometheus):
    url, log = prometheus
    pods.make([{"command": ["sleep", "600"], "image": IMAGE, "ports": [{"containerPort": 9100}]}], name="scraped")
    pods.running("scraped")
    atoll.apply({"kind": "Service", "metadata": {"name": "scraped"},
                 "spec": {"selector": {"app": "scraped"}, "ports": [{"port": 80, "targetPort": 9100}]}}, namespace=pods.namespace)

    def found():
        try:
            targets = ask(f"{url}/api/v1/targets")["activeTargets"]
        except OSError:
            return None
        by_job = {}
        for t in targets:
            by_job.setdefault(t["scrapePool"], []).append(t)
        here = [t for job in ("pod", "endpoints", "endpointslice", "service") for t in by_job.get(job, [])
                if t["discoveredLabels"].get("__meta_kubernetes_namespace") == pods.namespace]
        jobs = {t["scrapePool"] for t in here}
        nodes = [t["discoveredLabels"]["__meta_kubernetes_node_name"] for t in by_job.get("node", [])]
        up = [t for t in by_job.get("atoll", []) if t["health"] == "up"]
        return (jobs, nodes, up) if jobs == {"pod", "endpoints", "endpointslice", "service"} and nodes and up else None
    try:
        _, nodes, _ = until(found, 30, every=0.3, what="Prometheus' targets")
    except AssertionError as e:
        raise AssertionError(f"{e}\n{log.read_text()[-3000:]}") from None
    assert nodes == [atoll.node]
    result = until(lambda: ask(f"{url}/api/v1/query?query=sum(apiserver_request_total)")["result"], 15, what="apiserver_request_total")
    assert float(result[0]["value"][1]) > 0
