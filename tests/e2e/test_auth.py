"""Who asks and what they may do: identities of every kind, RBAC with its escalation checks, the node authoriser, certificates, audit."""
import base64
import http.server
import json
import os
import ssl
import subprocess
import threading
import time
import uuid

import pytest

from atoll_cluster import run, until


def name_of(prefix="t"):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def k(atoll, namespace):
    def run_it(*a, **kw):
        return atoll.kubectl("-n", namespace, *a, **kw)
    run_it.sock = atoll.sock
    return run_it


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


# ---- tokens ----

def whoami(atoll, token=None, cert=None, **extra):
    """What the API says about a credential, over TLS; None when it is not recognised."""
    args = ["curl", "-s", "--cacert", os.path.join(atoll.root, "etc/atoll/ca.crt"), "-H", "content-type: application/json", "-w", "\n%{http_code}",
            "-d", '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}',
            f"https://127.0.0.1:{atoll.port}/apis/authentication.k8s.io/v1/selfsubjectreviews"]
    if token:
        args += ["-H", "@-"]
    if cert:
        args += ["--cert", cert[0], "--key", cert[1]]
    body, code = run(*args, text=f"authorization: Bearer {token}" if token else None).stdout.rsplit("\n", 1)
    if code == "401":
        return None
    assert code == "201", body
    return json.loads(body)["status"]["userInfo"]


