"""What an evil client says: tables of bytes for HTTP/1.1, frames for HTTP/2, and documents; and a neighbour who watches how long
he waits meanwhile."""
import gzip
import json
import socket
import struct
import threading
import time
import zlib

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
CLOSED = "closed"


def connect(path, timeout=15):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)  # blocks while the backlog is full
    s.settimeout(timeout)
    return s


def exchange(path, data, timeout=15):
    """Sends, and returns the status codes of the answers, with CLOSED at the end when the server closes; never more than one
    answer is waited for."""
    s = connect(path, timeout)
    got = b""
    try:
        s.sendall(data)
    except OSError:
        pass
    try:
        while b"\r\n\r\n" not in got:
            piece = s.recv(65536)
            if not piece:
                break
            got += piece
    except ConnectionError:
        pass
    finally:
        s.close()
    return int(got[9:12]) if got.startswith(b"HTTP/1.1 ") else CLOSED if not got else got[:40]


def request(method, path, headers=(), body=b"", version="HTTP/1.1", host="Host: x\r\n"):
    lines = "".join(f"{h}\r\n" for h in headers)
    return f"{method} {path} {version}\r\n{host}{lines}\r\n".encode("latin-1") + body


def post(body, kind="application/json", path=CONFIG_MAPS, method="POST", *headers):
    body = body.encode() if isinstance(body, str) else body
    return request(method, path, [f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers], body)


def get(path, *headers):
    return request("GET", path, headers)


BAD = {400, CLOSED}
REFUSED = {400, 413, 414, 415, 422, 431, CLOSED}
MISSING = {301, 400, 404}

# ---- framing of HTTP/1.1: what proxies and servers have read differently ----

FRAMING = {
    "two lengths that differ": (request("POST", "/x", ["Content-Length: 5", "Content-Length: 6"], b"aaaaa"), BAD),
    "a list of lengths": (request("POST", "/x", ["Content-Length: 5, 6"], b"aaaaa"), BAD),
    "length and chunked": (request("POST", "/x", ["Content-Length: 5", "Transfer-Encoding: chunked"], b"0\r\n\r\n"), BAD),
    "chunked and length": (request("POST", "/x", ["Transfer-Encoding: chunked", "Content-Length: 5"], b"0\r\n\r\n"), BAD),
    "chunked is not last": (request("POST", "/x", ["Transfer-Encoding: chunked, identity"], b"0\r\n\r\n"), BAD | {501}),
    "an unknown coding": (request("POST", "/x", ["Transfer-Encoding: xchunked"], b"0\r\n\r\n"), BAD | {501}),
    "two codings": (request("POST", "/x", ["Transfer-Encoding: chunked", "Transfer-Encoding: gzip"], b"0\r\n\r\n"), BAD | {501}),
    "a vertical tab in the coding": (request("POST", "/x", ["Transfer-Encoding: \x0bchunked"], b"0\r\n\r\n"), BAD | {501}),
    "a negative length": (request("POST", "/x", ["Content-Length: -1"]), BAD),
    "a length with a sign": (request("POST", "/x", ["Content-Length: +5"], b"aaaaa"), BAD),
    "a hexadecimal length": (request("POST", "/x", ["Content-Length: 0x5"], b"aaaaa"), BAD),
    "a length of 2^64+5": (request("POST", "/x", ["Content-Length: 18446744073709551621"], b"aaaaa"), BAD | {413}),
    "a folded header": (b"GET /readyz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", BAD),
    "bare line feeds": (b"GET /readyz HTTP/1.1\nHost: x\n\n", BAD),
    "a bare carriage return": (b"GET /readyz HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", BAD),
    "a space before the colon": (request("GET", "/readyz", ["A : b"]), BAD),
    "a header without a colon": (request("GET", "/readyz", ["nonsense"]), BAD),
    "an empty header name": (request("GET", "/readyz", [": b"]), BAD),
    "NUL in a header": (request("GET", "/readyz", ["A: b\0c"]), BAD),
    "no host": (request("GET", "/readyz", host=""), BAD),
    "two hosts": (request("GET", "/readyz", ["Host: y"]), BAD),
    "HTTP/3 in a line": (request("GET", "/readyz", version="HTTP/3.0"), BAD | {505}),
    "HTTP/0.9": (b"GET /readyz\r\n\r\n", BAD | {505}),
    "a method with NUL": (b"G\0T /readyz HTTP/1.1\r\nHost: x\r\n\r\n", BAD),
    "noise": (bytes(range(128, 256)) * 20 + b"\r\n\r\n", BAD),
    "a TLS hello on the plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600 + b"\r\n\r\n", BAD),
    "a line of 1 MB": (request("GET", "/" + "a" * 1_000_000), {400, 414, 431, CLOSED}),
    "a header of 1 MB": (request("GET", "/readyz", ["A: " + "b" * 1_000_000]), {431, CLOSED}),
    "10,000 headers": (request("GET", "/readyz", [f"A{i}: b" for i in range(10000)]), {431, CLOSED}),
    "a chunk of 2^64": (request("POST", "/x", ["Transfer-Encoding: chunked"], b"10000000000000000\r\na"), BAD | {413}),
    "a chunk size with a sign": (request("POST", "/x", ["Transfer-Encoding: chunked"], b"-1\r\na\r\n0\r\n\r\n"), BAD),
    "a chunk with a wrong end": (request("POST", "/x", ["Transfer-Encoding: chunked"], b"1\r\naXX0\r\n\r\n"), BAD),
    "a chunk extension of 1 MB": (request("POST", "/x", ["Transfer-Encoding: chunked"], b"1;" + b"e" * 1_000_000 + b"\r\na\r\n0\r\n\r\n"), REFUSED),
    "trailers of 1 MB": (request("POST", "/x", ["Transfer-Encoding: chunked"], b"0\r\n" + b"A: b\r\n" * 200_000 + b"\r\n"), REFUSED),
}

