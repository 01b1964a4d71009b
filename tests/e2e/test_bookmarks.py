"""A bookmark says that all up to its revision has been told: nothing that was still on its way may be missing."""
import concurrent.futures
import threading

import pytest
from test_api import Api, cm, maps

NS = "bookmarks"
WATCHERS, ROUNDS, WRITERS = 24, 2, 4


@pytest.fixture(scope="module")
def api(root):
    api = Api(f"{root}/run/atoll/api.sock")
    assert api("POST", "/api/v1/namespaces", {"metadata": {"name": NS}})[0] == 201
    return api


def test_a_bookmark_never_jumps_over_events_that_wait(api, root):
    stop, written = threading.Event(), []

    def write(n):
        path = f"{maps(NS)}/w{n}"
        assert api("POST", maps(NS), cm(f"w{n}"))[0] == 201
        for i in range(1 << 30):
            if stop.is_set():
                return
            answer = api("PATCH", path, {"data": {"i": str(i)}}, content="application/merge-patch+json")
            written.append(int(answer[1]["metadata"]["resourceVersion"]))

    def watch(_):
        told = []
        for _ in range(ROUNDS):
            first = int(api("GET", maps(NS))[1]["metadata"]["resourceVersion"])
            events = list(api.watch(f"{maps(NS)}?watch=1&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={first}"))
            assert events[-1]["type"] == "BOOKMARK"
            revisions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
            told.append((first, revisions[-1], set(revisions)))
        return told

    with concurrent.futures.ThreadPoolExecutor(WATCHERS + WRITERS) as pool:
        writers = [pool.submit(write, n) for n in range(WRITERS)]
        try:
            told = [t for f in [pool.submit(watch, n) for n in range(WATCHERS)] for t in f.result()]
        finally:
            stop.set()
        for w in writers:
            w.result()
    missing = [r for first, last, seen in told for r in written if first < r <= last and r not in seen]
    assert written and not missing, f"{len(missing)} events were told to nobody, e.g. {sorted(missing)[:5]}"