def test_bootstrap_tokens(atoll):
    secret = {"kind": "Secret", "type": "bootstrap.kubernetes.io/token", "metadata": {"name": "bootstrap-token-abc123"}, "stringData": {
        "token-id": "abc123", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:workers"}}
    atoll.apply(secret, namespace="kube-system")
    who = whoami(atoll, "abc123.0123456789abcdef")
    assert who["username"] == "system:bootstrap:abc123"
    assert who["groups"] == ["system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"]
    assert whoami(atoll, "abc123.0123456789abcdeg") is None
    assert whoami(atoll, "abc124.0123456789abcdef") is None
    for change in ({"expiration": "2020-01-01T00:00:00Z"}, {"expiration": "soon"}, {"usage-bootstrap-authentication": "false", "expiration": "2999-01-01T00:00:00Z"},
                   {"auth-extra-groups": "system:masters", "usage-bootstrap-authentication": "true"}):
        atoll.kubectl("patch", "secret", "bootstrap-token-abc123", "-n", "kube-system", "-p", json.dumps({"stringData": change}))
        assert whoami(atoll, "abc123.0123456789abcdef") is None, change
    atoll.kubectl("delete", "secret", "bootstrap-token-abc123", "-n", "kube-system")


def test_bound_tokens_name_and_die_with_their_object(atoll, k, pods, namespace):
    pods.make([{"command": ["sleep", "100000"]}], name="p")
    pod = pods.running("p")
    req = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": [], "expirationSeconds": 600, "boundObjectRef": {
        "kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]}}}
    out = json.loads(k("create", "--raw", f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token", "-f", "-", text=json.dumps(req)).stdout)
    who = whoami(atoll, out["status"]["token"])
    assert who["username"] == f"system:serviceaccount:{namespace}:default"
    assert who["groups"] == ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    e = "authentication.kubernetes.io/"
    assert who["extra"][e + "pod-name"] == ["p"] and who["extra"][e + "node-name"] == [atoll.node]
    assert who["extra"][e + "pod-uid"] == [pod["metadata"]["uid"]] and who["extra"][e + "credential-id"][0].startswith("JTI=")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": out["status"]["token"]}}
    status = json.loads(k("create", "--raw", "/apis/authentication.k8s.io/v1/tokenreviews", "-f", "-", text=json.dumps(review)).stdout)["status"]
    assert status["authenticated"] and status["user"]["username"] == who["username"] and status["audiences"]
    review["spec"]["audiences"] = ["other"]
    status = json.loads(k("create", "--raw", "/apis/authentication.k8s.io/v1/tokenreviews", "-f", "-", text=json.dumps(review)).stdout)["status"]
    assert not status.get("authenticated") and "audiences" in status["error"]
    k("delete", "pod", "p", "--grace-period=0", "--force")
    until(lambda: whoami(atoll, out["status"]["token"]) is None, what="the token died with its pod")


def test_tokens_that_live_in_a_secret(atoll, k, namespace):
    k("create", "serviceaccount", "robot")
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
              "metadata": {"name": "robot-token", "annotations": {"kubernetes.io/service-account.name": "robot"}}}
    apply(k, secret)
    data = until(lambda: (atoll.get("secret", "robot-token", namespace).get("data") or {}).get("token") and
                 atoll.get("secret", "robot-token", namespace)["data"], what="the token")
    assert base64.b64decode(data["namespace"]).decode() == namespace and b"BEGIN CERTIFICATE" in base64.b64decode(data["ca.crt"])
    token = base64.b64decode(data["token"]).decode()
    assert whoami(atoll, token)["username"] == f"system:serviceaccount:{namespace}:robot"
    k("delete", "serviceaccount", "robot")
    until(lambda: atoll.get("secret", "robot-token", namespace) is None, what="the secret is gone")
    assert whoami(atoll, token) is None


def test_impersonation_needs_a_permission_for_each_part(k, namespace):
    user = name_of("jane")
    apply(k, role(user, rule("impersonate", "users", resourceNames=["joe"]), rule("impersonate", "userextras/scopes", "authentication.k8s.io",
                  resourceNames=["dev"]), rule("impersonate", "uids", "authentication.k8s.io", resourceNames=["u1"]), kind="ClusterRole"),
          binding(user, user, user, kind="ClusterRoleBinding", ref_kind="ClusterRole"))

    def as_joe(*headers):
        r = subprocess.run(["curl", "-s", "--unix-socket", k.sock, "-H", "content-type: application/json", "-d",
                            '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}', *[x for h in headers for x in ("-H", h)],
                            "http://x/apis/authentication.k8s.io/v1/selfsubjectreviews"], capture_output=True, text=True, timeout=20)
        return json.loads(r.stdout)

    me = as_joe("Impersonate-User: joe", "Impersonate-Uid: u1", "Impersonate-Extra-Scopes: dev", "Impersonate-Extra-acme.com%2Fx: 1",
                "Impersonate-Group: g")["status"]["userInfo"]
    assert me == {"username": "joe", "uid": "u1", "groups": ["g", "system:authenticated"], "extra": {"scopes": ["dev"], "acme.com/x": ["1"]}}
    assert as_joe("Impersonate-User: system:anonymous")["message"].startswith("selfsubjectreviews.authentication.k8s.io is forbidden")
    for verb, resource, name, yes in (("impersonate", "users", "joe", True), ("impersonate", "users", "jim", False),
                                      ("impersonate", "userextras.authentication.k8s.io/scopes", "dev", True)):
        r = k("create", "--raw", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "-f", "-", text=json.dumps({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": user, "resourceAttributes": {
                "verb": verb, "resource": resource.split(".")[0].split("/")[0], "subresource": resource.split("/")[1] if "/" in resource else "",
                "group": "authentication.k8s.io" if "." in resource else "", "name": name}}}))
        assert json.loads(r.stdout)["status"]["allowed"] is yes
    k("delete", "clusterrole,clusterrolebinding", user)


# ---- certificates ----

def csr(tmp_path, name, subject):
    key, req = tmp_path / f"{name}.key", tmp_path / f"{name}.csr"
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", req, "-subj", subject)
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name}, "spec": {
        "request": base64.b64encode(req.read_bytes()).decode(), "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"],
        "expirationSeconds": 3600}}


def test_a_certificate_by_request(atoll, k, tmp_path, namespace):
    name = name_of("jane")
    apply(k, csr(tmp_path, name, f"/CN={name}/O=dev"))
    assert "Pending" in k("get", "csr", name).stdout
    assert atoll.get("csr", name)["spec"]["username"] == "kubernetes-admin"
    k("certificate", "approve", name)
    cert = until(lambda: atoll.get("csr", name)["status"].get("certificate"), what="the certificate")
    assert "Approved,Issued" in k("get", "csr", name).stdout
    (tmp_path / "crt").write_bytes(base64.b64decode(cert))
    who = whoami(atoll, cert=(tmp_path / "crt", tmp_path / f"{name}.key"))
    assert who["username"] == name and who["groups"] == ["dev", "system:authenticated"]
    r = run("openssl", "x509", "-in", tmp_path / "crt", "-noout", "-ext", "extendedKeyUsage,basicConstraints", "-checkend", "3700", check=False)
    assert "TLS Web Client Authentication" in r.stdout and "CA:FALSE" in r.stdout and "will expire" in r.stdout


