"""Who asks and what they may do: identities of every kind, RBAC with its escalation checks, the node authoriser, certificates, audit."""
import base64
import json
import os
import subprocess
import time
import uuid

import pytest

from atoll_cluster import run, until


def name_of(prefix="t"):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def k(atoll, namespace):
    return lambda *a, **kw: atoll.kubectl("-n", namespace, *a, **kw)


def apply(k, *objects, check=True, more=()):
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)} if len(objects) > 1 else objects[0])
    return k("apply", "-f", "-", *more, text=text, check=check)


RBAC = "rbac.authorization.k8s.io"


def role(name, *rules, kind="Role", **more):
    return {"apiVersion": RBAC + "/v1", "kind": kind, "metadata": {"name": name, **more}, "rules": list(rules)}


def rule(verbs, resources, group="", **more):
    return {"verbs": verbs.split(","), "apiGroups": [group], "resources": resources.split(","), **more}


def binding(name, ref, *subjects, kind="RoleBinding", ref_kind="Role"):
    return {"apiVersion": RBAC + "/v1", "kind": kind, "metadata": {"name": name}, "roleRef": {"apiGroup": RBAC, "kind": ref_kind, "name": ref},
            "subjects": [{"kind": "User", "name": s, "apiGroup": RBAC} for s in subjects]}


def editor_of_roles(k, user, *verbs):
    """A user who may write roles and bindings and read pods, and no more."""
    apply(k, role("roles", rule("get,list,create,update,patch", "roles,rolebindings", RBAC), rule("get,list", "pods"),
                  *([rule(",".join(verbs), "roles,clusterroles", RBAC)] if verbs else [])), binding("roles", "roles", user))


def test_nobody_grants_what_they_do_not_have(k):
    user = name_of("jane")
    editor_of_roles(k, user)
    me = ("--as", user)
    apply(k, role("less", rule("get", "pods")), more=me)
    r = apply(k, role("more", rule("get,create,delete", "pods"), rule("get", "secrets", resourceNames=["s"])), more=me, check=False)
    assert r.returncode and f'roles.{RBAC} "more" is forbidden: user "{user}" (groups=["system:authenticated"]) is attempting to grant RBAC ' \
        'permissions not currently held:\n' in r.stderr
    assert '\n{APIGroups:[""], Resources:["pods"], Verbs:["create" "delete"]}\n' \
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["s"], Verbs:["get"]}' in r.stderr
    r = k("patch", "role", "less", "--type=json", "-p", '[{"op":"add","path":"/rules/0/verbs/-","value":"delete"}]', *me, check=False)
    assert "not currently held" in r.stderr
    k("label", "role", "less", "a=b", *me)


def test_binding_needs_the_rights_or_the_verb(k, namespace):
    user = name_of("jane")
    editor_of_roles(k, user)
    me = ("--as", user)
    apply(k, role("pods", rule("*", "pods")))
    assert "not currently held" in apply(k, binding("b", "pods", "x"), more=me, check=False).stderr
    assert f'roles.{RBAC} "none" not found' in apply(k, binding("b", "none", "x"), more=me, check=False).stderr
    assert "not currently held" in apply(k, binding("b", "view", "x", ref_kind="ClusterRole"), more=me, check=False).stderr
    editor_of_roles(k, user, "bind")
    apply(k, binding("b", "pods", "x"), binding("c", "view", "x", ref_kind="ClusterRole"), more=me)
    assert "not currently held" in apply(k, role("more", rule("get", "nodes")), more=me, check=False).stderr
    editor_of_roles(k, user, "escalate")
    apply(k, role("more", rule("get", "nodes")), more=me)
    r = k("patch", "rolebinding", "b", "-p", '{"roleRef":{"name":"more"}}', check=False)
    assert "cannot change roleRef" in r.stderr


def test_roles_that_collect_others(atoll, k, namespace):
    name = name_of("part")
    user = name_of("jane")
    apply(k, binding("v", "view", user, ref_kind="ClusterRole"))
    assert k("auth", "can-i", "get", "crontabs", "--as", user, check=False).stdout.strip() == "no"
    apply(k, role(name, rule("get", "crontabs"), kind="ClusterRole", labels={f"{RBAC}/aggregate-to-view": "true"}))
    until(lambda: k("auth", "can-i", "get", "crontabs", "--as", user, check=False).stdout.strip() == "yes", what="view has it")
    for n in ("view", "edit", "admin"):
        assert "crontabs" in json.dumps(atoll.get("clusterrole", n)["rules"]), n
    k("delete", "clusterrole", name)
    until(lambda: "crontabs" not in json.dumps(atoll.get("clusterrole", "admin")["rules"]), what="admin lost it")
    verbs = {(v, r) for x in atoll.get("clusterrole", "admin")["rules"] for v in x["verbs"] for r in x.get("resources", [])}
    assert {("create", "deployments"), ("get", "pods"), ("create", "rolebindings"), ("get", "secrets")} <= verbs
    r = apply(k, {**role("x" + name, kind="ClusterRole"), "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}},
              more=("--as", user), check=False)
    assert r.returncode


def test_a_node_reads_only_what_its_pods_use(atoll, k, pods, namespace):
    k("create", "secret", "generic", "used", "--from-literal=a=b")
    k("create", "secret", "generic", "other", "--from-literal=a=b")
    pods.make([{"command": ["sleep", "100000"], "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "used", "key": "a"}}}]}], name="p")
    pods.running("p")
    me = ("--as", f"system:node:{atoll.node}", "--as-group", "system:nodes")
    assert k("get", "secret", "used", *me, check=False).returncode == 0
    r = k("get", "secret", "other", *me, check=False)
    assert f'cannot get resource "secrets" in API group "" in the namespace "{namespace}"' in r.stderr
    assert k("get", "secrets", *me, check=False).returncode
    assert k("get", "pod", "p", *me).returncode == 0
    assert k("get", "pod", "p", "--as", "system:node:else", "--as-group", "system:nodes", check=False).returncode
    assert k("get", "secret", "used", "--as", "system:node:else", "--as-group", "system:nodes", check=False).returncode
    k("delete", "pod", "p", "--wait=true")
    until(lambda: k("get", "secret", "used", *me, check=False).returncode, what="the secret is out of reach again")
