"""Images: archives, directories, a registry; broken, foreign and absent ones with their reasons."""
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from atoll_cluster import ATOLL, IMAGE, make_rootfs, run, sh, until

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    """An OCI layout, made by hand so that each part of it can be made wrong."""

    def __init__(self, tmp, arch=ARCH, extra=None, config=None):
        root = tmp / "rootfs"
        if not root.exists():
            root.mkdir()
            make_rootfs(str(root))
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            tar.add(root, arcname=".")
            for name, data in (extra or {}).items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        self.layer = gzip.compress(raw.getvalue(), 1)
        self.config = json.dumps({"architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(raw.getvalue())]},
                                  "config": {"Cmd": ["/bin/sleep", "1000"], "Env": ["PATH=/bin", "FROM=layout"], "WorkingDir": "/tmp",
                                             **(config or {})}}).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(self.config), "digest": digest(self.config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": len(self.layer), "digest": digest(self.layer)}]}).encode()

    def write(self, path, name="localhost/layout:1", change=None):
        index = {"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": len(self.manifest), "digest": digest(self.manifest),
            "annotations": {"org.opencontainers.image.ref.name": name}}]}
        files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode(),
                 **{"blobs/sha256/" + digest(b)[7:]: b for b in (self.layer, self.config, self.manifest)}}
        if change:
            change(self, files)
        with tarfile.open(path, "w") as tar:
            for n, data in files.items():
                info = tarfile.TarInfo(n)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return path


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


def image(a, *args, **kw):
    return run(ATOLL, "image", *args, "--root", a.root, **kw)


def names(a):
    return image(a, "ls").stdout


def runs(pods, ref, out="layout", **more):
    name = pods.make([{"image": ref, "imagePullPolicy": "Never", **sh("echo $FROM; pwd; exec sleep 1000"), **more}])
    pods.running(name)
    until(lambda: pods.kubectl("logs", name).stdout.split() == [out, "/tmp"])
    return pods.get(name)


def test_oci_layout_archive_is_imported_and_runs(atoll, pods, work):
    path = Layout(work).write(work / "layout.tar")
    out = image(atoll, "import", path).stdout
    assert "localhost/layout:1" in out and "sha256:" in out
    p = runs(pods, "localhost/layout:1")
    assert p["status"]["containerStatuses"][0]["imageID"].find("sha256:") >= 0
    until(lambda: any("localhost/layout:1" in n for i in atoll.items("nodes")[0]["status"].get("images", []) for n in i["names"]), 30,
          what="image in the node's status")


def test_import_gives_another_name(atoll, pods, work):
    image(atoll, "import", Layout(work).write(work / "named.tar"), "--name", "example.org/team/app:v2")
    runs(pods, "example.org/team/app:v2")
    image(atoll, "rm", "example.org/team/app:v2")
    assert "example.org/team/app" not in names(atoll)


def test_docker_archive_by_skopeo_is_imported(atoll, pods, work):
    (work / "lay").mkdir(exist_ok=True)
    Layout(work).write(work / "sk.tar")
    run("tar", "-xf", work / "sk.tar", "-C", work / "lay")
    run("skopeo", "--insecure-policy", "copy", f"oci:{work}/lay:localhost/layout:1", f"docker-archive:{work}/docker.tar:docker.io/library/from-docker:1")
    image(atoll, "import", work / "docker.tar")
    runs(pods, "from-docker:1")


def test_from_dir_with_a_config(atoll, pods):
    atoll.image_from_dir("localhost/configured:1", None, "--config", json.dumps({"Env": ["FROM=config"], "WorkingDir": "/tmp",
                                                                                 "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo $FROM $(id -u); sleep 1000"], "User": "app"}))
    name = pods.make([{"image": "localhost/configured:1"}])
    pods.running(name)
    until(lambda: pods.kubectl("logs", name).stdout == "config 1000\n")


def broken_layer(layout, files):
    key = "blobs/sha256/" + digest(layout.layer)[7:]
    files[key] = files[key][:-100] + b"\0" * 100


def no_layer(layout, files):
    del files["blobs/sha256/" + digest(layout.layer)[7:]]


def no_json(layout, files):
    files["index.json"] = b"{"


def no_layout(layout, files):
    del files["oci-layout"]
    del files["index.json"]


@pytest.mark.parametrize("change,words", [(broken_layer, ("digest",)), (no_layer, ("blob",)), (no_json, ("index.json",)), (no_layout, ("layout",))],
                         ids=lambda x: getattr(x, "__name__", ""))
def test_corrupt_archive_is_refused_with_its_reason(atoll, work, change, words):
    path = Layout(work).write(work / "bad.tar", "localhost/bad:1", change)
    r = image(atoll, "import", path, check=False)
    assert r.returncode == 1 and len(r.stderr.strip().splitlines()) == 1
    assert all(w in r.stderr for w in words), r.stderr
    assert "localhost/bad" not in names(atoll)


