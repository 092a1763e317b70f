"""An EKS cluster: where its API server is, the token that it accepts, and calls to it.

The Kubernetes client is imported when the first call is made and never earlier: handlers that talk to no cluster do not
carry its layer. Bodies are plain dicts.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import ClientError
from botocore.model import ServiceId
from botocore.signers import RequestSigner
from urllib3.exceptions import HTTPError

from scoring import aws
from scoring.cluster import transport
from scoring.cluster.refusals import Expired, refusal
from scoring.errors import AccessDenied, ClusterNotActive, ClusterNotFound, ClusterUnreachable

# aws-iam-authenticator: a token is valid for 15 minutes from its X-Amz-Date, whatever it says itself.
_TOKEN_SECONDS = 14 * 60
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 20.0
# A cluster's endpoint and CA hardly ever change; after this long a warm function asks again.
_DESCRIPTION_SECONDS = 600


@dataclass(frozen=True)
class Endpoint:
    """Where a cluster's API server is: `url`, and `ca`, the PEM of the authority that signed its certificate."""

    name: str
    url: str
    ca: bytes


def describe(name: str, eks: Any) -> Endpoint:
    """Ask EKS for the cluster.

    Raises
    ------
    ClusterNotFound, ClusterNotActive, AccessDenied, AwsThrottled
    """
    with aws.errors_named(f"eks:DescribeCluster of {name}"):
        try:
            cluster = eks.describe_cluster(name=name)["cluster"]
        except ClientError as error:
            if aws.code(error) == "ResourceNotFoundException":
                raise ClusterNotFound(f"EKS has no cluster {name} in this account and region.") from error
            raise
    # UPDATING serves as well as ACTIVE: a version upgrade of the control plane takes no request away.
    if cluster["status"] not in ("ACTIVE", "UPDATING"):
        raise ClusterNotActive(f"The cluster {name} is {cluster['status']}, not ACTIVE.")
    return Endpoint(name, cluster["endpoint"], base64.b64decode(cluster["certificateAuthority"]["data"]))


def token(name: str) -> str:
    """The bearer token that EKS accepts: a presigned GetCallerIdentity of the *regional* STS, bound to the cluster.

    The cluster asks STS itself, so the URL names STS's public host whatever endpoint the function uses for its own calls.
    Source: kubernetes-sigs/aws-iam-authenticator, "API Authorization from Outside a Cluster".
    """
    session = boto3.session.Session()
    region = session.region_name
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    credentials = session.get_credentials()
    if credentials is None:
        raise AccessDenied("This function has no AWS credentials to sign a token for the cluster with.")
    signer = RequestSigner(ServiceId("sts"), region, "sts", "v4", credentials, session.events)
    url = signer.generate_presigned_url(
        {
            "method": "GET",
            "url": f"https://sts.{region}.{domain}/?Action=GetCallerIdentity&Version=2011-06-15",
            "body": {},
            "headers": {"x-k8s-aws-id": name},
            "context": {},
        },
        region_name=region,
        expires_in=60,
        operation_name="",
    )
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