def test_requests_that_are_refused(atoll, k, tmp_path):
    user = name_of("joe")
    r = apply(k, csr(tmp_path, name_of("m"), "/CN=x/O=system:masters"), check=False)
    assert "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed" in r.stderr
    bad = csr(tmp_path, name_of("b"), "/CN=x")
    bad["spec"]["request"] = base64.b64encode(b"nonsense").decode()
    assert "spec.request" in apply(k, bad, check=False).stderr
    apply(k, role(user, rule("get,list,update,patch", "certificatesigningrequests,certificatesigningrequests/approval", "certificates.k8s.io"), kind="ClusterRole"),
          binding(user, user, user, kind="ClusterRoleBinding", ref_kind="ClusterRole"))
    good = csr(tmp_path, name_of("g"), "/CN=x")
    apply(k, good)
    r = k("certificate", "approve", good["metadata"]["name"], "--as", user, check=False)
    assert 'user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"' in r.stderr
    k("certificate", "deny", good["metadata"]["name"])
    assert "Denied" in k("get", "csr", good["metadata"]["name"]).stdout
    node = csr(tmp_path, name_of("n"), "/O=system:nodes/CN=system:node:n9")
    node["spec"].update(signerName="kubernetes.io/kube-apiserver-client-kubelet", usages=["client auth", "digital signature"])
    apply(k, node)
    cert = until(lambda: atoll.get("csr", node["metadata"]["name"])["status"].get("certificate"), what="approved by itself: the administrator may")
    assert cert
    k("delete", "clusterrole,clusterrolebinding", user)


# ---- audit ----

def audit(atoll, **want):
    out = []
    with open(os.path.join(atoll.root, "var/log/atoll/audit.log")) as f:
        for line in f:
            e = json.loads(line)
            if all(e.get(a) == b or e.get("objectRef", {}).get(a) == b for a, b in want.items()):
                out.append(e)
    return out


def test_audit_log_by_default(atoll, k, namespace):
    k("create", "secret", "generic", "hidden", "--from-literal=a=verysecret")
    k("get", "secret", "hidden")
    k("get", "pods")
    k("get", "pods", "--as", "nobody", check=False)
    until(lambda: audit(atoll, namespace=namespace, resource="pods"), what="the refusal")
    events = audit(atoll, namespace=namespace, resource="secrets", name="hidden")
    assert [e["verb"] for e in events] == ["get"]
    [made] = audit(atoll, namespace=namespace, resource="secrets", verb="create")
    assert made["level"] == "Metadata" and made["stage"] == "ResponseComplete" and made["responseStatus"]["code"] == 201
    assert made["user"]["username"] == "kubernetes-admin" and made["annotations"]["authorization.k8s.io/decision"] == "allow"
    [refused] = audit(atoll, namespace=namespace, resource="pods", verb="list")
    assert refused["responseStatus"]["code"] == 403 and refused["impersonatedUser"]["username"] == "nobody"
    assert refused["annotations"]["authorization.k8s.io/decision"] == "forbid"
    with open(os.path.join(atoll.root, "var/log/atoll/audit.log")) as f:
        assert "verysecret" not in (text := f.read()) and base64.b64encode(b"verysecret").decode() not in text
    assert oct(os.stat(os.path.join(atoll.root, "var/log/atoll/audit.log")).st_mode & 0o777) == "0o600"
    r = run("curl", "-si", "--unix-socket", atoll.sock, "http://x/api")
    assert "audit-id:" in r.stdout.lower()


# ---- providers outside ----

class Provider(http.server.BaseHTTPRequestHandler):
    """An OpenID Connect provider and a token webhook in one."""

    def log_message(self, *args):
        pass

    def answer(self, what):
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        s = self.server
        s.asked.append(self.path)
        if self.path == "/.well-known/openid-configuration":
            self.answer({"issuer": s.url, "jwks_uri": s.url + "/keys"})
        else:
            self.answer({"keys": [jwk(kid, key) for kid, key in s.keys.items()]})

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], review["spec"]["token"]))
        known = review["spec"]["token"] == "opaque"
        self.answer({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": {
            "authenticated": known, **({"user": {"username": "hooked", "groups": ["g"], "extra": {"a": ["b"]}}} if known else {"error": "who is that"})}})