# ---- paths and parameters ----

QUERIES = {
    "NUL in a path": (get("/api/v1/namespaces/a%00b"), {400, 404}),
    "a broken escape": (get("/api/v1/%zz"), {400}),
    "bad UTF-8 in a path": (get("/api/v1/namespaces/%ff%fe"), {400, 404}),
    "dots": (get("/api/v1/../../etc/passwd"), MISSING),
    "escaped dots": (get("/api/%2e%2e/%2e%2e/etc/passwd"), MISSING),
    "an escaped slash in a name": (get(CONFIG_MAPS + "/a%2fb"), MISSING),
    "empty steps": (get("//api//v1//namespaces"), {200} | MISSING),
    "a path of 5,000 steps": (get("/a" * 5000), MISSING | {414, 431}),
    "another host's URL": (get("http://169.254.169.254/latest"), MISSING | {403}),
    "a selector of 7,000 terms": (get(CONFIG_MAPS + "?labelSelector=" + "%2C".join(["a"] * 3000)), {400, 414, 431}),
    "a selector that does not end": (get(CONFIG_MAPS + "?labelSelector=a+in+(" + "b," * 4000), {400, 414, 431}),
    "a field selector of nothing": (get(CONFIG_MAPS + "?fieldSelector=" + "%3D" * 100), {400}),
    "a limit of noise": (get(CONFIG_MAPS + "?limit=-x"), {400}),
    "a limit of 2^64": (get(CONFIG_MAPS + "?limit=18446744073709551616"), {400}),
    "a continue of noise": (get(CONFIG_MAPS + "?continue=%00%01" + "A" * 5000), {400}),
    "a version of 2^65": (get(CONFIG_MAPS + "?resourceVersion=36893488147419103232"), {400}),
    "a negative version": (get(CONFIG_MAPS + "?resourceVersion=-5&resourceVersionMatch=Exact"), {400}),
    "a version of the future": (get(CONFIG_MAPS + "?resourceVersion=9000000000000000000&resourceVersionMatch=NotOlderThan"), {504, 400}),
    "a watch of 2^64 seconds": (get(CONFIG_MAPS + "?watch=1&timeoutSeconds=99999999999999999999"), {400}),
    "a negative watch": (get(CONFIG_MAPS + "?watch=1&timeoutSeconds=-1"), {400}),
    "a thousand parameters": (get(CONFIG_MAPS + "?" + "&".join(f"a{i}=1" for i in range(2500))), {200, 400, 414, 431}),
    "an Accept of 2,000 ranges": (get(CONFIG_MAPS, "Accept: " + ",".join(["a/b;q=0.1"] * 1400)), {406, 431}),
    "a token of 15 KB": (get(CONFIG_MAPS, "Authorization: Bearer " + "a." * 7500), {401, 431}),
    "impersonation of everybody": (get(CONFIG_MAPS, *[f"Impersonate-Group: g{i}" for i in range(120)], "Impersonate-User: x"), {403, 431}),
    "an upgrade to nothing": (get(CONFIG_MAPS, "Connection: Upgrade", "Upgrade: h2c,websocket,x/y"), {200, 400, 426}),
    "exec without a pod": (get("/api/v1/namespaces/default/pods/none/exec?command=x", "Connection: Upgrade", "Upgrade: websocket",
                               "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), {404, 400}),
}


# ---- documents ----

def yaml_bomb():
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [" + ",".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 12)]
    return "\n".join(lines)


def config_map(**data):
    return json.dumps({"metadata": {"name": "evil"}, **data})


def fill(head, element, tail, size=2_900_000):
    """A document of that size: many elements (a %d in one is its number) between head and tail."""
    n = size // (len(element) + 4)
    return head + ",".join(element % i if "%d" in element else element for i in range(n)) + tail


POD = '{"metadata":{"name":"evil"},"spec":{"containers":[{"name":"c","image":"i"'
PODS = "/api/v1/namespaces/default/pods"
PATCH = CONFIG_MAPS + "/victim"
DEEP = "[" * 100_000
DOCUMENTS = {
    "deep JSON": (post(DEEP), {400}),
    "deep objects": (post('{"a":' * 50_000), {400}),
    "deep JSON in a field that takes all": (post('{"metadata":{"name":"e","managedFields":[{"fieldsV1":' + '{"a":' * 50_000), {400}),
    "JSON that ends": (post('{"metadata":{"name":'), {400}),
    "bad UTF-8": (post(b'{"metadata":{"name":"\xff\xfe"}}'), {400, 422}),
    "a lone surrogate": (post('{"metadata":{"name":"\\ud800"}}'), {400, 422}),
    "NUL in a name": (post('{"metadata":{"name":"a\\u0000b"}}'), {400, 422}),
    "a name of 1 MB": (post(json.dumps({"metadata": {"name": "a" * 1_000_000}})), {400, 422}),
    "a number of 100,000 digits": (post('{"metadata":{"name":"e","generation":' + "9" * 100_000 + "}}"), {400}),
    "1e999999": (post('{"metadata":{"name":"e","generation":1e999999}}'), {400}),
    "100,000 labels": (post(json.dumps({"metadata": {"name": "e", "labels": {f"l{i}": "!" for i in range(100_000)}}})), {400, 413, 422}),
    "100,000 unknown fields": (post(json.dumps({"metadata": {"name": "e"}, **{f"f{i}": 1 for i in range(100_000)}}),
                                    "application/json", CONFIG_MAPS + "?fieldValidation=Strict"), {400, 422}),
    "a body of 2.9 MB": (post(config_map(data={"a": "x" * 2_900_000})), {400, 413, 422}),
    "a body of 4 MB": (post(b" " * 4_000_000), {413, CLOSED}),
    "a body said to have 1 TB": (request("POST", CONFIG_MAPS, ["Content-Type: application/json", "Content-Length: 1099511627776"], b"{}"), {413}),
    "chunks without an end": (request("POST", CONFIG_MAPS, ["Content-Type: application/json", "Transfer-Encoding: chunked"],
                                      b"10000\r\n" + (b"a" * 65536 + b"\r\n10000\r\n") * 80), {413, CLOSED}),
    "a gzip bomb": (post(gzip.compress(b" " * 100_000_000), "application/json", CONFIG_MAPS, "POST", "Content-Encoding: gzip"), {400, 415}),
    "YAML aliases": (post(yaml_bomb(), "application/yaml"), {400}),
    "deep YAML": (post("[" * 20_000, "application/yaml"), {400}),
    "a YAML tag": (post("!!python/object:os.system {}", "application/yaml"), {400, 415, 422}),
    "protobuf that says 2^63 bytes": (post(b"k8s\0\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "application/vnd.kubernetes.protobuf"), {400}),
    "protobuf without its kind": (post(b"k8s\0\x12\x00", "application/vnd.kubernetes.protobuf"), {400, 415}),
    "another type": (post("<x/>", "text/xml"), {415}),
    "20,000 patch operations": (post(json.dumps([{"op": "test", "path": "/metadata/name", "value": "victim"}] * 20_000), "application/json-patch+json", PATCH, "PATCH"), {400, 413, 422}),
    "copies that double": (post(json.dumps([{"op": "add", "path": "/data/a0", "value": "x" * 1000}] + [
        {"op": "copy", "from": "/data", "path": f"/data/b{i}"} for i in range(40)]), "application/json-patch+json", PATCH, "PATCH"), {400, 413, 422}),
    "a move into itself": (post('[{"op":"move","from":"/metadata","path":"/metadata/labels"}]', "application/json-patch+json", PATCH, "PATCH"), {400, 422}),
    "a pointer of 10,000 steps": (post(json.dumps([{"op": "add", "path": "/a" * 10_000, "value": 1}]), "application/json-patch+json", PATCH, "PATCH"), {400, 422}),
    "a deep merge patch": (post('{"a":' * 50_000, "application/merge-patch+json", PATCH, "PATCH"), {400}),
    "a strategic patch of nonsense": (post('{"metadata":{"$patch":"explode","$setElementOrder/finalizers":7}}', "application/strategic-merge-patch+json", PATCH, "PATCH"), {400, 422}),
    "a patch without a type": (post("{}", "application/octet-stream", PATCH, "PATCH"), {415}),
    "a patch that is a list": (post("[[[]]]", "application/merge-patch+json", PATCH, "PATCH"), {400, 422}),
    "100,000 equal sysctls": (post(fill(POD + '}],"securityContext":{"sysctls":[', '{"name":"a","value":""}', "]}}}"), path=PODS), {422}),
    "equal constraints of a spread": (post(fill(POD + '}],"topologySpreadConstraints":[', '{"maxSkew":1,"topologyKey":"a","whenUnsatisfiable":"DoNotSchedule"}', "]}}"), path=PODS), {422}),
    "100,000 limits": (post(fill(POD + ',"resources":{"limits":{', '"a/b%d":"1"', "}}}]}}"), path=PODS), {422}),
    "a path that goes up a million times": (post(POD + ',"volumeMounts":[{"name":"v","mountPath":"/v","subPath":"' + "../" * 900_000 + '"}]}]}}', path=PODS), {422}),
    "100,000 texts of a Secret": (post(fill('{"metadata":{"name":"evil"},"stringData":{', '"a%d":""', "}}"), path="/api/v1/namespaces/default/secrets"), {413, 422}),
    "scopes times amounts": (post(fill('{"metadata":{"name":"evil"},"spec":{"scopes":[' + '"Terminating",' * 100_000 + '"Terminating"],"hard":{', '"hugepages-%d":"1"', "}}}", 1_400_000), path="/api/v1/namespaces/default/resourcequotas"), {422}),
    "100,000 versions of a webhook": (post(fill('{"metadata":{"name":"evil"},"webhooks":[{"name":"a.b.c","sideEffects":"None","clientConfig":{"url":"https://x/"},"admissionReviewVersions":[', '"v1"', "]}]}"), path="/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"), {422}),
    "10,000 owners": (post(json.dumps({"metadata": {"name": "e", "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x"}] * 10_000}})), {201, 400, 409, 422}),
}

# ---- HTTP/2 (RFC 9113) ----

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field that is not indexed; lengths below 127."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def head(path, more=b""):
    return b"\x82\x86" + literal(b":path", path.encode()) + literal(b":authority", b"x") + more


START = PREFACE + frame(SETTINGS)


def ids(n):
    return range(1, 2 * n, 2)


def hpack_bomb():
    """One large field in the dynamic table, and thousands of references to it."""
    big = b"\x40\x01a\x7f" + bytes([0x80 | (3900 - 127) & 0x7F, (3900 - 127) >> 7]) + b"b" * 3900
    return frame(HEADERS, 5, 1, head("/readyz", big + b"\xbe" * 8000))


H2 = {
    "rapid reset": START + b"".join(frame(HEADERS, 5, i, head(CONFIG_MAPS)) + frame(RST, 0, i, b"\0\0\0\x08") for i in ids(5000)),
    "resets by window": START + b"".join(frame(HEADERS, 5, i, head("/readyz")) + frame(WINDOW, 0, i, b"\0\0\0\0") for i in ids(5000)),
    "continuation without an end": START + frame(HEADERS, 1, 1, head("/readyz")) + frame(CONTINUATION, 0, 1, literal(b"a", b"b" * 100)) * 20000,
    "empty continuations": START + frame(HEADERS, 1, 1, head("/readyz")) + frame(CONTINUATION, 0, 1) * 20000,
    "settings": START + frame(SETTINGS) * 20000,
    "settings with values": START + frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64" * 100) * 2000,
    "pings": START + frame(PING, 0, 0, b"12345678") * 20000,
    "empty data": START + frame(HEADERS, 4, 1, b"\x83\x86" + head(CONFIG_MAPS)[2:]) + frame(DATA, 0, 1) * 20000,
    "priorities": START + frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") * 20000,
    "a window past its end": START + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "a window of nothing": START + frame(WINDOW, 0, 0, b"\0\0\0\0"),
    "a frame of 16 MB": START + b"\xff\xff\xff" + bytes([DATA, 0]) + struct.pack(">I", 1) + b"\0" * 100_000,
    "an HPACK bomb": START + hpack_bomb(),
    "a broken HPACK index": START + frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff\x7f"),
    "streams with even numbers": START + frame(HEADERS, 5, 2, head("/readyz")),
    "streams that go back": START + frame(HEADERS, 5, 9, head("/readyz")) + frame(HEADERS, 5, 3, head("/readyz")),
    "pushes by a client": START + frame(PUSH, 4, 1, b"\0\0\0\x02" + head("/readyz")),
    "data for no stream": START + frame(DATA, 0, 7, b"x" * 100) * 100,
    "upper-case names": START + frame(HEADERS, 5, 1, head("/readyz", literal(b"ABC", b"x"))),
    "a connection header": START + frame(HEADERS, 5, 1, head("/readyz", literal(b"transfer-encoding", b"chunked"))),
    "pseudo headers twice": START + frame(HEADERS, 5, 1, head("/readyz", literal(b":path", b"/x"))),
    "a length that lies": START + frame(HEADERS, 4, 1, b"\x83\x86" + head(CONFIG_MAPS, literal(b"content-length", b"5"))[2:]) + frame(DATA, 1, 1, b"123456789"),
    "more streams than allowed": START + b"".join(frame(HEADERS, 5, i, head(CONFIG_MAPS + "?watch=1")) for i in ids(2000)),
}


def h2_attack(path, data, seconds=3):
    """Sends it all while reading a little; returns (closed by the server, bytes received)."""
    s = connect(path, 0.2)
    received, closed, sent, end = 0, False, 0, time.monotonic() + seconds
    view = memoryview(data)
    while time.monotonic() < end:
        try:
            if sent < len(data):
                sent += s.send(view[sent:sent + 65536])
        except (TimeoutError, BlockingIOError):
            pass
        except OSError:
            closed = True
            break
        s.settimeout(0.2 if sent == len(data) else 0.001)
        try:
            piece = s.recv(65536)
            if not piece:
                closed = True
                break
            received += len(piece)
        except (TimeoutError, BlockingIOError):
            if sent == len(data):
                break
        except OSError:
            closed = True
            break
    s.close()
    return closed, received


class Neighbour:
    """Asks for one object again and again, and notes how long each answer took."""

    def __init__(self, ask, every=0.002):
        self.ask, self.every, self.times, self.failures, self.done = ask, every, [], [], threading.Event()

    def run(self):
        while not self.done.is_set():
            began = time.perf_counter()
            try:
                status = self.ask()
            except OSError as e:
                status = repr(e)
            self.times.append(time.perf_counter() - began)
            if status != 200:
                self.failures.append(status)
            time.sleep(self.every)

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def p99_ms(self):
        return 1000 * sorted(self.times)[int(0.99 * len(self.times))] if self.times else 0.0


# ---- after an upgrade: WebSocket and SPDY frames ----

def upgraded(path, target, *headers):
    """A connection behind 101."""
    s = connect(path)
    s.sendall(request("POST" if any("SPDY" in h for h in headers) else "GET", target, ["Connection: Upgrade", *headers]))
    got = b""
    while b"\r\n\r\n" not in got:
        piece = s.recv(1)
        assert piece, got
        got += piece
    assert got.startswith(b"HTTP/1.1 101 "), got
    return s


WEBSOCKET = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol: v4.channel.k8s.io"]
SPDY = ["Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"]


def ws(first, length, body=b"", mask=0x80):
    """A frame whose header says `length`, whatever follows."""
    n = bytes([mask | length]) if length < 126 else bytes([mask | 126]) + struct.pack(">H", length) if length < 1 << 16 else bytes([mask | 127]) + struct.pack(">Q", length)
    return bytes([first]) + n + (b"\0\0\0\0" if mask else b"") + body


def spdy(kind, body, flags=0, length=None):
    n = len(body) if length is None else length
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | n) + body


def syn_stream(i, headers):
    return spdy(1, struct.pack(">IIH", i, 0, 0) + headers)


def bomb(megabytes):
    z = zlib.compressobj(9)
    return z.compress(b"\0\0\1\0" + b"\0" * (megabytes << 20)) + z.flush(zlib.Z_SYNC_FLUSH)


PIECE = b"\0" + b"x" * 65535  # channel 0
# What is sent once, and what is sent until the server has had enough.
AFTER_WEBSOCKET = {
    "a frame of 2^62 bytes": (ws(0x82, 1 << 62), PIECE),
    "a length with its highest bit": (ws(0x82, 1 << 63), PIECE),
    "a message of fragments without an end": (ws(0x02, len(PIECE), PIECE), ws(0x00, len(PIECE), PIECE)),
    "empty fragments, then 100 MB": (ws(0x02, 0) + ws(0x00, 0) * 10_000, ws(0x00, len(PIECE), PIECE)),
    "a ping of 1 MB": (ws(0x89, 1 << 20), PIECE),
    "a frame without a mask": (ws(0x82, 10, b"0123456789", 0), b""),
    "reserved bits": (ws(0xf2, 1, b"\0"), b""),
    "an unknown kind": (ws(0x8b, 1, b"\0"), b""),
    "a sequel to nothing": (ws(0x80, 1, b"\0"), b""),
}
AFTER_SPDY = {
    "headers that inflate to 60 MB": (syn_stream(1, bomb(60)), b""),
    "headers of noise": (syn_stream(1, b"\xff" * 1000), b""),
    "a control frame of 16 MB": (spdy(1, b"", length=(1 << 24) - 1), PIECE),
    "a million headers in a block": (syn_stream(1, zlib.compress(struct.pack(">I", 1_000_000) + struct.pack(">I", 1) * 4000)), b""),
    "a header of 4 GB": (syn_stream(1, zlib.compress(struct.pack(">III", 1, 0xffffffff, 0))), b""),
    "streams without an end": (b"", b"".join(syn_stream(i, b"") for i in range(1, 2001, 2))),
    "data for nobody": (b"", struct.pack(">II", 7, len(PIECE)) + PIECE),
    "another version": (struct.pack(">HHI", 0x8002, 1, 0), b""),
}


HARMLESS = {"data for nobody"}  # dropped as it comes: a peer may not know yet that its stream is closed


def tell_until_closed(s, once, again, most=64 << 20):
    """Bytes that were taken, and whether the server has closed."""
    taken = 0
    s.settimeout(5)
    try:
        s.sendall(once)
        taken = len(once)
        while again and taken < most:
            s.sendall(again)
            taken += len(again)
        while s.recv(65536):
            pass
        return taken, True
    except TimeoutError:
        return taken, False
    except ConnectionError:
        return taken, True
    finally:
        s.close()
