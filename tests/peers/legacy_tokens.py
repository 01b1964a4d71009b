"""Gives every ServiceAccount a Secret with its token, as Kubernetes did up to 1.23 and the suite of 1.20 waits for.

Atoll, like Kubernetes since 1.24, makes no such Secrets by itself; it fills in those that somebody makes.
"""
import http.client
import json
import socket
import threading


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("atoll")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def call(path, method, url, body=None, content_type="application/json"):
    c = UnixConnection(path)
    c.request(method, url, body and json.dumps(body), {"Content-Type": content_type})
    r = c.getresponse()
    return r.status, r.read()


def give_token(path, account):
    namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
    secret = f"{name}-token-{account['metadata']['uid'][:5]}"
    body = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {"name": secret, "annotations": {"kubernetes.io/service-account.name": name}}}
    call(path, "POST", f"/api/v1/namespaces/{namespace}/secrets", body)
    call(path, "PATCH", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}", {"secrets": [{"name": secret}]},
         "application/merge-patch+json")


def watch(path):
    while True:
        try:
            c = UnixConnection(path)
            c.request("GET", "/api/v1/serviceaccounts?watch=1")
            for line in c.getresponse():
                event = json.loads(line)
                if event["type"] == "ADDED" and not event["object"].get("secrets"):
                    give_token(path, event["object"])
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            if not threading.main_thread().is_alive():
                return


def start(path):
    threading.Thread(target=watch, args=(path,), daemon=True).start()