def b64url(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def jwk(kid, key):
    n = run("openssl", "rsa", "-in", key, "-noout", "-modulus").stdout.split("=")[1].strip()
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "e": "AQAB", "n": b64url(bytes.fromhex(n))}


@pytest.fixture(scope="module")
def provider(network_namespace, tmp_path_factory):
    d = tmp_path_factory.mktemp("provider")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", d / "tls.key", "-out", d / "tls.crt",
        "-subj", "/CN=192.0.2.1", "-addext", "subjectAltName=IP:192.0.2.1", "-days", "2")
    server = http.server.ThreadingHTTPServer(("192.0.2.1", 0), Provider)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(d / "tls.crt", d / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url, server.ca, server.dir, server.keys, server.asked = f"https://192.0.2.1:{server.server_port}", d / "tls.crt", d, {}, []

    def new_key(kid):
        server.keys[kid] = d / f"{kid}.pem"
        run("openssl", "genrsa", "-out", server.keys[kid], "2048")

    def token(kid="k1", alg="RS256", key=None, **claims):
        c = {"iss": server.url, "aud": "atoll", "exp": int(time.time()) + 600, "iat": int(time.time()), "sub": "1", "email": "jane@example.com",
             "email_verified": True, "groups": ["dev", "ops"], "hd": "example.com", **claims}
        text = f"{b64url({'alg': alg, 'kid': kid})}.{b64url({k: v for k, v in c.items() if v is not None})}"
        return text + "." + b64url(subprocess.run(["openssl", "dgst", "-sha256", "-sign", key or server.keys[kid]], input=text.encode(),
                                                  capture_output=True, check=True).stdout)
    server.new_key, server.token = new_key, token
    new_key("k1")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def guarded(new_atoll, provider):
    """An Atoll that trusts the provider and has an audit policy of its own."""
    a = new_atoll(start=False)
    hook, policy = provider.dir / "hook.kubeconfig", provider.dir / "policy.yaml"
    hook.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "h", "user": "u"}}],
                                "clusters": [{"name": "h", "cluster": {"server": provider.url + "/review", "certificate-authority": str(provider.ca)}}],
                                "users": [{"name": "u", "user": {"token": "knock"}}]}))
    policy.write_text("""apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: RequestResponse, resources: [{group: "", resources: [configmaps]}], namespaces: [default]}
- {level: RequestResponse, resources: [{group: authentication.k8s.io, resources: [tokenreviews]}]}
- {level: RequestResponse, resources: [{group: "", resources: [secrets]}], namespaces: [kube-public]}
- {level: None}
""")
    a.up("--oidc-issuer-url", provider.url, "--oidc-client-id", "atoll", "--oidc-ca-file", str(provider.ca), "--oidc-username-claim", "email",
         "--oidc-groups-claim", "groups", "--oidc-groups-prefix", "oidc:", "--oidc-required-claim", "hd=example.com",
         "--authentication-token-webhook-config-file", str(hook), "--audit-policy-file", str(policy))
    until(lambda: a.items("serviceaccounts"), what="default service account")
    return a


def test_oidc_tokens(guarded, provider):
    who = whoami(guarded, provider.token())
    assert who == {"username": "jane@example.com", "groups": ["oidc:dev", "oidc:ops", "system:authenticated"]}
    asked = len(provider.asked)
    assert whoami(guarded, provider.token(groups="one"))["groups"] == ["oidc:one", "system:authenticated"]
    assert len(provider.asked) == asked, "the keys are kept"
    now = int(time.time())
    other = provider.dir / "other.pem"
    run("openssl", "genrsa", "-out", other, "2048")
    for bad in ({"aud": "else"}, {"exp": now - 1}, {"nbf": now + 4000}, {"email": None}, {"email_verified": False}, {"hd": "evil.example"}, {"iss": provider.url + "/"},
                {"key": other}, {"alg": "none"}, {"alg": "HS256"}, {"alg": "RS512"}, {"exp": None}):
        assert whoami(guarded, provider.token(**bad)) is None, bad


def test_a_new_key_of_the_provider(guarded, provider):
    assert whoami(guarded, provider.token())
    provider.new_key("k2")
    until(lambda: whoami(guarded, provider.token(kid="k2")), seconds=30, every=1, what="the new key is known")


