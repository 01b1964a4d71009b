"""WebSocket as others than kubectl speak it: exec with channel.k8s.io, logs with binary.k8s.io; the kubelet's list of pods."""
import json
import subprocess

from atoll_cluster import sh, until


def websocket(pods, path, protocol):
    """What the server sends after its head, frames and all."""
    headers = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
               f"Sec-WebSocket-Protocol: {protocol}"]
    r = subprocess.run(["curl", "-sSi", "--http1.1", "--max-time", "3", "--unix-socket", pods.atoll.sock, *[x for h in headers for x in ("-H", h)],
                        f"http://x/api/v1/namespaces/{pods.namespace}/pods/{path}"], capture_output=True)
    head, _, body = r.stdout.partition(b"\r\n\r\n")
    assert b" 101 " in head.split(b"\r\n")[0] and protocol.encode() in head, r.stdout
    return body


def test_exec_over_the_first_channel_protocol(pods):
    name = pods.make([sh("exec sleep 1000")])
    pods.running(name)
    body = websocket(pods, f"{name}/exec?command=echo&command=hello&stdout=1&stderr=1", "channel.k8s.io")
    assert b"\x82\x07\x01hello\n" in body
    assert b"Success" not in body  # silence: this protocol has no status object
    body = websocket(pods, f"{name}/exec?command=false&stdout=1&stderr=1", "channel.k8s.io")
    assert b"\x03command terminated with non-zero exit code: exit status 1" in body


def test_logs_as_messages(pods):
    name = pods.make([sh("echo one; printf two; exec sleep 1000")])
    pods.running(name)
    until(lambda: "one" in pods.kubectl("logs", name).stdout, what="the first line of the log")
    assert b"one\n" in websocket(pods, f"{name}/log", "binary.k8s.io")


def test_the_node_lists_its_pods(pods):
    name = pods.make([sh("exec sleep 1000")])
    pods.running(name)
    out = pods.kubectl("get", "--raw", f"/api/v1/nodes/{pods.atoll.node}/proxy/pods").stdout
    mine = [p for p in json.loads(out)["items"] if (p["metadata"]["namespace"], p["metadata"]["name"]) == (pods.namespace, name)]
    assert mine and mine[0]["status"]["phase"] == "Running" and mine[0]["kind"] == "Pod"
