"""How a pod is reached: the object that says so to the data plane, and the address that follows."""

from typing import Any

import pytest

from scoring.cluster import routes
from scoring.settings import ClusterSettings
from tests.builders import CLUSTER, GATEWAY_URL, POD_NAME, request, running

OWNER = {"kind": "Pod", "uid": "uid-1"}


def cluster(route: str, **changes: Any) -> ClusterSettings:
    return ClusterSettings(CLUSTER, ("dropscore",), route, GATEWAY_URL, **changes)


def manifest(configured: ClusterSettings) -> dict[str, Any]:
    made = routes.manifest(POD_NAME, {"a": "b"}, OWNER, configured, request())
    assert made["metadata"]["name"] == POD_NAME
    assert (made["metadata"]["labels"], made["metadata"]["ownerReferences"]) == ({"a": "b"}, [OWNER])
    return made


def test_an_http_route_strips_the_name_and_waits_as_long_as_the_model_needs() -> None:
    made = manifest(cluster("gateway"))
    assert (made["apiVersion"], made["kind"]) == ("gateway.networking.k8s.io/v1", "HTTPRoute")
    assert made["spec"]["parentRefs"] == [{"name": "dropscore", "namespace": "dropscore"}]
    (rule,) = made["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": f"/{POD_NAME}"}}]
    rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
    assert rule["filters"] == [{"type": "URLRewrite", "urlRewrite": rewrite}]
    assert rule["backendRefs"] == [{"name": POD_NAME, "port": 80}]
    assert rule["timeouts"] == {"request": "0s"}


def test_an_http_route_hangs_on_the_gateway_that_the_cluster_names() -> None:
    made = manifest(cluster("gateway", gateway={"name": "shared", "namespace": "infra", "sectionName": "http"}))
    assert made["spec"]["parentRefs"] == [{"name": "shared", "namespace": "infra", "sectionName": "http"}]


def test_an_ingress_is_by_default_one_of_the_nginx_family() -> None:
    made = manifest(cluster("ingress"))
    assert (made["apiVersion"], made["kind"]) == ("networking.k8s.io/v1", "Ingress")
    assert made["spec"]["ingressClassName"] == "nginx"
    (rule,) = made["spec"]["rules"]
    backend = {"service": {"name": POD_NAME, "port": {"number": 80}}}
    assert rule == {
        "http": {"paths": [{"path": f"/{POD_NAME}(/|$)(.*)", "pathType": "ImplementationSpecific", "backend": backend}]}
    }
    annotations = made["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io"
    assert annotations[f"{prefix}/rewrite-target"] == "/$2"
    assert annotations[f"{prefix}/proxy-body-size"] == "0", "the nginx family refuses more than 1 MB otherwise"
    assert annotations[f"{prefix}/proxy-read-timeout"] == "86400", "and cuts the connection after 60 s"


def test_an_ingress_may_have_a_host_so_that_the_paths_of_others_stay_what_they_are() -> None:
    made = manifest(cluster("ingress", ingress={"host": "models.example.com"}))
    (rule,) = made["spec"]["rules"]
    assert rule["host"] == "models.example.com"
    assert rule["http"]["paths"][0]["path"] == f"/{POD_NAME}(/|$)(.*)"


def test_an_ingress_of_another_kind_is_a_matter_of_settings() -> None:
    own = {
        "class_name": "traefik",
        "path": "/{name}",
        "path_type": "Prefix",
        "annotations": {"x/strip": "/{name}", "x/wait": "{scoring_seconds}s", "x/other": "{kept}"},
    }
    made = manifest(cluster("ingress", ingress=own))
    assert made["spec"]["ingressClassName"] == "traefik"
    path = made["spec"]["rules"][0]["http"]["paths"][0]
    assert (path["path"], path["pathType"]) == (f"/{POD_NAME}", "Prefix")
    assert made["metadata"]["annotations"] == {"x/strip": f"/{POD_NAME}", "x/wait": "86400s", "x/other": "{kept}"}


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ("gateway", "/apis/gateway.networking.k8s.io/v1/namespaces/a/httproutes"),
        ("ingress", "/apis/networking.k8s.io/v1/namespaces/a/ingresses"),
    ],
)
def test_routes_are_made_where_the_api_has_them(route: str, path: str) -> None:
    assert routes.path(route, "a") == path


@pytest.mark.parametrize(
    ("route", "address", "url"),
    [
        ("gateway", "10.0.0.7", f"{GATEWAY_URL}/{POD_NAME}"),
        ("ingress", "10.0.0.7", f"{GATEWAY_URL}/{POD_NAME}"),
        ("pod_ip", "10.0.0.7", "http://10.0.0.7:8080"),
        ("pod_ip", "fd00::7", "http://[fd00::7]:8080"),
    ],
)
def test_the_address_of_a_model_has_no_slash_at_its_end(route: str, address: str, url: str) -> None:
    pod = running() | {"status": {"podIP": address}}
    assert routes.url(cluster(route), POD_NAME, pod, 8080) == url
