"""The acceptance of "The API, whole": what a user of kubectl types, on the demo and on a kind of one's own."""
import json
import re

import pytest

from atoll_cluster import IMAGE, until

NS = "acceptance"
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: reefs.acceptance.example.com}
spec:
  group: acceptance.example.com
  scope: Namespaced
  names: {plural: reefs, singular: reef, kind: Reef, shortNames: [rf], categories: [sea]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns: [{name: Depth, type: integer, jsonPath: .spec.depth}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              depth: {type: integer, description: Metres below the surface., minimum: 0}
              replicas: {type: integer, default: 1}
            x-kubernetes-validations: [{rule: "self.depth < 11000", message: no sea is that deep}]
          status: {type: object, properties: {replicas: {type: integer}}}
"""
REEF = "apiVersion: acceptance.example.com/v1\nkind: Reef\nmetadata: {name: a, namespace: %s}\nspec: {depth: %d, colour: red}\n"


@pytest.fixture(scope="module")
def k(atoll):
    def kubectl(*args, **kw):
        return atoll.kubectl("-n", NS, *args, **kw)
    atoll.kubectl("create", "namespace", NS)
    yield kubectl
    atoll.kubectl("delete", "namespace", NS, "--wait=false")


@pytest.fixture(scope="module")
def reef(atoll, k):
    k("apply", "--server-side", "-f", "-", text=CRD)
    k("wait", "--for=condition=Established", "crd/reefs.acceptance.example.com", "--timeout=10s")
    until(lambda: "rf" in k("api-resources", "--api-group=acceptance.example.com", check=False).stdout, what="the kind in discovery")
    # What the schema does not know is refused; without validation it is pruned.
    r = k("apply", "--server-side", "-f", "-", text=REEF % (NS, 40), check=False)
    assert r.returncode and "colour" in r.stderr
    k("apply", "--validate=false", "-f", "-", text=REEF % (NS, 40))
    yield json.loads(k("get", "rf", "a", "-o", "json").stdout)
    k("delete", "crd", "reefs.acceptance.example.com")


def config_map(value):
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": NS}, "data": {"v": value}})


def test_server_side_apply_owns_its_fields_and_names_conflicts(k):
    k("apply", "--server-side", "-f", "-", text=config_map("1"))
    r = k("apply", "--server-side", "--field-manager=other", "-f", "-", text=config_map("2"), check=False)
    assert r.returncode and "conflict with" in r.stderr and ".data.v" in r.stderr
    k("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", text=config_map("2"))
    assert k("get", "cm", "settings", "-o", "jsonpath={.data.v}").stdout == "2"


def test_diff_shows_the_change_and_makes_none(k):
    k("apply", "--server-side", "--force-conflicts", "-f", "-", text=config_map("3"))
    r = k("diff", "--server-side", "--force-conflicts", "-f", "-", text=config_map("4"), check=False)
    assert r.returncode == 1 and re.search(r'^-  v: "3"$', r.stdout, re.M) and re.search(r'^\+  v: "4"$', r.stdout, re.M)
    assert k("get", "cm", "settings", "-o", "jsonpath={.data.v}").stdout == "3"


def test_explain_has_words_for_every_field(k):
    out = k("explain", "--recursive", "deploy").stdout
    for field in ("maxSurge", "topologySpreadConstraints", "readinessProbe", "observedGeneration"):
        assert re.search(rf"^ +{field}\t<", out, re.M), field
    assert "<no description>" not in k("explain", "deploy.spec.template.spec").stdout


def test_what_may_i_do(k):
    out = k("auth", "can-i", "--list").stdout
    assert re.search(r"^\*\.\* +\[\] +\[\] +\[\*\]$", out, re.M)
    assert k("auth", "can-i", "delete", "nodes", "--as=nobody", check=False).stdout.strip() == "no"


def test_top_shows_what_a_pod_uses(k):
    k("run", "busy", f"--image={IMAGE}", "--image-pull-policy=Never", "--restart=Never", "--", "sh", "-c", "while :; do :; done")
    k("wait", "--for=condition=Ready", "pod/busy", "--timeout=30s")
    until(lambda: re.search(r"^busy +[1-9]\d*m +\d+Mi *$", k("top", "pod", check=False).stdout, re.M), 30, what="its figures")
    k("delete", "pod", "busy", "--grace-period=0", "--force")


def test_every_group_has_its_openapi(k):
    paths = json.loads(k("get", "--raw", "/openapi/v3").stdout)["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/batch/v1"} <= set(paths)
    document = json.loads(k("get", "--raw", paths["apis/apps/v1"]["serverRelativeURL"]).stdout)
    assert "io.k8s.api.apps.v1.Deployment" in document["components"]["schemas"]


def test_a_kind_of_ones_own(k, reef):
    assert reef["spec"] == {"depth": 40, "replicas": 1}
    assert re.search(r"^a +40$", k("get", "reefs").stdout, re.M)
    assert "reef.acceptance.example.com/a" in k("get", "crd,sea").stdout
    assert "Metres below the surface." in k("explain", "reef.spec.depth").stdout
    k("scale", "reef/a", "--replicas=3")
    assert k("get", "reef", "a", "-o", "jsonpath={.spec.replicas}").stdout == "3"
    r = k("apply", "--validate=false", "-f", "-", text=REEF % (NS, 12000), check=False)
    assert r.returncode and "spec" in r.stderr and "no sea is that deep" in r.stderr
