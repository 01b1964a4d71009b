"""What the verbs do at their edges: a PUT that makes, a collection that is deleted, and who may."""
import gzip
import json
import os
import uuid

import pytest

import atoll_cluster as ac
from test_api import Api, cm, maps

RULES = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
SUBJECTS = {"subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "nobody"}],
            "roleRef": {"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": "view"}}
# As upstream: the kinds of which a PUT makes what is not there.
MADE_BY_PUT = [
    ("v1", "services", {"spec": {"ports": [{"port": 80}]}}), ("v1", "endpoints", {"subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80}]}]}),
    ("v1", "limitranges", {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}}),
    ("v1", "events", {"involvedObject": {"namespace": "NS"}, "reason": "Test"}),
    ("events.k8s.io/v1", "events", {"regarding": {"namespace": "NS"}, "reason": "Test", "action": "Test", "type": "Normal",
                                    "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "e.org/c", "reportingInstance": "i"}),
    ("coordination.k8s.io/v1", "leases", {"spec": {"holderIdentity": "me"}}),
    ("rbac.authorization.k8s.io/v1", "roles", {"rules": RULES}), ("rbac.authorization.k8s.io/v1", "rolebindings", SUBJECTS),
    ("rbac.authorization.k8s.io/v1", "clusterroles", {"rules": RULES}), ("rbac.authorization.k8s.io/v1", "clusterrolebindings", SUBJECTS),
    ("node.k8s.io/v1", "runtimeclasses", {"handler": "crun"})]
NOT_MADE = [("v1", "configmaps"), ("v1", "secrets"), ("v1", "pods"), ("v1", "serviceaccounts"), ("apps/v1", "deployments"),
            ("discovery.k8s.io/v1", "endpointslices"), ("batch/v1", "jobs")]


@pytest.fixture
def api(root):
    return Api(os.path.join(root, "run/atoll/api.sock"))


@pytest.fixture
def ns(api):
    name = "verbs-" + uuid.uuid4().hex[:6]
    assert api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
    yield name
    api("DELETE", f"/api/v1/namespaces/{name}")


def path_of(version, plural, ns):
    alone = plural in ("clusterroles", "clusterrolebindings", "runtimeclasses")
    return ("/apis/" if "/" in version else "/api/") + version + ("" if alone else f"/namespaces/{ns}") + "/" + plural


def leases(ns, name=""):
    return path_of("coordination.k8s.io/v1", "leases", ns) + (f"/{name}" if name else "")


# ---- PUT ----

@pytest.mark.parametrize("version,plural,body", MADE_BY_PUT)
def test_a_put_makes_what_is_not_there(api, ns, version, plural, body):
    name = "put-" + uuid.uuid4().hex[:6]
    path = path_of(version, plural, ns) + "/" + name
    body = {**body, "metadata": {"name": name, "resourceVersion": "5"}}  # a version that was seen before it went
    for key in ("involvedObject", "regarding"):
        if key in body:
            body[key] = {"namespace": ns}
    status, made = api("PUT", path + "?dryRun=All", body)
    assert status == 201 and api("GET", path)[0] == 404, made
    status, made = api("PUT", path, body)
    assert status == 201 and made["metadata"]["uid"] and made["metadata"]["creationTimestamp"], made
    assert made["metadata"]["managedFields"][0]["operation"] == "Update"
    if plural == "services":
        assert made["spec"]["clusterIP"]
    assert api("GET", path)[1] == made
    del body["metadata"]["resourceVersion"]
    status, again = api("PUT", path, {**body, "metadata": {**made["metadata"], "labels": {"a": "b"}}})
    assert status == 200 and again["metadata"]["uid"] == made["metadata"]["uid"]
    assert api("DELETE", path)[0] == 200


@pytest.mark.parametrize("version,plural", NOT_MADE)
def test_a_put_of_other_kinds_makes_nothing(api, ns, version, plural):
    status, e = api("PUT", path_of(version, plural, ns) + "/none", {"metadata": {"name": "none"}})
    assert status == 404 and e["reason"] == "NotFound", e


def test_a_put_that_makes_is_checked_as_a_creation(api, ns):
    status, e = api("PUT", leases(ns, "x"), {"metadata": {"name": "y"}})
    assert status == 400 and "(y) does not match the name on the URL (x)" in e["message"]
    status, e = api("PUT", leases(ns, "x"), {"metadata": {"name": "x", "uid": "u-1"}})
    assert status == 409 and "Precondition failed: UID in precondition: u-1, UID in object meta: " in e["message"]
    status, e = api("PUT", leases(ns, "x"), {"metadata": {"name": "x"}, "spec": {"leaseDurationSeconds": -1}})
    assert status == 422 and e["details"]["causes"][0]["field"] == "spec.leaseDurationSeconds", e
    status, e = api("PUT", leases("nowhere-at-all", "x"), {"metadata": {"name": "x"}})
    assert status == 404 and e["message"] == 'namespaces "nowhere-at-all" not found', e
    assert api("GET", leases(ns))[1]["items"] == []


def test_who_may_only_update_makes_nothing_by_put(api, ns):
    roles = path_of("rbac.authorization.k8s.io/v1", "roles", ns)
    rules = [{"verbs": ["update"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}]
    assert api("POST", roles, {"metadata": {"name": "r"}, "rules": rules})[0] == 201
    binding = {"metadata": {"name": "r"}, "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ann"}],
               "roleRef": {"kind": "Role", "apiGroup": "rbac.authorization.k8s.io", "name": "r"}}
    assert api("POST", path_of("rbac.authorization.k8s.io/v1", "rolebindings", ns), binding)[0] == 201
    ann = Api(api.sock, {"Impersonate-User": "ann"})
    status, e = ann("PUT", leases(ns, "x"), {"metadata": {"name": "x"}})
    assert status == 403 and e["message"] == (
        f'leases.coordination.k8s.io "x" is forbidden: User "ann" cannot create resource "leases" in API group "coordination.k8s.io" '
        f'in the namespace "{ns}"'), e
    rules[0]["verbs"].append("create")
    assert api("PUT", roles + "/r", {"metadata": {"name": "r"}, "rules": rules})[0] == 200
    assert ann("PUT", leases(ns, "x"), {"metadata": {"name": "x"}})[0] == 201


# ---- DELETE of a collection ----

def make(api, ns, n=4, **meta):
    made = []
    for i in range(n):
        status, o = api("POST", maps(ns), {**cm(), "metadata": {"name": f"c{i}", "labels": {"mine": "yes"}, **meta}})
        assert status == 201
        made.append(o)
    return made


def mine(api, ns):
    return [o["metadata"]["name"] for o in api("GET", maps(ns) + "?labelSelector=mine")[1]["items"]]


def test_a_collection_that_is_deleted_is_answered_as_the_list_it_was(api, ns):
    made = make(api, ns)
    status, gone = api("DELETE", maps(ns) + "?labelSelector=mine")
    assert status == 200 and gone["kind"] == "ConfigMapList" and gone["apiVersion"] == "v1", gone
    items = [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for o in gone["items"]]
    assert items == [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for o in made]
    assert int(gone["metadata"]["resourceVersion"]) >= int(made[-1]["metadata"]["resourceVersion"])
    assert mine(api, ns) == []
    status, gone = api("DELETE", maps(ns) + "?labelSelector=mine")
    assert status == 200 and gone["items"] == []


def test_dry_run_of_a_collection_deletes_nothing(api, ns):
    make(api, ns)
    for query, body in (("&dryRun=All", None), ("", {"dryRun": ["All"]})):
        status, gone = api("DELETE", maps(ns) + "?labelSelector=mine" + query, body)
        assert status == 200 and len(gone["items"]) == 4
        assert len(mine(api, ns)) == 4


def test_a_limit_deletes_the_first_and_says_where_to_go_on(api, ns):
    make(api, ns)
    status, gone = api("DELETE", maps(ns) + "?labelSelector=mine&limit=3")
    assert status == 200 and [o["metadata"]["name"] for o in gone["items"]] == ["c0", "c1", "c2"] and mine(api, ns) == ["c3"]
    status, gone = api("DELETE", maps(ns) + "?labelSelector=mine&limit=3&continue=" + gone["metadata"]["continue"])
    assert status == 200 and [o["metadata"]["name"] for o in gone["items"]] == ["c3"] and mine(api, ns) == []


def test_a_collection_as_it_was_at_a_version(api, ns):
    made = make(api, ns, 2)
    version = made[-1]["metadata"]["resourceVersion"]
    assert api("POST", maps(ns), {**cm(), "metadata": {"name": "later", "labels": {"mine": "yes"}}})[0] == 201
    query = f"?labelSelector=mine&resourceVersion={version}&resourceVersionMatch=Exact"
    status, gone = api("DELETE", maps(ns) + query)
    assert status == 200 and [o["metadata"]["name"] for o in gone["items"]] == ["c0", "c1"] and mine(api, ns) == ["later"], gone
    assert api("DELETE", maps(ns) + "?labelSelector=mine&resourceVersion=9999999999")[0] == 504
    assert api("DELETE", maps(ns) + "?resourceVersionMatch=Exact")[0] == 422
    assert mine(api, ns) == ["later"]


def test_propagation_and_preconditions_hold_for_each_of_a_collection(api, ns):
    make(api, ns)
    status, e = api("DELETE", maps(ns) + "?labelSelector=mine", {"preconditions": {"uid": "another"}})
    assert status == 409 and "Precondition failed: UID in precondition: another" in e["message"] and '"c0"' in e["message"], e
    assert len(mine(api, ns)) == 4
    assert api("DELETE", maps(ns) + "?labelSelector=mine", {"propagationPolicy": "Sideways"})[0] == 422
    make_owner = api("GET", maps(ns) + "/c0")[1]["metadata"]["uid"]
    owned = {**cm(), "metadata": {"name": "owned", "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "c0", "uid": make_owner, "blockOwnerDeletion": True}], "finalizers": ["e.org/stay"]}}
    assert api("POST", maps(ns), owned)[0] == 201
    assert api("DELETE", maps(ns) + "?labelSelector=mine", {"propagationPolicy": "Foreground"})[0] == 200
    c0 = api("GET", maps(ns) + "/c0")[1]
    assert c0["metadata"]["finalizers"] == ["foregroundDeletion"] and c0["metadata"]["deletionTimestamp"]
    patch = {"metadata": {"finalizers": None}}
    assert api("PATCH", maps(ns) + "/owned", patch, content="application/merge-patch+json")[0] == 200


def test_a_deleted_collection_in_other_forms(api, ns):
    make(api, ns, 2)
    table = Api(api.sock, {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"})
    status, gone = table("DELETE", maps(ns) + "?labelSelector=mine&dryRun=All")
    assert status == 200 and gone["kind"] == "Table" and [r["cells"][0] for r in gone["rows"]] == ["c0", "c1"]
    partial = Api(api.sock, {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"})
    status, gone = partial("DELETE", maps(ns) + "?labelSelector=mine")
    assert status == 200 and gone["kind"] == "PartialObjectMetadataList" and len(gone["items"]) == 2 and mine(api, ns) == []


# ---- paths that are no objects, bodies in other encodings ----

def test_the_root_lists_the_paths_that_there_are(api):
    status, answer = api("GET", "/")
    paths = answer["paths"]
    assert status == 200 and list(answer) == ["paths"] and paths == sorted(set(paths)) and api("GET", "/index.html")[1] == answer
    for path in ("/api/v1", "/apis/apps/v1", "/apis/autoscaling/v1", "/apis/metrics.k8s.io/v1beta1", "/livez/ping", "/readyz/etcd", "/metrics",
                 "/openapi/v3", "/version", "/.well-known/openid-configuration"):
        assert path in paths, path
    assert {p: s for p in paths if (s := api("GET", p)[0]) != 200} == {}
    status, e = Api(api.sock, {"Impersonate-User": "ann"})("GET", "/")
    assert status == 403 and e["message"] == 'forbidden: User "ann" cannot get path "/"'


@pytest.mark.parametrize("method,content", [
    ("POST", "application/json"), ("PUT", "application/json"), ("PATCH", "application/merge-patch+json"), ("PATCH", "application/json-patch+json"),
    ("PATCH", "application/strategic-merge-patch+json"), ("PATCH", "application/apply-patch+yaml"), ("DELETE", "application/json")])
def test_a_body_in_an_encoding_is_refused_as_that(api, ns, method, content):
    path = maps(ns) + ("" if method == "POST" else "/kube-root-ca.crt?fieldManager=me")
    ac.until(lambda: api("GET", maps(ns) + "/kube-root-ca.crt")[0] == 200, what="root certificates")
    body = gzip.compress(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}}).encode())
    status, e = api(method, path, body, content=content, Content_Encoding="gzip")
    assert status == 415 and e["reason"] == "UnsupportedMediaType" and "(gzip)" in e["message"], e
    status, e = api("POST", maps(ns), {"metadata": {"name": "plain"}}, Content_Encoding="identity")
    assert status == 201, e


@pytest.mark.parametrize("accept", [None, "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"])
def test_who_reads_with_his_eyes_gets_indented_json(api, ns, accept):
    """By ?pretty=, or as curl, Wget and browsers name themselves; everybody else's answers are compact."""
    big = {"metadata": {"name": "big"}, "data": {"k": 'a "quoted" \\ text {[,:]} ' * 2000, "empty": ""}}
    assert api("POST", maps(ns), big)[0] == 201
    for path, form in ((maps(ns), "List"), (maps(ns) + "/big", ""), (maps(ns) + "/none", "")):
        headers = {"Accept": accept.format(form)} if accept else {}
        compact = api.raw("GET", path, **headers)[2].decode()
        assert "\n" not in compact.rstrip("\n")
        for query, agent in (("?pretty=true", "x"), ("?pretty=1", "x"), ("", "curl/8.0"), ("", "Mozilla/5.0 (X11)")):
            pretty = api.raw("GET", path + query, User_Agent=agent, **headers)[2].decode()
            assert pretty == json.dumps(json.loads(pretty), indent=2, ensure_ascii=False)
            assert form or accept or json.loads(pretty) == json.loads(compact)  # lists and ages move on
        assert b"\n" not in api.raw("GET", path + "?pretty=false", User_Agent="curl/8.0", **headers)[2].rstrip(b"\n")
    status, _, made = api.raw("POST", maps(ns) + "?pretty=true", json.dumps({"metadata": {"name": "new"}}))
    assert status == 201 and b'\n  "metadata": {' in made


def test_kubectl_reconciles_roles(atoll, namespace, tmp_path):
    group, file = "rbac.authorization.k8s.io", tmp_path / "roles.json"
    objects = [
        {"kind": "Role", "metadata": {"name": "r", "namespace": namespace}, "rules": RULES},
        {"kind": "RoleBinding", "metadata": {"name": "r", "namespace": namespace}, "subjects": SUBJECTS["subjects"],
         "roleRef": {"kind": "Role", "apiGroup": group, "name": "r"}},
        {"kind": "ClusterRole", "metadata": {"name": namespace}, "rules": RULES},
        {"kind": "ClusterRoleBinding", "metadata": {"name": namespace}, "subjects": SUBJECTS["subjects"],
         "roleRef": {"kind": "ClusterRole", "apiGroup": group, "name": namespace}}]

    def reconcile(*more):
        items = [{"apiVersion": group + "/v1", **o} for o in objects]
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        told = atoll.kubectl("auth", "reconcile", "-f", str(file), *more)
        return told.stdout + told.stderr

    try:
        assert reconcile("--dry-run=client").count("reconciled") == 4
        assert atoll.get("role", "r", namespace) is None
        assert reconcile().count("reconciled") == 4
        assert reconcile().count("required") == 0
        for o in objects[:3:2]:
            o["rules"] = [{"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}]
        assert "missing rules added" in reconcile()
        assert sorted(r["verbs"][0] for r in atoll.get("role", "r", namespace)["rules"]) == ["get", "list"]
        assert "extra rules removed" in reconcile("--remove-extra-permissions")
        assert [r["verbs"] for r in atoll.get("clusterrole", namespace)["rules"]] == [["list"]]
    finally:
        atoll.kubectl("delete", "clusterrole,clusterrolebinding", namespace, "--ignore-not-found")
