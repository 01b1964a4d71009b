"""Priority and fairness: the default objects, schemas without a level, refusals, queues, and the headers that tell."""
import http.client
import json
import os
import signal
import threading
import time

import pytest

from atoll_cluster import until
from evil import CONFIG_MAPS, Neighbour, connect

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("x", timeout=30)
        self.path = path

    def connect(self):
        self.sock = connect(self.path, 30)


@pytest.fixture(scope="module")
def a(new_atoll):
    return new_atoll(image=False)


def ask(a, method, path, body=None, token=None):
    """(status, headers, body) as the administrator or as a service account."""
    c = Connection(a.sock)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    c.request(method, path, json.dumps(body) if body else None, headers)
    r = c.getresponse()
    return r.status, r.headers, json.loads(r.read())


def names(a, plural):
    return [o["metadata"]["name"] for o in ask(a, "GET", f"{GROUP}/{plural}")[2]["items"]]


@pytest.fixture(scope="module")
def tokens(a):
    made = {}
    for name in ("busy", "calm"):
        a.kubectl("create", "serviceaccount", name)
        a.kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", f"--serviceaccount=default:{name}")
        made[name] = a.kubectl("create", "token", name).stdout.strip()
    return made


def level(name, queue=None, shares=1):
    response = {"type": "Queue", "queuing": queue} if queue else {"type": "Reject"}
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": shares, "borrowingLimitPercent": 0, "limitResponse": response}}}


def schema(name, level, *users, precedence=50):
    return {"metadata": {"name": name}, "spec": {
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "default", "name": u}} for u in users],
                   "resourceRules": [{"verbs": ["create", "get"], "apiGroups": [""], "resources": ["configmaps"], "namespaces": ["*"]}]}]}}


def test_the_default_objects(a):
    until(lambda: len(names(a, "flowschemas")) >= 13, what="flow schemas")
    assert set(names(a, "prioritylevelconfigurations")) >= {"exempt", "catch-all", "system", "node-high", "leader-election",
                                                            "workload-high", "workload-low", "global-default"}
    rows = a.kubectl("get", "flowschemas").stdout.splitlines()
    assert rows[0].split() == ["NAME", "PRIORITYLEVEL", "MATCHINGPRECEDENCE", "DISTINGUISHERMETHOD", "AGE", "MISSINGPL"]
    until(lambda: all(r.split()[-1] == "False" for r in a.kubectl("get", "flowschemas", "--no-headers").stdout.splitlines()), what="no schema dangles")


def test_mandatory_objects_come_back(a):
    assert ask(a, "DELETE", f"{GROUP}/flowschemas/catch-all")[0] == 200
    until(lambda: "catch-all" in names(a, "flowschemas"), what="catch-all again")
    a.kubectl("patch", "flowschema", "exempt", "--type=merge", "-p", '{"spec":{"matchingPrecedence":7}}', check=False)
    until(lambda: ask(a, "GET", f"{GROUP}/flowschemas/exempt")[2]["spec"]["matchingPrecedence"] == 1, what="its precedence again")


def test_a_schema_without_a_level_dangles_until_there_is_one(a):
    def dangling():
        o = ask(a, "GET", f"{GROUP}/flowschemas/lonely")[2]
        return [(c["status"], c["reason"]) for c in o.get("status", {}).get("conditions", []) if c["type"] == "Dangling"]

    assert ask(a, "POST", f"{GROUP}/flowschemas", schema("lonely", "missing", "nobody"))[0] == 201
    until(lambda: dangling() == [("True", "NotFound")], what="Dangling")
    assert ask(a, "POST", f"{GROUP}/prioritylevelconfigurations", level("missing"))[0] == 201
    until(lambda: dangling() == [("False", "Found")], what="not Dangling")


@pytest.mark.parametrize("bad,field", [
    (level("x", {"queues": 4, "handSize": 8, "queueLengthLimit": 5}), "handSize"),
    ({"metadata": {"name": "y"}, "spec": {"type": "Exempt"}}, "spec.type"),
    ({"metadata": {"name": "z"}, "spec": {"type": "Limited"}}, "spec.limited"),
])
def test_levels_are_checked(a, bad, field):
    status, _, body = ask(a, "POST", f"{GROUP}/prioritylevelconfigurations", bad)
    assert status == 422 and field in body["message"], body


