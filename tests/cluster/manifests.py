"""The objects that the tests create."""

from __future__ import annotations

from typing import Any

KubeObject = dict[str, Any]

SLEEP = "import time; time.sleep(600)"

# What a model is to the cluster: HTTP on port 8080, at the address that HOST names where pods share a machine.
# GET answers its path; GET /status/<code> that status; GET /bytes/<n> so many; GET /close nothing at all; GET /half half
# an answer; GET /wait/<seconds> late; PUT and POST the number of bytes they were sent, their header and their path.
SERVER = """
import http.server, json, os, socket, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        kind, _, value = self.path.strip("/").partition("/")
        if kind == "status":
            self.answer(b"as asked", int(value))
        elif kind == "bytes":
            self.send_response(200)
            self.send_header("Content-Length", value)
            self.end_headers()
            for start in range(0, int(value), 2**20):
                self.wfile.write(bytes(min(2**20, int(value) - start)))
        elif kind == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for word in (b"one ", b"two ", b"three"):
                self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(word), word))
            self.wfile.write(b"0\\r\\n\\r\\n")
        elif kind in ("close", "half"):
            if kind == "half":
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.wfile.write(bytes(500000))
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            if kind == "wait":
                time.sleep(float(value))
            self.answer(self.path.encode())

    def do_POST(self):
        size = 0
        if self.headers.get("Transfer-Encoding") == "chunked":
            while length := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers["Content-Length"])
            print(f"{left} bytes to come", flush=True)
            while left:
                read = len(self.rfile.read(min(left, 2**20)))
                if not read:
                    raise ConnectionError("the client has gone")
                size, left = size + read, left - read
        self.answer(json.dumps({"size": size, "path": self.path, "headers": dict(self.headers)}).encode())

    do_PUT = do_POST

    def log_message(self, *args):
        pass

print("pid", os.getpid(), flush=True)
http.server.ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), 8080), Handler).serve_forever()
"""


def pod(
    name: str, image: str, code: str | None = None, labels: dict[str, str] | None = None, **spec: Any
) -> KubeObject:
    """A pod with one container ``main``: fields that a container has go there, the rest into the pod's spec."""
    container: KubeObject = {"name": "main", "image": image}
    if code is not None:
        container["command"] = ["python3", "-u", "-c", code]
    for field in _CONTAINER_FIELDS & set(spec):
        container[field] = spec.pop(field)
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, "containers": [container]} | spec
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}


_CONTAINER_FIELDS = {
    "args", "command", "env", "envFrom", "imagePullPolicy", "livenessProbe", "ports", "readinessProbe", "resources",
    "startupProbe", "terminationMessagePolicy", "volumeMounts",
}  # fmt: skip


def model(name: str, image: str, **spec: Any) -> KubeObject:
    """A pod that serves on port 8080 and is ready when it does."""
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    ports = [{"name": "http", "containerPort": 8080}]
    return pod(name, image, SERVER, {"app": name}, **({"readinessProbe": probe, "ports": ports} | spec))


def service(name: str, selects: str, **spec: Any) -> KubeObject:
    ports = [{"port": 80, "targetPort": 8080}]
    return {"metadata": {"name": name}, "spec": {"selector": {"app": selects}, "ports": ports} | spec}


def gateway(name: str, gateway_class: str) -> KubeObject:
    listener = {"name": "http", "port": 80, "protocol": "HTTP"}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name},
        "spec": {"gatewayClassName": gateway_class, "listeners": [listener]},
    }


def route(name: str, gateway_name: str, prefix: str, backend: str, **rule: Any) -> KubeObject:
    """An HTTPRoute that takes the prefix away."""
    path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
    first = {
        "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
        "filters": [{"type": "URLRewrite", "urlRewrite": {"path": path}}],
        "backendRefs": [{"name": backend, "port": 80}],
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {"parentRefs": [{"name": gateway_name}], "rules": [first | rule]},
    }


def ingress(name: str, path: str, backend: str, kind: str = "ImplementationSpecific", **annotations: str) -> KubeObject:
    """An Ingress of the class nginx; annotations in their short form, with _ for -."""
    entry = {"path": path, "pathType": kind, "backend": {"service": {"name": backend, "port": {"number": 80}}}}
    prefixed = {f"nginx.ingress.kubernetes.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "annotations": prefixed},
        "spec": {"ingressClassName": "nginx", "rules": [{"http": {"paths": [entry]}}]},
    }


def is_ready(obj: KubeObject) -> bool:
    conditions = obj["status"].get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def phase(*wanted: str) -> Any:
    return lambda obj: obj["status"].get("phase") in wanted


def state(obj: KubeObject) -> KubeObject:
    """The state of the only container; empty before the kubelet has written one."""
    statuses = obj["status"].get("containerStatuses") or [{"state": {}}]
    return dict(statuses[0]["state"])


def waits_for(*reasons: str) -> Any:
    return lambda obj: (state(obj).get("waiting") or {}).get("reason") in reasons
