"""Clients that people have: python's dynamic client, @kubernetes/client-node, and Prometheus that discovers its targets."""
import contextlib
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
def client_node(network_namespace):
    """The library from npm, kept in the user's cache; the script stands beside it, since modules are found from there."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "atoll", CLIENT_NODE.replace("/", "-"))
    if not os.path.isdir(f"{cache}/node_modules/@kubernetes/client-node"):
        os.makedirs(cache, exist_ok=True)
        # The tests run in a namespace without a way out; the installation does not.
        r = run("nsenter", f"--net=/proc/{os.getpid()}/fd/{network_namespace.before}", "npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", cache,
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

BUILT = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "peers", "prometheus-2.42", "bin", "prometheus")
HOW = "Debian's prometheus has no kubernetes_sd_configs: `make prometheus` builds one that has them"
ROLES = ("pod", "endpoints", "endpointslice", "node", "service", "ingress")
SCRAPE = """
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: atoll
  static_configs: [{{targets: ["{address}"]}}]
  scheme: https
  tls_config: {{ca_file: {ca}}}
  authorization: {{credentials_file: {token}}}
"""
DISCOVER = """
- job_name: {role}
  kubernetes_sd_configs: [{{role: {role}, kubeconfig_file: {kubeconfig}}}]
"""
DISCOVERED_API = """
- job_name: discovered
  kubernetes_sd_configs: [{{role: endpoints, kubeconfig_file: {kubeconfig}, namespaces: {{names: [default]}}}}]
  scheme: https
  tls_config: {{ca_file: {ca}}}
  authorization: {{credentials_file: {token}}}
  relabel_configs: [{{source_labels: [__meta_kubernetes_service_name], regex: kubernetes, action: keep}}]
"""


@pytest.fixture(scope="module")
def account(atoll, tmp_path_factory):
    """What Prometheus scrapes the API with: the token of a service account that may read /metrics, and the CA."""
    atoll.kubectl("create", "serviceaccount", "prometheus", "-n", "default")
    atoll.kubectl("create", "clusterrole", "prometheus", "--verb=get", "--non-resource-url=/metrics")
    atoll.kubectl("create", "clusterrolebinding", "prometheus", "--clusterrole=prometheus", "--serviceaccount=default:prometheus")
    directory = tmp_path_factory.mktemp("account")
    ca = json.loads(atoll.kubectl("get", "configmap", "kube-root-ca.crt", "-n", "default", "-o", "json").stdout)["data"]["ca.crt"]
    (directory / "ca.crt").write_text(ca)
    (directory / "token").write_text(atoll_token(atoll))
    yield {"ca": directory / "ca.crt", "token": directory / "token", "kubeconfig": atoll.kubeconfig,
           "address": json.loads(atoll.kubectl("config", "view", "-o", "json").stdout)["clusters"][0]["cluster"]["server"].split("://")[1]}
    for kind in ("serviceaccount", "clusterrole", "clusterrolebinding"):
        atoll.kubectl("delete", kind, "prometheus", "-n", "default", check=False)


@contextlib.contextmanager
def prometheus(program, config, directory):
    """A Prometheus of this configuration; gives its URL and its log."""
    (directory / "prometheus.yml").write_text(config)
    port, log = free_port(), directory / "prometheus.log"
    with open(log, "w") as out:
        p = subprocess.Popen([program, f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                              f"--web.listen-address=127.0.0.1:{port}"], stdout=out, stderr=out)
        try:
            yield f"http://127.0.0.1:{port}", log
        finally:
            p.terminate()
            p.wait(20)


def atoll_token(atoll):
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    r = atoll.kubectl("create", "--raw", "/api/v1/namespaces/default/serviceaccounts/prometheus/token", "-f", "-", text=json.dumps(review))
    return json.loads(r.stdout)["status"]["token"]


def ask(url):
    with urllib.request.urlopen(url, timeout=5) as r:
        return json.load(r)["data"]


def asked(url, log, check, what):
    """Waits until check() of the answer is true; Prometheus' own words are in the failure."""
    def once():
        try:
            return check(ask(url))
        except OSError:
            return None
    try:
        return until(once, 30, every=0.3, what=what)
    except AssertionError as e:
        raise AssertionError(f"{e}\n{log.read_text()[-3000:]}") from None


def test_prometheus_scrapes_the_api(account, tmp_path):
    program = shutil.which("prometheus") or (BUILT if os.access(BUILT, os.X_OK) else None)
    if not program:
        pytest.skip("neither Debian's prometheus nor the one of `make prometheus` is there")
    with prometheus(program, SCRAPE.format(**account), tmp_path) as (url, log):
        up = f"{url}/api/v1/query?query=up%7Bjob=%22atoll%22%7D"
        asked(up, log, lambda d: d["result"] and d["result"][0]["value"][1] == "1", "Atoll's /metrics to be up")
        total = f"{url}/api/v1/query?query=sum(apiserver_request_total)"
        asked(total, log, lambda d: d["result"] and float(d["result"][0]["value"][1]) > 0, "apiserver_request_total")


def test_prometheus_finds_its_targets(atoll, pods, account, tmp_path):
    if not os.access(BUILT, os.X_OK):
        pytest.skip(HOW)
    pods.make([{"command": ["sleep", "600"], "image": IMAGE, "ports": [{"containerPort": 9100}]}], name="scraped")
    pods.running("scraped")
    port = {"port": 80, "targetPort": 9100}
    atoll.apply({"kind": "Service", "metadata": {"name": "scraped"}, "spec": {"selector": {"app": "scraped"}, "ports": [port]}},
                namespace=pods.namespace)
    backend = {"service": {"name": "scraped", "port": {"number": 80}}}
    atoll.apply({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "scraped"}, "spec": {"rules": [
        {"host": "scraped.test", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}, namespace=pods.namespace)
    config = SCRAPE.format(**account) + "".join(DISCOVER.format(role=r, **account) for r in ROLES) + DISCOVERED_API.format(**account)

    def found(data):
        jobs, nodes, up = set(), [], False
        for t in data["activeTargets"]:
            labels = t["discoveredLabels"]
            if labels.get("__meta_kubernetes_namespace") == pods.namespace:
                jobs.add(t["scrapePool"])
            if t["scrapePool"] == "node":
                nodes.append(labels["__meta_kubernetes_node_name"])
            up |= t["scrapePool"] == "discovered" and t["health"] == "up"
        return (nodes, by_port(data, pods)) if jobs >= set(ROLES) - {"node"} and nodes and up else None
    with prometheus(BUILT, config, tmp_path) as (url, log):
        nodes, ports = asked(f"{url}/api/v1/targets", log, found, "Prometheus' targets")
        assert nodes == [atoll.node]
        assert ports == {"pod", "endpoints", "endpointslice"}
        pods.kubectl("delete", "pod", "scraped", "--now")
        asked(f"{url}/api/v1/targets", log, lambda d: not by_port(d, pods), "the deleted pod's targets to go")


def by_port(data, pods):
    """The roles that know the pod by its own port."""
    return {t["scrapePool"] for t in data["activeTargets"] if t["discoveredLabels"]["__address__"].endswith(":9100")
            and t["discoveredLabels"].get("__meta_kubernetes_namespace") == pods.namespace}
