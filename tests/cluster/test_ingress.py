"""Models behind an Ingress of the class nginx."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cluster.client import Namespace
from tests.cluster.conftest import Cluster, new_namespace
from tests.cluster.manifests import ingress, is_ready, model, service
from tests.cluster.traffic import MEGABYTE, ask, ask_until


@dataclass(frozen=True)
class Served:
    """A namespace with a model, its service and an ingress that takes the prefix away."""

    namespace: Namespace
    root: str
    prefix: str

    @property
    def url(self) -> str:
        return self.root + self.prefix

    def add(self, name: str, tail: str = "(/|$)(.*)", backend: str = "model", host: str = "", **options: str) -> str:
        """Another ingress, and its URL."""
        prefix = f"{self.prefix}-{name}"
        manifest = ingress(name, prefix + tail, backend, **options)
        if host:
            manifest["spec"]["rules"][0]["host"] = host
        self.namespace.create("ingresses", manifest)
        return self.root + prefix


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Iterator[Served]:
    if cluster.ingress_url is None:
        pytest.skip("no ingress to reach models through: ROUTE=ingress and URL=…")
    with new_namespace(cluster) as namespace:
        found = Served(namespace, cluster.ingress_url, f"/{namespace.name}")
        namespace.create("pods", model("model", cluster.image))
        namespace.create("services", service("model", "model"))
        namespace.create("ingresses", ingress("model", f"{found.prefix}(/|$)(.*)", "model", rewrite_target="/$2"))
        namespace.wait("pods", "model", is_ready)
        ask_until(f"{found.url}/", 200)
        yield found


@pytest.mark.parametrize(
    ("asked", "arrives"),
    [("", "/"), ("/", "/"), ("/query/1.2/log", "/query/1.2/log"), ("/a?q=1", "/a?q=1"), ("?q=1", "/?q=1")],
)
def test_the_groups_of_the_path_make_the_new_one(served: Served, asked: str, arrives: str) -> None:
    assert ask(served.url + asked).body.decode() == arrives


def test_another_path_is_not_found(served: Served) -> None:
    assert ask(f"{served.url}x/y").status == 404


def test_without_a_rewrite_the_path_stays(served: Served) -> None:
    url = served.add("prefix", tail="", kind="Prefix")
    ask_until(url, 200)
    assert ask(f"{url}/a/b?q=1").body.decode() == f"{served.prefix}-prefix/a/b?q=1"


def test_one_ingress_makes_all_paths_of_its_host_regular_expressions(served: Served) -> None:
    """Ours do that to others, unless they have a host of their own (`ingress.host`)."""
    url = served.add("exact", tail="", kind="Exact")
    assert ask_until(f"{url}x", 200).body.decode() == f"{served.prefix}-exactx"
    assert ask(url.upper().replace("HTTP", "http")).status == 200


def test_the_paths_of_another_host_stay_what_they_are(served: Served) -> None:
    host = {"Host": f"{served.namespace.name}.example.com"}
    exact, prefix = (
        served.add(f"host-{kind}", tail="", kind=kind.title(), host=host["Host"]) for kind in ("exact", "prefix")
    )
    ask_until(exact, 200, headers=host)
    ask_until(prefix, 200, headers=host)
    assert ask(f"{prefix}/a", headers=host).status == 200
    for url in (f"{exact}/a", f"{exact}x", f"{prefix}x"):
        assert ask(url, headers=host).status == 404


@pytest.mark.parametrize("class_name", [None, "no-such-class"])
def test_without_a_class_of_its_own_nobody_serves_it(served: Served, class_name: str | None) -> None:
    name = f"class-{class_name}".lower()
    manifest = ingress(name, f"{served.prefix}-{name}", "model", kind="Prefix")
    del manifest["spec"]["ingressClassName"]
    if class_name:
        manifest["spec"]["ingressClassName"] = class_name
    served.namespace.create("ingresses", manifest)
    ask_until(served.add(f"after-{name}", rewrite_target="/$2"), 200)
    assert ask(f"{served.url}-{name}/").status == 404
    assert not served.namespace.get("ingresses", name)["status"]["loadBalancer"]


def test_a_body_may_have_a_megabyte(served: Served) -> None:
    assert ask(f"{served.url}/x", "POST", MEGABYTE).json()["size"] == len(MEGABYTE)
    assert ask(f"{served.url}/x", "POST", MEGABYTE + b"1").status == 413


def test_a_body_of_unknown_length_is_counted(served: Served) -> None:
    assert ask(f"{served.url}/x", "POST", (MEGABYTE[: 2**17] for _ in range(7))).json()["size"] == 7 * 2**17
    assert ask(f"{served.url}/x", "POST", (MEGABYTE[: 2**17] for _ in range(9))).status == 413


def test_the_size_of_a_body_can_be_set(served: Served) -> None:
    for name, size in (("any", "0"), ("more", "2m")):
        url = served.add(name, rewrite_target="/$2", proxy_body_size=size)
        ask_until(url, 200)
        assert ask(f"{url}/x", "POST", MEGABYTE + b"1").json()["size"] == len(MEGABYTE) + 1
    assert ask(f"{url}/x", "POST", MEGABYTE * 3).status == 413


def test_the_time_to_answer_can_be_set(served: Served) -> None:
    url = served.add("quick", rewrite_target="/$2", proxy_read_timeout="1", proxy_next_upstream="off")
    ask_until(url, 200)
    start = time.monotonic()
    assert ask(f"{url}/wait/10").status == 504
    assert time.monotonic() - start < 5
    assert ask(f"{url}/wait/0.3").status == 200


def test_without_a_ready_pod_it_is_unavailable(served: Served) -> None:
    served.namespace.create("services", service("nobody", "nobody"))
    ask_until(served.add("nobody", backend="nobody", rewrite_target="/$2"), 503)


def test_a_pod_that_says_nothing_is_a_bad_gateway(served: Served) -> None:
    assert ask(f"{served.url}/close").status == 502


def test_an_ingress_says_where_it_is(served: Served) -> None:
    found = served.namespace.wait(
        "ingresses", "model", lambda obj: (obj["status"].get("loadBalancer") or {}).get("ingress"), timeout=90
    )
    assert set(found["status"]["loadBalancer"]["ingress"][0]) & {"ip", "hostname"}