def test_file_that_is_no_archive_and_absent_file(atoll, work):
    (work / "noise").write_bytes(os.urandom(100000))
    for path in (work / "noise", work / "absent", "/dev/null"):
        r = image(atoll, "import", path, check=False)
        assert r.returncode == 1 and len(r.stderr.strip().splitlines()) == 1, r.stderr


def test_image_of_another_architecture_is_refused(atoll, work):
    other = "arm64" if ARCH != "arm64" else "amd64"
    r = image(atoll, "import", Layout(work, arch=other).write(work / "arch.tar", "localhost/arch:1"), check=False)
    assert r.returncode == 1 and other in r.stderr and ARCH in r.stderr, r.stderr
    assert "localhost/arch" not in names(atoll)


def test_layers_cannot_write_outside(atoll, work, pods):
    """Names with .. and absolute names stay inside the image or are refused."""
    path = Layout(work, extra={"../../../../../../tmp/atoll-e2e-escape": b"x", "/atoll-e2e-escape": b"x"}).write(work / "evil.tar", "localhost/evil:1")
    image(atoll, "import", path, check=False)
    assert not os.path.exists("/tmp/atoll-e2e-escape") and not os.path.exists("/atoll-e2e-escape")


# ---- registry ----

class Registry:
    def __init__(self, work):
        self.address = "127.0.0.1:5000"
        config = work / "registry.yml"
        config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {work}/registry}}, delete: {{enabled: true}}}}\n"
                          f"http: {{addr: '{self.address}'}}\nlog: {{level: error}}\n")
        self.log = open(work / "registry.log", "w")
        self.process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=self.log, stderr=self.log)
        until(lambda: run("curl", "-sSf", f"http://{self.address}/v2/", check=False).returncode == 0, what="registry")

    def push(self, work, layout, name):
        layout.write(work / "push.tar", "x")
        d = work / ("push-" + name.replace("/", "-").replace(":", "-"))
        d.mkdir()
        run("tar", "-xf", work / "push.tar", "-C", d)
        run("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", f"oci:{d}:x", f"docker://{self.address}/{name}")
        return digest(layout.manifest)


@pytest.fixture(scope="module")
def registry(work, network_namespace):
    r = Registry(work)
    yield r
    r.process.terminate()
    r.process.wait()


def test_pull_from_a_registry_by_tag_and_by_digest(atoll, pods, work, registry):
    d = registry.push(work, Layout(work), "app:1")
    name = pods.make([{"image": f"{registry.address}/app:1", **sh("echo $FROM; sleep 1000")}])
    p = pods.running(name)
    assert p["status"]["containerStatuses"][0]["imageID"].endswith(f"@{d}")
    reasons = [e["reason"] for e in pods.events(name)]
    assert "Pulling" in reasons and "Pulled" in reasons
    name = pods.make([{"image": f"{registry.address}/app@{d}", **sh("echo $FROM; sleep 1000")}])
    pods.running(name)
    until(lambda: pods.kubectl("logs", name).stdout == "layout\n")


def test_pull_by_command(atoll, work, registry):
    registry.push(work, Layout(work), "command:1")
    assert f"{registry.address}/command:1" in image(atoll, "pull", f"{registry.address}/command:1").stdout
    assert f"{registry.address}/command:1" in names(atoll)


def test_pull_of_a_wrong_digest_fails_with_the_reason(atoll, pods, work, registry):
    registry.push(work, Layout(work), "wrong:1")
    name = pods.make([{"image": f"{registry.address}/wrong@sha256:{'0' * 64}"}])
    message = until(lambda: [e["message"] for e in pods.events(name) if e["reason"] == "Failed" and "pull" in e["message"].lower()])[0]
    assert "not found" in message.lower() or "unknown" in message.lower(), message
    assert "ImagePullBackOff" in json.dumps(pods.waiting(name, "ImagePullBackOff"))


def test_registry_that_lies_is_caught(atoll, pods, work, registry):
    """The blob in the registry's storage is changed after the push: what arrives has another digest than the manifest says."""
    layout = Layout(work, config={"Labels": {"lie": "1"}}, extra={"lie": b"1"})
    registry.push(work, layout, "liar:1")
    blob = work / "registry/docker/registry/v2/blobs/sha256" / digest(layout.layer)[7:9] / digest(layout.layer)[7:] / "data"
    data = blob.read_bytes()
    blob.write_bytes(data[:-8] + bytes(8))
    r = image(atoll, "pull", f"{registry.address}/liar:1", check=False)
    assert r.returncode == 1 and "digest" in r.stderr, r.stderr
    assert "liar" not in names(atoll)
    blob.write_bytes(data)
    image(atoll, "pull", f"{registry.address}/liar:1")


