"""HTTPS servers that tests make and read: admission webhooks, and whatever else Atoll calls."""
import base64
import json
import os
import shutil
import ssl
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import atoll_cluster as ac


class Certificates:
    """A CA of its own and one server certificate, made by openssl."""

    def __init__(self, names):
        self.dir = tempfile.mkdtemp(prefix="atoll-hook-")
        alt = ",".join(("IP:" if n.replace(".", "").isdigit() else "DNS:") + n for n in names)
        ac.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path("ca.key"),
               "-out", self.path("ca.crt"), "-subj", "/CN=test-ca", "-days", "2")
        ac.run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path("tls.key"), "-out",
               self.path("tls.csr"), "-subj", "/CN=server")
        with open(self.path("ext"), "w") as f:
            f.write(f"subjectAltName={alt}\n")
        ac.run("openssl", "x509", "-req", "-in", self.path("tls.csr"), "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"),
               "-CAcreateserial", "-out", self.path("tls.crt"), "-days", "2", "-extfile", self.path("ext"))
        with open(self.path("ca.crt"), "rb") as f:
            self.bundle = base64.b64encode(f.read()).decode()

    def path(self, name):
        return os.path.join(self.dir, name)

    def remove(self):
        shutil.rmtree(self.dir)


class Server:
    """answer(path, body) → (status, bytes); every request is kept in `seen` as (method, path, headers, body)."""

    def __init__(self, answer, address="127.0.0.1", names=(), client_ca=None):
        self.certificates = Certificates([address, *names])
        self.seen = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                server.seen.append((self.command, self.path, dict(self.headers), body))
                peer = self.connection.getpeercert() if client_ca else None
                status, content, *more = answer(self.path, body) if not client_ca else answer(self.path, body, dict(self.headers), peer)
                self.send_response(status)
                self.send_header("content-type", more[0] if more else "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = serve

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer((address, 0), Handler)
        self.port = self.http.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.path("tls.crt"), self.certificates.path("tls.key"))
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client_ca)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def bundle(self):
        return self.certificates.bundle

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.certificates.remove()


def review_answer(decide):
    """decide(request) → response fields; the AdmissionReview around them is written here."""

    def answer(path, body):
        review = json.loads(body)
        response = {"uid": review["request"]["uid"], **decide(path, review["request"])}
        return 200, json.dumps({"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response}).encode()

    return answer


def json_patch(*operations):
    return {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(operations).encode()).decode()}
