"""One network namespace for the whole run, one Atoll that most tests share, and a factory for tests that need their own.

The test process itself moves into the namespace, so kubectl, curl and the official client need no wrapper, and nothing
here can meet another Atoll of this machine.
"""
import contextlib
import itertools
import os
import re
import shutil
import tempfile
import uuid

import pytest

import atoll_cluster as ac
import sp_service

numbers = itertools.count(1)


def pytest_collection_modifyitems(items):
    if os.geteuid():
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root: namespaces, cgroups and mounts"))
    elif items and not os.access(ac.ATOLL, os.X_OK):
        pytest.exit(f"{ac.ATOLL} is not there: build first, or set ATOLL_BUILD", 2)


@pytest.fixture(scope="session", autouse=True)
def network_namespace():
    if os.geteuid():
        yield None
        return
    with contextlib.ExitStack() as stack:
        ns = ac.NetworkNamespace(f"atoll-e2e-{os.getpid()}")
        stack.callback(ns.delete)
        ns.outside = ac.NetworkNamespace(ns.name + "-out")
        stack.callback(ns.outside.delete)
        before = ns.before = ns.enter()
        stack.callback(ac.set_namespace, before)
        cable(ns.outside.name)
        yield ns


def cable(other):
    """A machine has an address and a way out; on the other end of the cable is a second machine."""
    ac.run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", other)
    ac.run("ip", "addr", "add", "192.0.2.1/24", "dev", "cable")
    ac.run("ip", "link", "set", "cable", "up")
    ac.run("ip", "-n", other, "addr", "add", "192.0.2.2/24", "dev", "cable")
    ac.run("ip", "-n", other, "link", "set", "cable", "up")
    ac.run("ip", "route", "add", "default", "via", "192.0.2.2")


@pytest.fixture(scope="session")
def new_atoll(network_namespace):
    """Makes Atolls that nobody else uses; all are removed at the end of the run, also after failures."""
    made = []

    def make(root=None, start=True, image=True, **kw):
        # Not under pytest's own directory: its clean-up must never walk into mounts of a run that was killed.
        a = ac.Atoll(root or tempfile.mkdtemp(prefix="atoll-e2e-"), next(numbers), **kw)
        made.append(a)
        if start:
            a.up()
            a.ready()
            if image:
                a.image_from_dir()
        return a

    yield make
    problems = []
    for a in made:
        try:
            if os.path.isdir(a.root):
                a.end()
                shutil.rmtree(a.root)
        except (AssertionError, OSError) as e:
            problems.append(str(e))
    assert not problems, problems


@pytest.fixture(scope="session")
def atoll(new_atoll):
    """The Atoll that most tests share."""
    return new_atoll()


@pytest.fixture(scope="module")
def root(new_atoll):
    """The root of an Atoll for one file: tests that speak to the API without pods."""
    a = new_atoll(start=False)
    a.service_cidr = "10.97.0.0/16"
    a.up()
    ac.until(lambda: a.items("serviceaccounts"), what="default service account")
    return a.root


@pytest.fixture
def own_atoll(new_atoll):
    """An Atoll for one test; it is gone, with no leftovers, when the test ends."""
    made = []

    def make(**kw):
        made.append(new_atoll(**kw))
        return made[-1]

    yield make
    for a in made:
        if os.path.isdir(a.root):
            a.end()
            shutil.rmtree(a.root)


@pytest.fixture
def services():
    """Messaging services alone, each of its own topologies, for one test that may stop them."""
    made = []

    def make(*topologies):
        made.append(sp_service.Service(*topologies))
        return made[-1].start()

    yield make
    for s in made:
        s.end()


@pytest.fixture
def namespace(atoll, request):
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-") + "-" + uuid.uuid4().hex[:4]
    atoll.kubectl("create", "namespace", name)
    ac.until(lambda: atoll.items("serviceaccounts", namespace=name), what="default service account")
    yield name
    atoll.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def pods(atoll, namespace):
    return ac.Pods(atoll, namespace)