def test_pull_of_another_architecture_fails_with_the_reason(atoll, pods, work, registry):
    other = "arm64" if ARCH != "arm64" else "amd64"
    registry.push(work, Layout(work, arch=other), "foreign:1")
    name = pods.make([{"image": f"{registry.address}/foreign:1"}])
    w = pods.waiting(name, "ImagePullBackOff")
    messages = w.get("message", "") + " ".join(e["message"] for e in pods.events(name))
    assert other in messages, messages


def test_first_err_image_pull_then_back_off_then_success_when_it_appears(atoll, pods, work, registry):
    name = pods.make([{"image": f"{registry.address}/late:1", **sh("sleep 1000")}])
    pods.waiting(name, "ImagePullBackOff")
    events = pods.events(name)
    assert any(e["reason"] == "Failed" and e["message"] == "Error: ErrImagePull" for e in events), [e["message"] for e in events]
    assert any(e["reason"] == "BackOff" and "Back-off pulling image" in e["message"] for e in events) or \
        until(lambda: [e for e in pods.events(name) if e["reason"] == "BackOff"])
    registry.push(work, Layout(work), "late:1")
    pods.running(name, 60)


def test_never_pull_and_always_pull(atoll, pods, work, registry):
    name = pods.make([{"image": f"{registry.address}/app:none", "imagePullPolicy": "Never"}])
    w = pods.waiting(name, "ErrImageNeverPull")
    assert "is not present with pull policy of Never" in w["message"]
    registry.push(work, Layout(work, config={"Env": ["FROM=first"]}), "moving:1")
    name = pods.make([{"image": f"{registry.address}/moving:1", "imagePullPolicy": "Always", **sh("echo $FROM; sleep 1000")}])
    pods.running(name)
    assert pods.kubectl("logs", name).stdout == "first\n"


def test_new_tag_content_is_pulled_by_always_only(atoll, pods, work, registry):
    for text in ("one", "two"):
        d = work / f"push-tag-{text}"
        layout = Layout(work, config={"Env": [f"FROM={text}", "PATH=/bin"]})
        layout.write(work / "tag.tar", "x")
        d.mkdir()
        run("tar", "-xf", work / "tag.tar", "-C", d)
        run("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", f"oci:{d}:x", f"docker://{registry.address}/tag:1")
        policy = "IfNotPresent" if text == "one" else "Always"
        name = pods.make([{"image": f"{registry.address}/tag:1", "imagePullPolicy": policy, **sh("echo $FROM; sleep 1000")}])
        pods.running(name)
        until(lambda: pods.kubectl("logs", name).stdout == f"{text}\n")
    assert IMAGE in names(atoll)


def children(pid):
    return [p for t in os.listdir(f"/proc/{pid}/task") for p in open(f"/proc/{pid}/task/{t}/children").read().split()]


def test_pull_goes_on_after_the_death_of_the_image_service(atoll, pods, work, registry):
    registry.push(work, Layout(work, extra={"big": os.urandom(40_000_000)}), "big:1")
    name = pods.make([{"image": f"{registry.address}/big:1", **sh("wc -c < /big; sleep 1000")}])
    until(lambda: [e for e in pods.events(name) if e["reason"] == "Pulling"], every=0.02)
    workers = children(atoll.pid("image"))
    atoll.kill("image")
    until(lambda: not [p for p in workers if os.path.exists(f"/proc/{p}")], 10, what="no worker of the dead one is left to finish a layer")
    pods.running(name, 60)
    until(lambda: pods.kubectl("logs", name).stdout == "40000000\n")


def test_image_that_does_not_fit_on_the_disk_is_told_and_leaves_nothing(work, new_atoll):
    root = tempfile.mkdtemp(prefix="atoll-small-")
    run("mount", "-t", "tmpfs", "-o", "size=40m,mode=755", "none", root)
    try:
        a = new_atoll(root=root, start=False)
        a.up()
        before = shutil.disk_usage(root).used
        r = image(a, "import", Layout(work, extra={"big": os.urandom(60_000_000)}).write(work / "huge.tar", "localhost/huge:1"), check=False)
        assert r.returncode == 1 and "space" in r.stderr.lower() and len(r.stderr.strip().splitlines()) == 1, r.stderr
        until(lambda: shutil.disk_usage(root).used < before + (4 << 20), 10, what="the space is free again")
        image(a, "import", Layout(work).write(work / "fits.tar", "localhost/fits:1"))
        assert "localhost/huge" not in names(a) and "localhost/fits:1" in names(a)
        a.down("--purge")
    finally:
        run(ATOLL, "down", "--purge", "--root", root, check=False)
        until(lambda: run("umount", root, check=False).returncode == 0, 10, what="umount")
        os.rmdir(root)
