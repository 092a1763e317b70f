"""The API as a test sees it: plain paths, plain JSON, refusals as exceptions.

Built on the ``kubernetes`` package's configuration (kubeconfig, exec plugins, TLS), but not on its models: the suite
compares what a server really sends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes.client import ApiClient, Configuration

KubeObject = dict[str, Any]

PREFIXES = {
    "httproutes": "/apis/gateway.networking.k8s.io/v1",
    "gateways": "/apis/gateway.networking.k8s.io/v1",
    "ingresses": "/apis/networking.k8s.io/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
}
MERGE_PATCH = "application/merge-patch+json"


class Refused(Exception):
    """The API server's Status of failure."""

    def __init__(self, http_status: int, status: KubeObject) -> None:
        super().__init__(f"{http_status}: {status.get('message')}")
        self.http_status = http_status
        self.status = status

    @property
    def message(self) -> str:
        return str(self.status["message"])

    @property
    def reason(self) -> str:
        return str(self.status["reason"])


class Client:
    """Sends requests as one user.

    `patience` is how many seconds whatever is waited for may take: a cluster of yours may have to pull an image first.
    """

    def __init__(self, api: ApiClient, headers: dict[str, str] | None = None, patience: float = 30) -> None:
        self.api = api
        self.patience = patience
        self._headers = headers or {}

    def impersonate(self, user: str, *groups: str) -> Client:
        """The same connection, as another user: what an administrator may do on any cluster."""
        headers = urllib3.HTTPHeaderDict({"Impersonate-User": user})
        for group in groups:
            headers.add("Impersonate-Group", group)
        return Client(self.api, headers, self.patience)  # type: ignore[arg-type]  # a mapping with repeated keys

    def with_token(self, token: str) -> Client:
        """A connection without the kubeconfig's client certificate, which an API server would take before the token."""
        own = self.api.configuration
        configuration = Configuration()
        for name in ("host", "ssl_ca_cert", "verify_ssl", "tls_server_name", "proxy"):
            setattr(configuration, name, getattr(own, name))
        return Client(ApiClient(configuration), {"Authorization": f"Bearer {token}"}, self.patience)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, Any] | None = None,
        content_type: str = "application/json",
        timeout: float = 30,
    ) -> urllib3.BaseHTTPResponse:
        """The response, whatever it is, its body unread."""
        configuration = self.api.configuration
        headers = urllib3.HTTPHeaderDict({"Content-Type": content_type, "Accept": "application/json"})
        token = configuration.auth_settings().get("BearerToken")
        if token:
            headers["Authorization"] = token["value"]
        headers.extend(self._headers)
        if "Authorization" in self._headers:
            headers["Authorization"] = self._headers["Authorization"]
        url = configuration.host + path
        if query:
            url += "?" + urlencode(query)
        response: urllib3.BaseHTTPResponse = self.api.rest_client.pool_manager.urlopen(
            method,
            url,
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            preload_content=False,
            timeout=timeout,
            retries=False,
        )
        return response

    def open(self, method: str, path: str, **request: Any) -> urllib3.BaseHTTPResponse:
        """The response, its body unread; raises Refused."""
        response = self.send(method, path, **request)
        if response.status >= 400:
            raise Refused(response.status, json.loads(response.read()))
        return response

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> KubeObject:
        """The answer as JSON; raises Refused."""
        answer: KubeObject = json.loads(
            self.open(method, path, body=body, query=query, content_type=content_type).read()
        )
        return answer

    def watch(self, path: str, timeout: float | None = None, **query: Any) -> Generator[KubeObject, None, None]:
        """The events of a watch, until it ends or nothing comes for ``timeout`` seconds."""
        timeout = timeout or self.patience
        query = {"watch": "true", "timeoutSeconds": int(timeout)} | query
        response = self.open("GET", path, query=query, timeout=timeout + 5)
        try:
            rest = b""
            for chunk in response.stream(None):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)
        finally:
            response.close()

    def namespace(self, name: str) -> Namespace:
        return Namespace(self, name)


class Namespace:
    """The objects of one namespace: ``namespace.get("pods", "a")``."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name

    def seen_by(self, client: Client) -> Namespace:
        return Namespace(client, self.name)

    def path(self, plural: str, name: str | None = None) -> str:
        collection = f"{PREFIXES.get(plural, '/api/v1')}/namespaces/{self.name}/{plural}"
        return f"{collection}/{name}" if name else collection

    def create(self, plural: str, manifest: KubeObject) -> KubeObject:
        return self.client.call("POST", self.path(plural), manifest)

    def get(self, plural: str, name: str) -> KubeObject:
        return self.client.call("GET", self.path(plural, name))

    def find(self, plural: str, **query: Any) -> KubeObject:
        return self.client.call("GET", self.path(plural), query=query)

    def names(self, plural: str, **query: Any) -> set[str]:
        return {item["metadata"]["name"] for item in self.find(plural, **query)["items"]}

    def delete(self, plural: str, name: str, **options: Any) -> KubeObject:
        return self.client.call("DELETE", self.path(plural, name), options or None)

    def patch(self, plural: str, name: str, patch: KubeObject) -> KubeObject:
        return self.client.call("PATCH", self.path(plural, name), patch, content_type=MERGE_PATCH)

    def watch(self, plural: str, **query: Any) -> Generator[KubeObject, None, None]:
        return self.client.watch(self.path(plural), **query)

    def log(self, pod: str, **query: Any) -> str:
        return self.client.open("GET", self.path("pods", pod) + "/log", query=query).read().decode()

    def first_line(self, pod: str) -> str:
        """The first line that a running pod prints, as soon as it has printed it."""
        response = self.client.open("GET", self.path("pods", pod) + "/log", query={"follow": "true"})
        try:
            line = b""
            while not line.endswith(b"\n"):
                byte = response.read(1)
                assert byte, f"{pod} has ended after {line!r}"
                line += byte
            return line.decode()
        finally:
            response.close()

    def wait(self, plural: str, name: str, holds: Callable[[KubeObject], Any], timeout: float = 0) -> KubeObject:
        """The object in the first state for which ``holds`` is true; fails when that does not come in time."""
        timeout = max(timeout, self.client.patience)
        last = None
        for event in self.watch(plural, fieldSelector=f"metadata.name={name}", timeout=timeout):
            last = event["object"]
            if event["type"] != "DELETED" and holds(last):
                return dict(last)
        raise AssertionError(f"{plural} {name} has not come so far in {timeout} s: {json.dumps(last)}")

    def wait_gone(self, plural: str, name: str, timeout: float = 0) -> None:
        """Until the object does not exist."""
        timeout = max(timeout, self.client.patience)
        version = self.find(plural)["metadata"]["resourceVersion"]
        if name not in self.names(plural):
            return
        for event in self.watch(
            plural, fieldSelector=f"metadata.name={name}", timeout=timeout, resourceVersion=version
        ):
            if event["type"] == "DELETED":
                return
        raise AssertionError(f"{plural} {name} is still there after {timeout} s")

    def events(self, pod: str, holds: Callable[[list[KubeObject]], Any]) -> list[KubeObject]:
        """The events about a pod, as soon as ``holds`` is true of them."""
        timeout = self.client.patience
        found: dict[str, KubeObject] = {}
        selector = f"involvedObject.kind=Pod,involvedObject.name={pod}"
        for event in self.watch("events", fieldSelector=selector, timeout=timeout):
            found[event["object"]["metadata"]["name"]] = event["object"]
            if holds(list(found.values())):
                return list(found.values())
        raise AssertionError(f"events of {pod} are not so in {timeout} s: {json.dumps(list(found.values()))}")
