"""Secrets at rest: sealed by default, readable over restarts, sealed anew by `atoll secrets rotate`."""
import base64
import contextlib
import glob
import json
import os
import subprocess
import threading

from atoll_cluster import ATOLL, run, until

MARKER = "a-very-secret-word-in-the-clear"


def stored_bytes(atoll):
    """All that the store's files hold; one that a checkpoint removes meanwhile holds nothing."""
    found = b""
    for name in glob.glob(f"{atoll.root}/var/lib/atoll/store/*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError), open(name, "rb") as f:
            found += f.read()
    return found


def keys(atoll):
    return sorted(os.path.basename(f) for f in glob.glob(f"{atoll.root}/var/lib/atoll/keys/seal-*.key"))


def read(atoll, name):
    return base64.b64decode(atoll.get("secret", name)["data"]["word"]).decode()


def test_no_secret_stands_in_the_clear_on_disk(new_atoll):
    atoll = new_atoll().ready()
    atoll.kubectl("create", "secret", "generic", "s", f"--from-literal=word={MARKER}")
    atoll.kubectl("create", "configmap", "c", f"--from-literal=word=visible-{MARKER}")
    disk = stored_bytes(atoll)
    assert b"visible-" in disk, "the check looks at the right files"
    for form in (MARKER.encode(), base64.b64encode(MARKER.encode())):
        assert disk.count(form) == disk.count(b"visible-" + form)
    atoll.kill("api")
    atoll.kill("store")
    until(lambda: atoll.kubectl("get", "secret", "s", check=False).returncode == 0, what="api is back")
    assert read(atoll, "s") == MARKER


def test_rotation_seals_everything_anew_while_clients_write(new_atoll):
    atoll = new_atoll().ready()
    for i in range(20):
        atoll.kubectl("create", "secret", "generic", f"s{i}", f"--from-literal=word={i}")
    before = keys(atoll)
    stop, failures, made = threading.Event(), [], []

    def write():
        while not stop.is_set():
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "w-"}, "stringData": {"word": "w"}}
            r = run("curl", "-sS", "--unix-socket", atoll.sock, "-H", "Content-Type: application/json", "-d", json.dumps(body),
                    "http://atoll/api/v1/namespaces/default/secrets", check=False)
            try:
                made.append(json.loads(r.stdout)["metadata"]["name"])
            except (ValueError, KeyError):
                failures.append(r.stdout + r.stderr)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        out = run(ATOLL, "secrets", "rotate", "--root", atoll.root).stdout
    finally:
        stop.set()
        writer.join()
    assert "sealed with key 2; 1 older key is destroyed" in out
    assert not failures and made
    assert before == ["seal-00000001.key"] and keys(atoll) == ["seal-00000002.key"]
    # Nothing needs the old key any more: all services start anew without it.
    atoll.down()
    atoll.up()
    until(lambda: atoll.kubectl("get", "secret", "s0", check=False).returncode == 0, what="api is back")
    assert [read(atoll, f"s{i}") for i in range(20)] == [str(i) for i in range(20)]
    assert {s["metadata"]["name"] for s in atoll.items("secret")} >= set(made)


def test_rows_from_before_sealing_and_a_missing_key(new_atoll):
    atoll = new_atoll().ready()
    atoll.kubectl("create", "secret", "generic", "s", "--from-literal=word=w")
    atoll.down()
    key = f"{atoll.root}/var/lib/atoll/keys/{keys(atoll)[0]}"
    os.rename(key, key + ".away")
    r = run(ATOLL, "up", "--root", atoll.root, "--listen", f"127.0.0.1:{atoll.port}", "--node-name", atoll.node, "--pod-cidr",
            atoll.pod_cidr, "--service-cidr", atoll.service_cidr, "--daemon", check=False)
    text = r.stdout + r.stderr + "".join(open(f, errors="replace").read() for f in glob.glob(f"{atoll.root}/var/log/atoll/*.log"))
    assert r.returncode != 0 and "is not what was sealed" in text
    atoll.down()
    os.rename(key + ".away", key)
    atoll.up()
    until(lambda: atoll.kubectl("get", "secret", "s", check=False).returncode == 0, what="api is back")
    assert read(atoll, "s") == "w"


def test_rotate_says_what_is_wrong(new_atoll, tmp_path):
    r = subprocess.run([ATOLL, "secrets", "rotate", "--root", str(tmp_path)], capture_output=True, text=True)
    assert r.returncode == 1 and "atoll secrets:" in r.stderr
    r = subprocess.run([ATOLL, "secrets", "--root", str(tmp_path)], capture_output=True, text=True)
    assert r.returncode == 2 and "want: atoll secrets rotate" in r.stderr