def test_answers_name_schema_and_level(a, tokens):
    for token, want in ((None, "exempt"), (tokens["busy"], "service-accounts")):
        _, headers, _ = ask(a, "GET", CONFIG_MAPS, token=token)
        uid = ask(a, "GET", f"{GROUP}/flowschemas/{want}")[2]["metadata"]["uid"]
        assert headers["X-Kubernetes-Pf-Flowschema-Uid"] == uid
        assert headers["X-Kubernetes-Pf-Prioritylevel-Uid"]


def creates_while_the_store_stands(a, token, n, refused, neighbour):
    """Sends n creates at once while no write can end, until so many are refused; returns the statuses then and of all.

    Reading from memory needs no seat: a neighbour of the same level is answered meanwhile."""
    results, store = [], a.pid("store")
    prefix = f"f{time.monotonic_ns()}"

    def create(i):
        status, headers, _ = ask(a, "POST", CONFIG_MAPS, {"metadata": {"name": f"{prefix}-{i}"}}, token)
        results.append((status, headers.get("Retry-After")))

    os.kill(store, signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=create, args=(i,)) for i in range(n)]
        for t in threads:
            t.start()
        until(lambda: len(results) >= refused, what=f"{refused} answers")
        time.sleep(0.5)  # there may be no more
        assert ask(a, "GET", CONFIG_MAPS + "/kube-root-ca.crt", token=neighbour)[0] == 200
        meanwhile = list(results)
    finally:
        os.kill(store, signal.SIGCONT)
    for t in threads:
        t.join()
    return meanwhile, results


def seats(a, name):
    text = a.kubectl("get", "--raw", "/metrics").stdout
    line = next(x for x in text.splitlines() if x.startswith(f'apiserver_flowcontrol_nominal_limit_seats{{priority_level="{name}"}}'))
    return int(line.split()[-1])


def test_who_finds_no_seat_is_refused(a, tokens):
    assert ask(a, "POST", f"{GROUP}/prioritylevelconfigurations", level("strict"))[0] == 201
    assert ask(a, "POST", f"{GROUP}/flowschemas", schema("strict", "strict", "busy", "calm"))[0] == 201
    until(lambda: "strict" in a.kubectl("get", "--raw", "/metrics").stdout, what="the level")
    n = seats(a, "strict")
    meanwhile, results = creates_while_the_store_stands(a, tokens["busy"], n + 4, 4, tokens["calm"])
    assert sorted(s for s, _ in meanwhile) == [429] * 4 and all(r == "1" for _, r in meanwhile)
    assert sorted(s for s, _ in results) == [201] * n + [429] * 4


def test_who_finds_no_seat_waits_when_there_are_queues(a, tokens):
    queue = {"queues": 2, "handSize": 1, "queueLengthLimit": 3}
    assert ask(a, "POST", f"{GROUP}/prioritylevelconfigurations", level("patient", queue))[0] == 201
    assert ask(a, "POST", f"{GROUP}/flowschemas", schema("patient", "patient", "calm", "busy", precedence=40))[0] == 201
    until(lambda: "patient" in a.kubectl("get", "--raw", "/metrics").stdout, what="the level")
    n = seats(a, "patient")
    meanwhile, results = creates_while_the_store_stands(a, tokens["calm"], n + 3 + 2, 2, tokens["busy"])
    assert [s for s, _ in meanwhile] == [429] * 2  # three wait, the rest is too much
    assert sorted(s for s, _ in results) == [201] * (n + 3) + [429] * 2


def test_a_flood_of_one_keeps_nobody_else_from_asking(a, tokens):
    stop, counts = threading.Event(), []

    def flood():
        c, n = Connection(a.sock), 0
        while not stop.is_set():
            c.request("GET", "/api/v1/configmaps", headers={"Authorization": f"Bearer {tokens['busy']}"})
            r = c.getresponse()
            r.read()
            assert r.status in (200, 429), r.status
            n += 1
        counts.append(n)

    c = Connection(a.sock)

    def calm():
        c.request("GET", CONFIG_MAPS + "/kube-root-ca.crt", headers={"Authorization": f"Bearer {tokens['calm']}"})
        r = c.getresponse()
        r.read()
        return r.status

    until(lambda: calm() == 200, what="an object to ask for")
    threads = [threading.Thread(target=flood) for _ in range(50)]
    for t in threads:
        t.start()
    with Neighbour(calm) as neighbour:
        time.sleep(2)
        until(lambda: len(neighbour.times) > 20, 30, what="21 answers to the calm one")
    stop.set()
    for t in threads:
        t.join()
    assert not neighbour.failures
    assert len(counts) == 50
