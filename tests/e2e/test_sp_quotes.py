"""The demo of five organisations, short; and that it leaves nothing behind, however it ends."""
import glob
import os
import pathlib
import signal
import subprocess

from atoll_cluster import ATOLL, until

RUN = pathlib.Path(__file__).resolve().parents[2] / "examples" / "quotes" / "run"


def start(*args):
    return subprocess.Popen([RUN, "--build", os.path.dirname(ATOLL), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left_behind(pid):
    names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()
    return [n for n in names if n.startswith(f"quotes-{pid}-")]


def test_prices_travel_through_five_organisations_and_what_nobody_wants_stays(network_namespace):
    p = start("--messages", "100")
    out, err = p.communicate(timeout=90)
    assert p.returncode == 0 and out.endswith("well\n"), out + err
    assert "of 400 messages 0 left the exchange, and 0 subscriptions reached it" in out
    assert "2 subscriptions of all traders together; 200 messages passed it, of the 100 of NASDAQ/JUNK that nobody wants: 0" in out
    assert out.count("100.0 %") == 5
    assert not left_behind(p.pid)


def test_the_demo_cleans_up_when_it_is_stopped(network_namespace):
    before = set(glob.glob("/tmp/atoll-quotes-*"))
    p = start()
    until(lambda: left_behind(p.pid), 20, what="namespaces")
    p.send_signal(signal.SIGTERM)
    p.communicate(timeout=30)
    assert p.returncode == 1 and not left_behind(p.pid)
    assert set(glob.glob("/tmp/atoll-quotes-*")) <= before