class Api:
    """Calls to one cluster's API server, with its refusals named as ours."""

    def __init__(self, endpoint: Endpoint) -> None:
        client = transport.load()
        self.name, self._url = endpoint.name, endpoint.url
        self._api_exception = client.exceptions.ApiException
        configuration = client.configuration.Configuration()
        configuration.host = endpoint.url
        configuration.retries = False
        self._rest = client.rest.RESTClientObject(configuration)
        # The client itself takes the authority as a file only; this way nothing is written.
        self._rest.pool_manager.connection_pool_kw["ssl_context"] = _trusting(endpoint.ca)
        self._token, self._token_until = "", 0.0

    def call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One request, its JSON answer.

        Raises
        ------
        NotFound, AlreadyExists, Expired
            404, 409 AlreadyExists and 410, for the caller to handle.
        QuotaExceeded
            The namespace is full: a queue, not a failure.
        PodRefused
            The API server will not take the object as it is.
        ClusterAccessDenied, ClusterUnreachable
        """
        response = self._open(method, path, query, body, _READ_SECONDS)
        try:
            answer: dict[str, Any] = json.loads(response.data)
        except (HTTPError, ValueError) as error:
            raise ClusterUnreachable(
                f"The API server of {self.name} broke off its answer to {method} {path}."
            ) from error
        return answer

    def text(self, path: str, query: dict[str, Any]) -> str:
        """The body of a GET that is no JSON: a container's log."""
        try:
            return bytes(self._open("GET", path, query, None, _READ_SECONDS).data).decode("utf-8", "replace")
        except HTTPError as error:
            raise ClusterUnreachable(f"The API server of {self.name} broke off its answer to GET {path}.") from error

    def watch(self, path: str, query: dict[str, Any], seconds: float) -> Iterator[dict[str, Any]]:
        """The events of a watch for at most `seconds`; a watch that breaks off simply ends, since that is its nature.

        Raises
        ------
        Expired, ClusterAccessDenied, ClusterUnreachable
        """
        query = query | {"watch": "true", "timeoutSeconds": max(1, int(seconds))}
        # The server ends the watch; the client's own time-out is the net under it, or it could hang for ever.
        response = self._open("GET", path, query, None, seconds + 5)
        try:
            pending = b""
            for chunk in response.stream(amt=None, decode_content=True):
                *lines, pending = (pending + chunk).split(b"\n")
                for event in map(json.loads, filter(None, lines)):
                    if event["type"] == "ERROR":
                        raise Expired(str(event["object"].get("message", "the watch expired")))
                    yield event
        except HTTPError:
            return
        finally:
            response.close()

    def _open(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None,
        body: dict[str, Any] | None,
        seconds: float,
        *,
        may_renew: bool = True,
    ) -> Any:
        call = f"{method} {path}"
        try:
            return self._rest.request(
                method,
                self._url + path,
                query_params=query or {},
                headers={
                    "Authorization": f"Bearer {self._fresh_token()}",
                    "Accept": "application/json, */*",
                    "Content-Type": "application/json",
                    "User-Agent": "dropscore",
                },
                body=body,
                _preload_content=False,
                _request_timeout=(_CONNECT_SECONDS, seconds),
            )
        except self._api_exception as error:
            if error.status == 401 and may_renew:
                # A token may end before its time: with the credentials that signed it, or while the function was frozen.
                self._token_until = 0.0
                return self._open(method, path, query, body, seconds, may_renew=False)
            raise refusal(self.name, call, error.status or 0, error.body, str(error.reason)) from error
        except HTTPError as error:
            raise ClusterUnreachable(f"The API server of {self.name} does not answer ({call}): {error}") from error

    def _fresh_token(self) -> str:
        if time.monotonic() > self._token_until:
            self._token, self._token_until = token(self.name), time.monotonic() + _TOKEN_SECONDS
        return self._token


def _trusting(ca: bytes) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca.decode())
    # On by default since Python 3.13, and refuses the authority of many an EKS cluster, which has no Authority Key
    # Identifier. The chain, the dates and the host name are checked as ever.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


_connected: dict[str, tuple[float, Api]] = {}
# Batches that are under way at once ask for the pod at once when it dies; neither boto3 nor an import bears that.
_connecting = threading.Lock()


def connect(name: str) -> Api:
    """The API of a cluster, kept for the life of the function's process (and described anew every ten minutes)."""
    with _connecting:
        until, api = _connected.get(name, (0.0, None))
        if api is None or time.monotonic() > until:
            api = Api(describe(name, aws.client("eks")))
            _connected[name] = (time.monotonic() + _DESCRIPTION_SECONDS, api)
        return api


@cache
def namespace_path(namespace: str, group: str = "", version: str = "v1") -> str:
    """The path of a namespace in the core API, or in `group`."""
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return f"{root}/namespaces/{namespace}"
