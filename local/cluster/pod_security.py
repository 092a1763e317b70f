"""Pod Security admission: what a namespace's label ``pod-security.kubernetes.io/enforce`` keeps out (403).

The checks of the profiles ``baseline`` and ``restricted`` that can be told from the fields a model's pod has. Source of
rules and sentences: k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from local.cluster import errors, podspec
from local.cluster.resources import NAMESPACES, PODS, KubeObject
from local.cluster.store import Store

_LABEL = "pod-security.kubernetes.io/enforce"
# What "baseline" lets a container add, and "restricted" lets it keep.
_BASELINE_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
     "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)  # fmt: skip
_RESTRICTED_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})
_RESTRICTED_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)

Container = dict[str, Any]


def admit(store: Store, pod: KubeObject) -> None:
    """Refuse a pod that its namespace's profile does not allow."""
    namespace = store.get(NAMESPACES, None, pod["metadata"]["namespace"])
    labels = (namespace or {"metadata": {}})["metadata"].get("labels") or {}
    profile = labels.get(_LABEL, "privileged")
    problems: list[str] = []
    if profile in ("baseline", "restricted"):
        problems += _baseline(pod["spec"])
    if profile == "restricted":
        problems += _restricted(pod["spec"])
    if problems:
        version = labels.get(f"{_LABEL}-version", "latest")
        detail = f'violates PodSecurity "{profile}:{version}": {", ".join(problems)}'
        raise errors.forbidden(PODS, pod["metadata"]["name"], detail)


def _baseline(spec: dict[str, Any]) -> Iterator[str]:
    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if shared:
        yield f"host namespaces ({', '.join(shared)})"
    host_paths = [volume["name"] for volume in spec.get("volumes") or [] if "hostPath" in volume]
    if host_paths:
        yield f"hostPath volumes ({_named('volume', host_paths)})"
    ports = _who(spec, lambda one: any(port.get("hostPort") for port in one.get("ports") or []))
    if ports:
        yield f"hostPort ({_named('container', ports)} uses a hostPort)"
    privileged = _who(spec, lambda one: _context(one).get("privileged"))
    if privileged:
        yield f"privileged ({_named('container', privileged)} must not set securityContext.privileged=true)"
    adding = _who(spec, lambda one: _added(one) - _BASELINE_CAPABILITIES)
    if adding:
        yield (
            f"non-default capabilities ({_named('container', adding)} must not include "
            f"{_quoted(spec, adding, _BASELINE_CAPABILITIES)} in securityContext.capabilities.add)"
        )


def _restricted(spec: dict[str, Any]) -> Iterator[str]:
    escalating = _who(spec, lambda one: _context(one).get("allowPrivilegeEscalation") is not False)
    if escalating:
        must = "must set securityContext.allowPrivilegeEscalation=false"
        yield f"allowPrivilegeEscalation != false ({_named('container', escalating)} {must})"
    keeping = _who(spec, lambda one: "ALL" not in (_context(one).get("capabilities") or {}).get("drop", []))
    if keeping:
        must = 'must set securityContext.capabilities.drop=["ALL"]'
        yield f"unrestricted capabilities ({_named('container', keeping)} {must})"
    adding = _who(spec, lambda one: _added(one) & (_BASELINE_CAPABILITIES - _RESTRICTED_CAPABILITIES))
    if adding:
        yield (
            f"unrestricted capabilities ({_named('container', adding)} must not include "
            f"{_quoted(spec, adding, _RESTRICTED_CAPABILITIES)} in securityContext.capabilities.add)"
        )
    for volume in spec.get("volumes") or []:
        kind = next((key for key in volume if key != "name"), "emptyDir")
        if kind not in _RESTRICTED_VOLUMES:
            yield f'restricted volume types (volume "{volume["name"]}" uses restricted volume type "{kind}")'
    of_pod = spec.get("securityContext") or {}
    as_root = _who(spec, lambda one: not _context(one).get("runAsNonRoot", of_pod.get("runAsNonRoot")))
    if as_root:
        must = "must set securityContext.runAsNonRoot=true"
        yield f"runAsNonRoot != true (pod or {_named('container', as_root)} {must})"
    if of_pod.get("runAsUser") == 0:
        yield "runAsUser=0 (pod must not set runAsUser=0)"
    root_users = _who(spec, lambda one: _context(one).get("runAsUser") == 0)
    if root_users:
        yield f"runAsUser=0 ({_named('container', root_users)} must not set runAsUser=0)"
    profile = of_pod.get("seccompProfile") or {}
    unconfined = _who(spec, lambda one: not _is_confined(_context(one).get("seccompProfile") or profile))
    if unconfined:
        must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield f"seccompProfile (pod or {_named('container', unconfined)} {must})"


def _context(container: Container) -> dict[str, Any]:
    return container.get("securityContext") or {}


def _added(container: Container) -> set[str]:
    return set((_context(container).get("capabilities") or {}).get("add") or [])


def _is_confined(profile: dict[str, Any]) -> bool:
    return profile.get("type") in ("RuntimeDefault", "Localhost")


def _who(spec: dict[str, Any], breaks: Callable[[Container], Any]) -> list[str]:
    return [container["name"] for container in podspec.all_containers(spec) if breaks(container)]


def _named(what: str, names: list[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"{what} {quoted}" if len(names) == 1 else f"{what}s {quoted}"


def _quoted(spec: dict[str, Any], names: list[str], allowed: frozenset[str]) -> str:
    added = {
        one for container in podspec.all_containers(spec) if container["name"] in names for one in _added(container)
    }
    return ", ".join(f'"{one}"' for one in sorted(added - allowed))
