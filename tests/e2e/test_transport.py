"""The api service's transport, driven by curl: HTTP/1.1 and HTTP/2, the unix socket and TLS, and clients that misbehave."""
import base64
import json
import os
import re
import socket
import subprocess
import time

import pytest

from atoll_cluster import BUILD

VERSIONS = ["--http1.1", "--http2"]


@pytest.fixture(scope="module")
def tls(root, tmp_path_factory):
    """Address of the TLS port, and files with the cluster's CA and the administrator's certificate and key."""
    text = open(os.path.join(root, "etc/atoll/admin.kubeconfig")).read()
    d = tmp_path_factory.mktemp("pki")
    files = {}
    for key, name in [("certificate-authority-data", "ca"), ("client-certificate-data", "cert"), ("client-key-data", "key")]:
        data = re.search(key + r':\s*"?([A-Za-z0-9+/=]+)', text).group(1)
        files[name] = str(d / name)
        with open(files[name], "wb") as f:
            f.write(base64.b64decode(data))
    files["url"] = re.search(r'server:\s*"?(https://[^\s"]+)', text).group(1)
    return files


def curl(*args, data=None):
    r = subprocess.run(["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code} %{http_version}", *args],
                       input=data, capture_output=True)
    body, _, last = r.stdout.decode().rpartition("\n")
    code, _, version = last.partition(" ")
    return int(code or 0), version, body, r.stderr.decode()


@pytest.mark.parametrize("http,version", [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")])
def test_unix_socket_speaks_both_versions(root, http, version):
    sock = os.path.join(root, "run/atoll/api.sock")
    assert curl(http, "--unix-socket", sock, "http://x/readyz")[:3] == (200, version, "ok")
    code, _, body, _ = curl(http, "--unix-socket", sock, "-I", "http://x/api/v1/namespaces")
    assert code == 200 and "content-length" in body.lower()


@pytest.mark.parametrize("http,version", [("--http1.1", "1.1"), ("--http2", "2")])
@pytest.mark.parametrize("limit", ["1.2", "1.3"])
def test_tls_with_the_administrators_certificate(tls, http, version, limit):
    code, used, body, err = curl(http, "--tls-max", limit, "--cacert", tls["ca"], "--cert", tls["cert"], "--key", tls["key"],
                                 tls["url"] + "/api/v1/namespaces/default")
    assert (code, used) == (200, version), err
    assert json.loads(body)["metadata"]["name"] == "default"


@pytest.mark.parametrize("http", VERSIONS)
def test_tls_without_certificate_is_nobody(tls, http):
    code, _, body, err = curl(http, "--cacert", tls["ca"], tls["url"] + "/api/v1/namespaces/default")
    assert code == 401, err
    assert json.loads(body)["reason"] == "Unauthorized"


def test_tls_with_a_certificate_of_another_authority_is_nobody(tls, tmp_path):
    key, cert = str(tmp_path / "key"), str(tmp_path / "cert")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
                    "-subj", "/O=system:masters/CN=kubernetes-admin", "-keyout", key, "-out", cert], check=True, capture_output=True)
    code, _, body, err = curl("--cacert", tls["ca"], "--cert", cert, "--key", key, tls["url"] + "/api/v1/namespaces/default")
    assert code == 401, err


def test_tls_1_1_is_refused(tls):
    code, _, _, err = curl("--tls-max", "1.1", "--cacert", tls["ca"], tls["url"] + "/readyz")
    assert code == 0 and "35" in err


@pytest.mark.parametrize("http", ["--http1.1", "--http2-prior-knowledge"])
def test_body_over_the_limit_is_refused(root, http):
    sock = os.path.join(root, "run/atoll/api.sock")
    code, _, body, err = curl(http, "--unix-socket", sock, "-X", "POST", "--data-binary", "@-",
                              "http://x/api/v1/namespaces/default/configmaps", data=b"x" * (3 * 1024 * 1024 + 1))
    assert code == 413, err
    assert '"reason":"RequestEntityTooLarge"' in body


def exchange(path, data, wait=2.0):
    """What the server answers to raw bytes until it closes or `wait` seconds pass."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(wait)
    s.connect(path)
    s.sendall(data)
    got = b""
    try:
        while piece := s.recv(65536):
            got += piece
        return got, True
    except TimeoutError:
        return got, False
    finally:
        s.close()


@pytest.mark.parametrize("head", [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"X: y\r\n folded\r\n",
    b"X: y\n",
])
def test_smuggling_shapes_get_one_400_and_the_end(root, head):
    hidden = b"0\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    got, closed = exchange(os.path.join(root, "run/atoll/api.sock"), b"POST /api HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n" + hidden)
    assert got.startswith(b"HTTP/1.1 400 ") and got.count(b"HTTP/1.1") == 2 and closed  # status line and the error's own text


def test_pipelined_requests_are_answered_in_order(root):
    got, closed = exchange(os.path.join(root, "run/atoll/api.sock"),
                           b"GET /version HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
                           b"GET /nothing-here HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200", b"200", b"404"] and closed
    assert got.index(b"gitVersion") < got.index(b"\r\n\r\nok")


def test_watchers_that_leave_cost_nothing(root):
    sock = os.path.join(root, "run/atoll/api.sock")
    status = subprocess.run([os.path.join(BUILD, "atoll"), "status", "--root", root, "-o", "json"], capture_output=True, check=True)
    [pid] = [x["pid"] for x in json.loads(status.stdout)["services"] if x["name"] == "api"]
    watch = b"GET /api/v1/pods?watch=true HTTP/1.1\r\nHost: x\r\n\r\n"
    before = len(os.listdir(f"/proc/{pid}/fd"))
    conns = []
    for _ in range(200):
        s = socket.socket(socket.AF_UNIX)
        s.connect(sock)
        s.sendall(watch)
        conns.append(s)
    assert curl("--unix-socket", sock, "http://x/readyz")[0] == 200
    assert len(os.listdir(f"/proc/{pid}/fd")) >= before + 190  # some that were idle may have ended meanwhile
    for s in conns:
        s.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and len(os.listdir(f"/proc/{pid}/fd")) > before + 10:
        time.sleep(0.05)
    assert len(os.listdir(f"/proc/{pid}/fd")) <= before + 10