def test_a_token_webhook(guarded, provider):
    who = whoami(guarded, "opaque")
    assert who == {"username": "hooked", "groups": ["g", "system:authenticated"], "extra": {"a": ["b"]}}
    asked = [a for a in provider.asked if a[0] == "/review"]
    assert ("/review", "Bearer knock", "opaque") in asked
    assert whoami(guarded, "opaque")
    assert whoami(guarded, "unknown") is None
    assert len([a for a in provider.asked if a[0] == "/review"]) == len(asked) + 1, "a verdict is kept"


def test_audit_by_policy(guarded):
    guarded.kubectl("create", "configmap", "cm", "--from-literal=a=b")
    guarded.kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "opaque"}}
    guarded.kubectl("create", "--raw", "/apis/authentication.k8s.io/v1/tokenreviews", "-f", "-", text=json.dumps(review))
    [e] = until(lambda: audit(guarded, resource="configmaps", verb="create", namespace="default", level="RequestResponse")[-1:], what="the event")
    assert e["requestObject"]["data"] == {"a": "b"} and e["responseObject"]["metadata"]["uid"]
    [t] = until(lambda: audit(guarded, resource="tokenreviews"), what="the review")
    assert t["requestObject"]["spec"]["token"] == "redacted" and "opaque" not in json.dumps(t)
    assert not audit(guarded, resource="secrets", namespace="default")
    metrics = run("curl", "-s", "--unix-socket", guarded.sock, "http://x/metrics").stdout
    assert "atoll_audit_dropped_total 0" in metrics


def test_audit_writes_no_secret(guarded):
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "quiet", "namespace": "kube-public"}, "stringData": {"k": "hush-hush"}}
    guarded.kubectl("apply", "-f", "-", text=json.dumps(manifest))
    guarded.kubectl("patch", "secret", "quiet", "-n", "kube-public", "--type=merge", "-p", '{"stringData":{"k":"hush-hush","l":"hush-hush"}}')
    guarded.kubectl("get", "secrets", "-n", "kube-public", "-o", "yaml")
    for verb in "create", "patch", "list":
        [e] = until(lambda verb=verb: audit(guarded, resource="secrets", namespace="kube-public", verb=verb)[-1:], what=verb)
        assert e["responseObject"]
        text = json.dumps(e)
        assert "redacted" in text and "hush-hush" not in text and base64.b64encode(b"hush-hush").decode() not in text
    assert e["responseObject"]["items"][0]["data"] == {"k": "redacted", "l": "redacted"}


def test_a_bad_policy_stops_the_start(new_atoll, provider):
    a = new_atoll(start=False)
    bad = provider.dir / "bad.yaml"
    bad.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Loud}]\n")
    with pytest.raises(AssertionError, match=r"rules\[0\].level"):
        a.up("--audit-policy-file", str(bad))


def test_issuer_discovery_for_pods(atoll, k, namespace):
    token = k("create", "--raw", f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token", "-f", "-",
              text='{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}').stdout
    token = json.loads(token)["status"]["token"]

    def get(path):
        return json.loads(run("curl", "-s", "--cacert", os.path.join(atoll.root, "etc/atoll/ca.crt"), "-H", "@-", f"https://127.0.0.1:{atoll.port}{path}",
                              text=f"authorization: Bearer {token}").stdout)

    doc = get("/.well-known/openid-configuration")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert doc["issuer"] == claims["iss"] and doc["jwks_uri"].startswith(doc["issuer"])
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["kid"] in [x["kid"] for x in get("/openid/v1/jwks")["keys"]]


def test_audit_of_long_answers(atoll, pods, namespace):
    pods.make([{"command": ["sh", "-c", "echo hello; sleep 100000"]}], name="p")
    pods.running("p")
    assert "x" in pods.kubectl("exec", "p", "--", "echo", "x").stdout

    def stages():
        return [e["stage"] for e in audit(atoll, namespace=namespace, subresource="exec")]

    until(lambda: stages() == ["ResponseStarted", "ResponseComplete"], what="both ends of the exec")
    r = run("curl", "-si", "--unix-socket", atoll.sock, "http://x/api/v1/namespaces", "http://x/livez")
    first, second = r.stdout.lower().split("http/1.1 200", 2)[1:]
    assert "audit-id:" in first and "audit-id:" not in second, "ids do not stay on a connection"
