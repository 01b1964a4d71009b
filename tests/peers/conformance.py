#!/usr/bin/env python3
"""Runs Kubernetes' own conformance suite of 1.20 against a fresh Atoll: `make conformance [FOCUS=RE] [SKIP=RE]`.

The suite, kubectl 1.20 and stand-ins for the images it asks for are built once from Debian's source package `kubernetes`
into a cache outside the tree ($PEER_HOME, see k8s-1.20/README.md; a few minutes and 5 GB). The Atoll runs under a root and
in a network namespace of its own and is gone afterwards. The last line is `N passed, N failed, N skipped`; names of the
specs by outcome, times and logs are left in --out. docs/conformance.md explains every spec that does not pass.
"""
import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
KIT = HERE / "k8s-1.20"
sys.path.insert(0, str(TOP / "tests/e2e"))
import legacy_tokens  # noqa: E402
NEEDED = ["e2e.test", "ginkgo", "kubectl", "images", "images-more"]


def peer_home():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/root"), ".cache")
    return Path(os.environ.get("PEER_HOME") or os.path.join(cache, "peers/k8s-1.20"))


def call(*args, **kw):
    return subprocess.run([str(a) for a in args], **kw).returncode


def import_images(atoll, binary):
    """Every stand-in under every reference that the suite uses for it."""
    images = peer_home() / "images"
    for line in (images / "tags.txt").read_text().splitlines():
        name, reference = line.split()
        r = subprocess.run([binary, "image", "--root", atoll.root, "import", images / f"{name}.tar", "--name", reference],
                           capture_output=True, text=True)
        if r.returncode:
            sys.exit(f"image {reference}: {r.stderr.strip()}")


def cluster(stack, ac):
    """A fresh Atoll in a namespace with a way out, as a machine has one."""
    ns = ac.NetworkNamespace(f"atoll-conf-{os.getpid()}")
    stack.callback(ns.delete)
    before = ns.enter()
    stack.callback(ac.set_namespace, before)
    ac.run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "far")
    for link in ("uplink", "far"):
        ac.run("ip", "link", "set", link, "up")
    ac.run("ip", "addr", "add", "192.0.2.1/24", "dev", "uplink")
    ac.run("ip", "route", "add", "default", "via", "192.0.2.2")
    root = tempfile.mkdtemp(prefix="atoll-conformance-")
    stack.callback(shutil.rmtree, root, ignore_errors=True)
    os.chmod(root, 0o755)
    atoll = ac.Atoll(root, number=90)
    stack.callback(end, atoll)
    atoll.up()
    atoll.ready()
    legacy_tokens.start(atoll.sock)
    return atoll


def end(atoll):
    try:
        atoll.end()
    except AssertionError as e:
        print(f"left behind: {e}", file=sys.stderr)


def told_to_end(*_):
    """What was made is cleaned up, even if it is said twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("conformance: told to end")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--focus", default="", help="extended regular expression on the names of specs")
    parser.add_argument("--skip", default="", help="the same, of those to leave out")
    parser.add_argument("--specs", default="", help="a file of exact names")
    parser.add_argument("--nodes", default="4", help="specs in parallel (default %(default)s)")
    parser.add_argument("--timeout", default="7200", help="seconds for the whole run (default %(default)s)")
    parser.add_argument("--out", default=str(peer_home() / "conformance"), help="results and logs (default %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave Atoll running until Enter is pressed")
    args = parser.parse_args()
    import atoll_cluster as ac
    if os.geteuid():
        sys.exit("conformance needs root: namespaces, cgroups and mounts")
    print(f"== building the suite into {peer_home()} (what is there already stays)", flush=True)
    if call(KIT / "build.sh", *NEEDED):
        sys.exit(2)
    signal.signal(signal.SIGTERM, told_to_end)
    with contextlib.ExitStack() as stack:
        t = time.monotonic()
        atoll = cluster(stack, ac)
        import_images(atoll, ac.ATOLL)
        print(f"== a fresh Atoll with the suite's images in {time.monotonic() - t:.1f} s; root {atoll.root}", flush=True)
        options = [x for name in ("focus", "skip", "specs") if getattr(args, name) for x in (f"--{name}", getattr(args, name))]
        code = call(KIT / "conformance.sh", atoll.kubeconfig, *options, "--nodes", args.nodes, "--timeout", args.timeout,
                    "--out", args.out)
        if args.keep:
            input(f"kubeconfig: {atoll.kubeconfig}; Enter ends it ")
    sys.exit(code)


if __name__ == "__main__":
    main()
