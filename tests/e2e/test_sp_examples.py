"""The programs of examples/sp, as a user would run them, against a service that runs alone."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from atoll_cluster import ATOLL, until

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "sp"


class Alone:
    """`atoll sp --config DIR`, in the foreground of a process of its own."""

    def __init__(self, config, root):
        self.root, self.started = root, []
        self.log = open(f"{root}/log", "wb+")
        self.process = subprocess.Popen([ATOLL, "sp", "--config", str(config), "--root", root], stdout=subprocess.PIPE, stderr=self.log)
        assert b"socket files" in self.process.stdout.readline(), self.said()

    def said(self):
        self.log.seek(0)
        return self.log.read().decode()

    def dir(self, name):
        return f"{self.root}/run/atoll/sp/{name}"

    def start(self, *args, **kw):
        p = subprocess.Popen([str(a) for a in args], stdout=subprocess.PIPE, text=True, **kw)
        self.started.append(p)
        return p

    def run(self, *args, text=None):
        return subprocess.run([str(a) for a in args], input=text, capture_output=True, text=True, timeout=20, check=True).stdout

    def fact(self, topology, line, key):
        """A key=value of a line of the file status."""
        for words in (text.split() for text in open(f"{self.dir(topology)}/status")):
            if words[:2] == line.split():
                return dict(w.split("=", 1) for w in words[2:] if "=" in w)[key]
        return None

    def wait_clients(self, topology, role, n):
        until(lambda: self.fact(topology, f"role {role}", "clients") == str(n), 15, what=f"{n} {role} of {topology}")

    def end(self):
        for p in self.started:
            p.kill()
            p.wait()
            p.stdout.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
        self.process.stdout.close()
        self.log.close()
        assert self.process.returncode == 0


@pytest.fixture(scope="module")
def alone():
    root = tempfile.mkdtemp(prefix="atoll-sp-")
    a = Alone(EXAMPLES, root)
    yield a
    a.end()
    shutil.rmtree(root)


def lines(process, n):
    return [process.stdout.readline().rstrip("\n") for _ in range(n)]


def test_python_subscribes_and_publishes(alone):
    sub = alone.start(EXAMPLES / "subscribe.py", alone.dir("quotes"), "NASDAQ", "XETRA")
    alone.wait_clients("quotes", "sub", 1)
    until(lambda: "subscriptions 2" in open(f"{alone.dir('quotes')}/stats").read(), 10, what="two subscriptions")
    alone.run(EXAMPLES / "publish.py", alone.dir("quotes"), text="NASDAQ/A 1\nLSE/B 2\nXETRA/C 3\n")
    assert lines(sub, 2) == ["NASDAQ/A 1", "XETRA/C 3"]
    sub.kill()
    alone.wait_clients("quotes", "sub", 0)


def test_shell_subscribes_by_a_file_and_publishes(alone):
    sub = alone.start(EXAMPLES / "subscribe.sh", alone.dir("quotes"), "NASDAQ")
    alone.wait_clients("quotes", "sub", 1)
    alone.run(EXAMPLES / "publish.sh", alone.dir("quotes"), "LSE/B 2\n")
    alone.run(EXAMPLES / "publish.sh", alone.dir("quotes"), "NASDAQ/A 1\n")
    assert lines(sub, 1) == ["NASDAQ/A 1"]
    sub.kill()
    alone.wait_clients("quotes", "sub", 0)


def test_c_subscribes(alone, tmp_path):
    program = tmp_path / "subscribe"
    alone.run("cc", "-Wall", "-Werror", "-o", program, EXAMPLES / "subscribe.c")
    sub = alone.start(program, alone.dir("quotes"), "NASDAQ")
    assert lines(sub, 1) == ["+NASDAQ"]
    alone.run(EXAMPLES / "publish.py", alone.dir("quotes"), text="LSE/B 2\nNASDAQ/A 1\n")
    assert lines(sub, 1) == ["NASDAQ/A 1"]
    sub.kill()
    alone.wait_clients("quotes", "sub", 0)


def test_node_subscribes_over_the_stream_door(alone):
    sub = alone.start("node", EXAMPLES / "subscribe.js", alone.dir("quotes"), "NASDAQ")
    alone.wait_clients("quotes", "sub", 1)
    alone.run(EXAMPLES / "publish.py", alone.dir("quotes"), text="LSE/B 2\nNASDAQ/A 1\n")
    assert lines(sub, 1) == ["NASDAQ/A 1"]
    sub.kill()
    alone.wait_clients("quotes", "sub", 0)


def test_requests_are_answered(alone):
    for _ in range(2):
        alone.start(EXAMPLES / "answer.py", alone.dir("double"))
    alone.wait_clients("double", "rep", 2)
    assert alone.run(EXAMPLES / "ask.py", alone.dir("double"), "21", "4") == "21 → 42\n4 → 8\n"
    assert alone.run(ATOLL, "sp", "send", "double", "8", "--root", alone.root) == "16\n"


def test_the_verbs_work_without_an_api(alone):
    assert [line.split()[0] for line in alone.run(ATOLL, "sp", "ls", "--root", alone.root).splitlines()[1:]] == ["double", "jobs", "quotes"]
    tail = alone.start(ATOLL, "sp", "tail", "jobs", "--count", "3", "--root", alone.root)
    alone.wait_clients("jobs", "pull", 1)
    alone.run(ATOLL, "sp", "send", "jobs", "--root", alone.root, text="one\ntwo\nthree\n")
    assert lines(tail, 3) == ["one", "two", "three"] and tail.wait(10) == 0
    assert "100.00 %" in alone.run(ATOLL, "sp", "bench", "jobs", "--messages", "1000", "--receivers", "2", "--root", alone.root)
    assert "round trip" in alone.run(ATOLL, "sp", "bench", "double", "--messages", "50", "--root", alone.root)


def test_filters_are_added_and_removed_without_an_api():
    root = pathlib.Path(tempfile.mkdtemp(prefix="atoll-sp-"))
    root.chmod(0o755)
    config = root / "config"
    config.mkdir()
    (config / "quotes.yaml").write_text("# mine\napiVersion: sp.atoll.dev/v1\nkind: Topology\nmetadata: {name: quotes}\nspec: {pattern: pubsub}\n")
    alone = Alone(config, str(root))
    files = pathlib.Path(alone.dir("quotes"))

    def run(*args):
        r = subprocess.run([ATOLL, "sp", "filter", *args, "--config", str(config), "--root", str(root)], capture_output=True, text=True, timeout=20)
        return r.returncode, r.stdout + r.stderr

    try:
        status, said = run("quotes", "NASDAQ/A")
        assert status == 0 and str(files / "sub@NASDAQ%2FA") in said and (files / "sub@NASDAQ%2FA").is_socket(), said
        assert run("quotes", "NASDAQ/A")[0] == 0, "it is there already"
        assert run("quotes", "LSE", "--name", "london")[0] == 0 and (files / "sub@london").is_socket()
        status, said = run("quotes", "NASDAQ/A", "--remove")
        assert status == 0 and "sub@london" in said and not (files / "sub@NASDAQ%2FA").exists()
        assert "there is no sub@NASDAQ%2FA" in run("quotes", "NASDAQ/A", "--remove")[1]
        assert 'no topology "missing"' in run("missing", "x")[1]
        assert "# mine" in (config / "quotes.yaml").read_text()
        (config / "quotes.filters").write_text("{")
        until(lambda: "quotes.filters" in alone.said(), 10, what="the complaint")
        assert (files / "sub@london").is_socket(), "what is wrong changes nothing"
    finally:
        alone.end()
        shutil.rmtree(root)


def test_files_that_are_wrong_are_named(tmp_path):
    (tmp_path / "a.yaml").write_text("apiVersion: sp.atoll.dev/v1\nkind: Topology\nmetadata: {name: x}\nspec: {pattern: pubsup}\n")
    r = subprocess.run([ATOLL, "sp", "--config", str(tmp_path), "--root", str(tmp_path)], capture_output=True, text=True, timeout=20)
    assert r.returncode and "spec.pattern" in r.stderr and "a.yaml" in r.stderr
    r = subprocess.run([ATOLL, "sp", "--config", str(tmp_path / "missing")], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "missing" in r.stderr and os.path.isdir(tmp_path)
