"""Mechanics that clients rely on and no other file asks for: forms of answers, options that exclude each other, and what an update
with an old version gets."""
import json
import os
import uuid

import pytest
import yaml

import atoll_cluster as ac
from test_api import Api

YAML = {"Accept": "application/yaml"}
PARTIAL = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
DEFINITION = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "cogs.mechanics.example.org"}, "spec": {
    "group": "mechanics.example.org", "scope": "Namespaced", "names": {"plural": "cogs", "kind": "Cog"}, "versions": [{
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"teeth": {"type": "integer"}}}}}}}]}}


@pytest.fixture(scope="module")
def sock(root):
    return os.path.join(root, "run/atoll/api.sock")


@pytest.fixture(scope="module")
def ns(sock):
    api, name = Api(sock), "mechanics-" + uuid.uuid4().hex[:6]
    assert api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})[0] == 201
    ac.until(lambda: api("GET", maps(name, "kube-root-ca.crt"))[0] == 200, what="the ConfigMap that the controllers put into each namespace")
    yield name
    api("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def api(sock):
    return Api(sock)


def maps(ns, name=""):
    return f"/api/v1/namespaces/{ns}/configmaps" + (f"/{name}" if name else "")


def text(sock, path, headers, method="GET", body=None):
    status, got, answer = Api(sock, headers).raw(method, path, body)
    return status, got.get("Content-Type"), answer if isinstance(answer, str) else answer.decode()



def test_yaml_is_an_answer_too(sock, api, ns):
    odd = {"a": "true", "b": "1", "c": "one\ntwo\n", "d": "- x: #y", "e": "\u2028", "f": ""}
    for name in ("y1", "y2"):
        assert api("POST", maps(ns), {"metadata": {"name": name}, "data": odd})[0] == 201
    status, kind, one = text(sock, maps(ns, "y1"), YAML)
    assert status == 200 and kind == "application/yaml" and one.startswith("apiVersion: v1\nkind: ConfigMap\n"), one
    assert yaml.safe_load(one) == api("GET", maps(ns, "y1"))[1]
    for query in ("", "?limit=1", "?labelSelector=none%3Dsuch"):
        status, kind, many = text(sock, maps(ns) + query, YAML)
        got, want = yaml.safe_load(many), api("GET", maps(ns) + query)[1]
        assert status == 200 and got["items"] == want["items"] and got["kind"] == "ConfigMapList", many
    status, kind, missing = text(sock, maps(ns, "none"), YAML)
    assert status == 404 and yaml.safe_load(missing)["reason"] == "NotFound"
    assert text(sock, maps(ns) + "?watch=1&timeoutSeconds=1", YAML)[0] == 406
    status, kind, made = text(sock, maps(ns), {**YAML, "Content-Type": "application/json"}, "POST", json.dumps({"metadata": {"name": "y3"}}))
    assert status == 201 and "name: y3" in made


def test_metadata_alone_comes_as_a_list_for_lists_only(sock, ns):
    api = Api(sock, {"Accept": PARTIAL.format("")})
    status, e = api("GET", maps(ns))
    assert status == 406 and "the requested object is a list" in e["message"]
    assert api("GET", maps(ns, "kube-root-ca.crt"))[1]["kind"] == "PartialObjectMetadata"
    api = Api(sock, {"Accept": PARTIAL.format("List")})
    assert api("GET", maps(ns))[1]["kind"] == "PartialObjectMetadataList"
    assert api("GET", maps(ns, "kube-root-ca.crt"))[0] == 406


@pytest.mark.parametrize("query,field,message", [
    ("resourceVersionMatch=Exact", "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
    ("resourceVersionMatch=Exact&resourceVersion=0", "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
    ("resourceVersionMatch=Foo&resourceVersion=1", "resourceVersionMatch", 'Unsupported value: "Foo"'),
    ("resourceVersionMatch=Exact&resourceVersion=1&continue=x", "resourceVersionMatch", "forbidden when continue is provided"),
    ("sendInitialEvents=true", "sendInitialEvents", "sendInitialEvents is forbidden for list")])
def test_options_of_a_list_that_exclude_each_other(api, ns, query, field, message):
    status, e = api("GET", f"{maps(ns)}?{query}")
    assert status == 422 and message in e["message"] and e["details"]["causes"][0]["field"] == field, e


def test_options_of_a_deletion_that_exclude_each_other(api, ns):
    for body in ({"propagationPolicy": "Orphan", "orphanDependents": True}, {"propagationPolicy": "None"}):
        status, e = api("DELETE", maps(ns, "kube-root-ca.crt"), body)
        assert status == 422 and e["details"]["causes"][0]["field"] == "propagationPolicy", e
    assert api("GET", maps(ns, "kube-root-ca.crt"))[0] == 200


def test_a_collection_is_not_written(api, ns):
    for method in ("PUT", "PATCH"):
        assert api(method, maps(ns), {}, content="application/merge-patch+json" if method == "PATCH" else "application/json")[0] == 405
    assert api("PUT", "/api/v1/nodes", {})[0] == 405


def test_what_leaves_a_selection_is_shown_as_it_was(api, ns):
    o = api("POST", maps(ns), {"metadata": {"name": "leaves", "labels": {"in": "yes"}}, "data": {"k": "before"}})[1]
    after = api("PATCH", maps(ns, "leaves"), {"metadata": {"labels": {"in": "no"}}, "data": {"k": "after"}}, content="application/merge-patch+json")[1]
    revision = o["metadata"]["resourceVersion"]
    _, _, body = api.raw("GET", f"{maps(ns)}?watch=1&resourceVersion={revision}&labelSelector=in%3Dyes&timeoutSeconds=1")
    (event,) = [json.loads(line) for line in body.splitlines()]
    assert event["type"] == "DELETED" and event["object"]["data"] == {"k": "before"} and event["object"]["metadata"]["labels"] == {"in": "yes"}
    assert event["object"]["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


def test_findings_in_metadata_and_spec_of_a_custom_resource_come_together(api, ns):
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert api("POST", crds, DEFINITION)[0] == 201
    try:
        path = f"/apis/mechanics.example.org/v1/namespaces/{ns}/cogs"
        cog = {"apiVersion": "mechanics.example.org/v1", "kind": "Cog", "metadata": {"name": "c", "foo": 1}, "spec": {"bar": 1}}
        ac.until(lambda: api("GET", path)[0] == 200, what="cogs")
        status, e = api("POST", path + "?fieldValidation=Strict", cog)
        assert status == 400 and e["message"] == ('Cog in version "v1" cannot be handled as a Cog: strict decoding error: '
                                                  'unknown field "metadata.foo", unknown field "spec.bar"'), e
        status, e = api("POST", path, {**cog, "metadata": {"name": "c", "labels": {"a": 1}}})
        assert status == 400 and e["message"].startswith('Cog in version "v1" cannot be handled as a Cog: json: cannot unmarshal'), e
    finally:
        api("DELETE", f"{crds}/{DEFINITION['metadata']['name']}")


def test_a_status_written_with_an_old_version_is_a_conflict_and_without_one_is_not(api, ns):
    path = f"/api/v1/namespaces/{ns}/replicationcontrollers"
    rc = {"metadata": {"name": "s"}, "spec": {"replicas": 0, "selector": {"a": "b"}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
    old = api("POST", path, rc)[1]
    api("PATCH", path + "/s", {"metadata": {"labels": {"x": "y"}}}, content="application/merge-patch+json")
    status, e = api("PUT", path + "/s/status", old)
    assert status == 409 and e["reason"] == "Conflict" and "please apply your changes to the latest version" in e["message"]
    del old["metadata"]["resourceVersion"]
    assert api("PUT", path + "/s/status", old)[0] == 200


def test_a_token_request_that_is_too_short_names_the_field(api, ns):
    ac.until(lambda: api("GET", f"/api/v1/namespaces/{ns}/serviceaccounts/default")[0] == 200)
    status, e = api("POST", f"/api/v1/namespaces/{ns}/serviceaccounts/default/token", {"spec": {"expirationSeconds": 60}})
    (cause,) = e["details"]["causes"]
    assert status == 422 and cause["field"] == "spec.expirationSeconds" and cause["reason"] == "FieldValueInvalid"
    assert e["message"].startswith('TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: ')
