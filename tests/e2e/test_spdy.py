"""exec, attach, cp and port-forward over SPDY/3.1, as kubectl before 1.31 speaks it (Debian 12 has 1.20), and newer ones when told to."""
import os
import re
import subprocess
import urllib.request

import pytest

from atoll_cluster import free_port, run, sh


@pytest.fixture(autouse=True)
def no_websockets(monkeypatch):
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")


@pytest.fixture
def pod(pods):
    name = pods.make([sh("mkdir /w; echo page > /w/p; head -c 3000000 /dev/zero > /w/big; exec httpd -f -p 8080 -h /w")])
    pods.running(name)
    return name


def test_exec_tells_the_exit_code_and_keeps_the_outputs_apart(pods, pod):
    r = pods.kubectl("exec", "-v=6", pod, "--", "true")
    assert re.search("POST https.*/exec", r.stderr), "this kubectl does not speak SPDY"
    for code in (0, 1, 7, 255):
        r = pods.kubectl("exec", pod, "--", "sh", "-c", f"echo o; echo e >&2; exit {code}", check=False)
        assert r.returncode == code and r.stdout == "o\n" and re.search("^e$", r.stderr, re.M), r.stderr
    r = pods.kubectl("exec", pod, "--", "no-such-program", check=False)
    assert r.returncode and "no-such-program" in r.stderr
    r = pods.kubectl("exec", pod, "-c", "none", "--", "true", check=False)
    assert r.returncode == 1 and "container none is not valid for pod" in r.stderr


def test_exec_passes_input_and_its_end(pods, pod):
    big = "0123456789abcdef" * 65536
    assert pods.kubectl("exec", "-i", pod, "--", "cat", text=big).stdout == big
    assert pods.kubectl("exec", "-i", pod, "--", "wc", "-c", text=big).stdout.strip() == str(len(big))
    assert pods.kubectl("exec", "-i", pod, "--", "sh", "-c", "exit 3", text=big, check=False).returncode == 3  # nobody reads it
    assert pods.kubectl("exec", "-i", pod, "--", "wc", "-c", text="").stdout.strip() == "0"


def test_exec_with_a_terminal_and_its_size(pods, pod):
    r = run("script", "-qec", f"stty rows 33 cols 77; kubectl --kubeconfig {pods.atoll.kubeconfig} -n {pods.namespace} exec -it {pod} -- sh -c 'tty; sleep 1; stty size; exit 5'",
            "/dev/null", check=False)
    assert "/dev/pts/" in r.stdout or "/dev/console" in r.stdout, r.stdout
    assert "33 77" in r.stdout and r.returncode == 5, (r.stdout, r.returncode)


def test_attach(pods):
    name = pods.make([sh("while read x; do echo got $x; done; sleep 1000", stdin=True, stdinOnce=True)])
    pods.running(name)
    p = pods.atoll.start_kubectl("-n", pods.namespace, "attach", "-i", name, stdin=subprocess.PIPE)
    try:
        for word in ("one", "two"):
            p.stdin.write(word + "\n")
            p.stdin.flush()
            assert p.stdout.readline() == f"got {word}\n"
    finally:
        p.kill()
        p.communicate()


def test_cp_both_ways(pods, pod, tmp_path):
    (tmp_path / "data").write_bytes(os.urandom(3_000_000))
    pods.kubectl("cp", str(tmp_path / "data"), f"{pod}:/tmp/data")
    pods.kubectl("cp", f"{pod}:/tmp/data", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "data").read_bytes()


def test_port_forward(pods, pod):
    port, closed = free_port(), free_port()
    p = pods.atoll.start_kubectl("-n", pods.namespace, "port-forward", pod, f"{port}:8080", f"{closed}:9")
    try:
        assert "Forwarding from" in p.stdout.readline()
        for _ in range(3):
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}/p", timeout=10).read() == b"page\n"
        assert len(urllib.request.urlopen(f"http://127.0.0.1:{port}/big", timeout=20).read()) == 3_000_000
    finally:
        p.kill()
        p.communicate()


def upgrade(pods, path, *headers, method="POST"):
    """The answer to a request to upgrade, over the unix socket."""
    args = ["curl", "-sS", "-i", "--http1.1", "--max-time", "2", "--unix-socket", pods.atoll.sock, "-X", method, "-H", "Connection: Upgrade", "-H", "Upgrade: SPDY/3.1"]
    for h in headers:
        args += ["-H", h]
    return run(*args, f"http://x/api/v1/namespaces/{pods.namespace}/pods/{path}", check=False).stdout


def test_the_protocol_is_chosen_from_what_the_client_offers(pods, pod):
    out = upgrade(pods, f"{pod}/exec?command=true&stdout=true", "X-Stream-Protocol-Version: v9.channel.k8s.io", "X-Stream-Protocol-Version: v8, v4.channel.k8s.io")
    assert out.startswith("HTTP/1.1 101 ") and re.search("^upgrade: SPDY/3.1\r?$", out, re.M | re.I), out
    assert re.search("^x-stream-protocol-version: v4.channel.k8s.io\r?$", out, re.M | re.I), out
    out = upgrade(pods, f"{pod}/portforward", "X-Stream-Protocol-Version: portforward.k8s.io")
    assert out.startswith("HTTP/1.1 101 ") and "portforward.k8s.io" in out
    for path in ("exec?command=true&stdout=true", "portforward"):
        out = upgrade(pods, f"{pod}/{path}", "X-Stream-Protocol-Version: v9.channel.k8s.io")
        assert out.startswith("HTTP/1.1 403 ") and "X-Stream-Protocol-Version" in out, out


def test_exec_needs_create_whatever_the_method(pods, pod):
    for method in ("POST", "GET"):
        for sub in ("exec?command=true&stdout=true", "attach?stdout=true", "portforward"):
            out = upgrade(pods, f"{pod}/{sub}", "X-Stream-Protocol-Version: v4.channel.k8s.io", "Impersonate-User: nobody", method=method)
            assert out.startswith("HTTP/1.1 403 ") and 'cannot create resource \\"pods/' in out, out
