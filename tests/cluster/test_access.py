"""Who may do what: RBAC for the groups of ``cluster/rbac.yaml``, and tokens that a webhook vouches for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.client import Client, Namespace, Refused
from tests.cluster.conftest import Cluster
from tests.cluster.embedded import ROOT, EmbeddedCluster
from tests.cluster.manifests import ingress, pod, route, service

REFUSALS = json.loads((Path(__file__).parent / "data" / "refusals.json").read_text())
NOWHERE = {"kubernetes.io/hostname": "no-such-node"}
VERBS = ("create", "get", "list", "watch", "delete", "patch", "deletecollection")

# What each group may, by kind; nothing else, not even in its own namespace.
ALLOWED = {
    "launch": {
        "pods": {"create", "get", "watch"},
        "events": {"list"},
        **{kind: {"create", "get"} for kind in ("services", "httproutes", "ingresses")},
    },
    "watch": {
        "pods": {"get", "watch"},
        "pods/log": {"get"},
        "events": {"list"},
        "httproutes": {"get"},
        "ingresses": {"get"},
    },
    "tear-down": {kind: {"list", "delete"} for kind in ("pods", "services", "httproutes", "ingresses")},
}
KINDS = ("pods", "pods/log", "services", "events", "httproutes", "ingresses", "configmaps", "secrets", "roles")


@pytest.fixture
def roles(namespace: Namespace) -> Namespace:
    """A namespace with the roles of ``cluster/``."""
    for obj in yaml.safe_load_all((ROOT / "cluster" / "rbac.yaml").read_text()):
        namespace.create(obj["kind"].lower() + "s", obj)
    return namespace


def _try(namespace: Namespace, kind: str, verb: str) -> bool:
    """Whether a verb gets past authorization; what it is about does not exist."""
    plural, _, subresource = kind.partition("/")
    collection, single = namespace.path(plural), namespace.path(plural, "absent")
    if subresource:
        single += f"/{subresource}"
    requests: dict[str, tuple[str, str, dict[str, Any]]] = {
        "create": ("POST", collection, {"body": _MANIFESTS.get(kind, {"metadata": {"name": "a"}})}),
        "get": ("GET", single, {}),
        "list": ("GET", collection, {}),
        "watch": ("GET", collection, {"query": {"watch": "true", "timeoutSeconds": "1"}}),
        "delete": ("DELETE", single, {}),
        "patch": ("PATCH", single, {"body": {}, "content_type": "application/merge-patch+json"}),
        "deletecollection": ("DELETE", collection, {"query": {"labelSelector": "no=such"}}),
    }
    method, path, options = requests[verb]
    response = namespace.client.send(method, path, **options)
    status = response.status
    response.close()
    return status != 403


_MANIFESTS = {
    "pods": pod("absent-too", "image:1", nodeSelector=NOWHERE),
    "services": service("absent-too", "a"),
    "httproutes": route("absent-too", "g", "/p", "b"),
    "ingresses": ingress("absent-too", "/p", "b"),
}


@pytest.mark.parametrize("group", sorted(ALLOWED))
def test_each_group_may_do_its_work_and_nothing_else(cluster: Cluster, roles: Namespace, group: str) -> None:
    member = roles.seen_by(cluster.client.impersonate("some-function", f"dropscore:{group}"))
    kinds = [kind for kind in KINDS if kind != "httproutes" or cluster.gateway_url]
    allowed = {
        (kind, verb)
        for kind in kinds
        for verb in (("get",) if kind == "pods/log" else VERBS)
        if _try(member, kind, verb)
    }
    assert allowed == {(kind, verb) for kind, verbs in ALLOWED[group].items() for verb in verbs if kind in kinds}


@pytest.mark.parametrize("group", sorted(ALLOWED))
def test_a_role_ends_at_its_namespace(cluster: Cluster, roles: Namespace, group: str) -> None:
    member = cluster.client.impersonate("some-function", f"dropscore:{group}")
    assert not _try(member.namespace("default"), "pods", "get")
    with pytest.raises(Refused, match="at the cluster scope"):
        member.call("GET", "/api/v1/pods")
    with pytest.raises(Refused, match="at the cluster scope"):
        member.call("GET", "/api/v1/namespaces")


def test_a_refusal_reads_as_recorded(cluster: Cluster, namespace: Namespace) -> None:
    nobody = cluster.client.impersonate("token-nobody")
    with pytest.raises(Refused) as refused:
        namespace.seen_by(nobody).find("pods")
    expected = json.dumps(REFUSALS["rbac-403"]).replace("evidence", namespace.name)
    assert refused.value.status == json.loads(expected)
    assert refused.value.http_status == 403


@pytest.mark.parametrize(
    ("method", "plural", "tail", "what", "verb", "resource", "group"),
    [
        ("GET", "pods", "/a", 'pods "a"', "get", "pods", ""),
        ("GET", "pods", "/a/log", 'pods "a"', "get", "pods/log", ""),
        ("POST", "services", "", "services", "create", "services", ""),
        ("DELETE", "ingresses", "/a", 'ingresses.networking.k8s.io "a"', "delete", "ingresses", "networking.k8s.io"),
    ],
)
def test_a_refusal_names_what_was_wanted(
    cluster: Cluster,
    namespace: Namespace,
    method: str,
    plural: str,
    tail: str,
    what: str,
    verb: str,
    resource: str,
    group: str,
) -> None:
    path = namespace.path(plural) + tail
    body = service("a", "b") if method == "POST" else None
    with pytest.raises(Refused) as refused:
        cluster.client.impersonate("u").call(method, path, body)
    assert refused.value.message.startswith(
        f'{what} is forbidden: User "u" cannot {verb} resource "{resource}" in API group "{group}" '
        f'in the namespace "{namespace.name}"'
    )


def test_a_role_may_name_single_objects(cluster: Cluster, namespace: Namespace) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"], "resourceNames": ["mine"]}
    namespace.create("roles", {"metadata": {"name": "one"}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "someone"}
    namespace.create("rolebindings", {"metadata": {"name": "one"}, "roleRef": reference, "subjects": [subject]})
    namespace.create("configmaps", {"metadata": {"name": "mine"}})
    namespace.create("configmaps", {"metadata": {"name": "yours"}})
    someone = namespace.seen_by(cluster.client.impersonate("someone"))
    assert someone.get("configmaps", "mine")
    with pytest.raises(Refused, match='configmaps "yours" is forbidden'):
        someone.get("configmaps", "yours")
    with pytest.raises(Refused, match="configmaps is forbidden"):
        someone.find("configmaps")


def test_one_may_ask_what_one_may(cluster: Cluster, roles: Namespace) -> None:
    """`kubectl auth can-i`, and what make demo asks of a cluster of yours."""
    member = cluster.client.impersonate("some-function", "dropscore:tear-down")
    path, review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"kind": "SelfSubjectAccessReview"}
    answers = {}
    for verb, where in (("delete", roles.name), ("create", roles.name), ("delete", "")):
        asked = {"verb": verb, "resource": "pods", "namespace": where}
        body = review | {"apiVersion": "authorization.k8s.io/v1", "spec": {"resourceAttributes": asked}}
        answers[verb, bool(where)] = member.call("POST", path, body)["status"]["allowed"]
    assert answers == {("delete", True): True, ("create", True): False, ("delete", False): False}


def test_without_a_token_one_is_anonymous(cluster: Cluster, embedded_cluster: EmbeddedCluster) -> None:
    anonymous = Client(cluster.client.api, {"Authorization": ""})
    with pytest.raises(Refused, match='User "system:anonymous" cannot list resource "pods"'):
        anonymous.call("GET", "/api/v1/pods")
    assert anonymous.call("GET", "/version")


def test_the_webhook_tells_users_by_their_token(
    cluster: Cluster, roles: Namespace, embedded_cluster: EmbeddedCluster
) -> None:
    token = f"token-of-{roles.name}"
    embedded_cluster.tokens[token] = {"username": "arn:aws:sts::1:assumed-role/f", "groups": ["dropscore:tear-down"]}
    member = roles.seen_by(cluster.client.with_token(token))
    for _ in range(3):
        assert member.find("pods")["items"] == []
    with pytest.raises(Refused, match='User "arn:aws:sts::1:assumed-role/f" cannot create resource "pods"'):
        member.create("pods", pod("a", "image:1"))
    assert embedded_cluster.tokens[token]["reviews"] == 1, "a good answer is remembered for a while"
    disguised = Client(cluster.client.api, {"Authorization": f"Bearer {token}", "Impersonate-User": "admin"})
    with pytest.raises(Refused, match=r'users "admin" is forbidden: .* cannot impersonate resource "users"'):
        disguised.call("GET", roles.path("pods"))


def test_a_token_the_webhook_does_not_know_is_tried_again(
    cluster: Cluster, roles: Namespace, embedded_cluster: EmbeddedCluster
) -> None:
    token = f"later-{roles.name}"
    member = roles.seen_by(cluster.client.with_token(token))
    with pytest.raises(Refused) as refused:
        member.find("pods")
    assert refused.value.http_status == 401
    embedded_cluster.tokens[token] = {"username": "u", "groups": ["dropscore:tear-down"]}
    assert member.find("pods")["items"] == []
