"""What a container's process is started with: command, directory, environment."""

from __future__ import annotations

import base64
import os
import re
import shutil
from pathlib import Path
from typing import Any

from local.cluster.resources import CONFIG_MAPS, SECRETS, KubeObject
from local.cluster.store import Store
from local.images import inside

# All addresses of a container's own network: of a process, those of all others, too.
_ALL_ADDRESSES = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])")
_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.][-A-Za-z0-9_.]*)\))")


class ConfigError(Exception):
    """A container cannot be created as it is configured (CreateContainerConfigError)."""


class CommandNotFound(Exception):
    """A container was created, but its command cannot be started (StartError)."""


def variables(store: Store, pod: KubeObject, container: dict[str, Any], known: dict[str, str]) -> dict[str, str]:
    """The container's environment: ``known`` (image and kubelet), then the pod's own. Raises ConfigError."""
    namespace = pod["metadata"]["namespace"]
    found = dict(known)
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix", "")
        for kind in ("configMapRef", "secretRef"):
            if kind in source:
                data = _data(store, namespace, kind, source[kind])
                found |= {prefix + key: value for key, value in data.items()}
    for variable in container.get("env") or []:
        value = _value(store, pod, container, variable, found)
        if value is not None:
            found[variable["name"]] = value
    return found


def _value(
    store: Store, pod: KubeObject, container: dict[str, Any], variable: dict[str, Any], found: dict[str, str]
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value", ""), found)
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        kind, _, name = source["resourceFieldRef"]["resource"].partition(".")
        return str((container["resources"].get(kind) or {}).get(name, "0"))
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            reference = source[kind]
            data = _data(store, pod["metadata"]["namespace"], kind, reference)
            if reference["key"] in data:
                return data[reference["key"]]
            if not reference.get("optional"):
                what = "ConfigMap" if kind == "configMapKeyRef" else "Secret"
                raise ConfigError(
                    f"couldn't find key {reference['key']} in {what} {pod['metadata']['namespace']}/{reference['name']}"
                )
    return None


def _data(store: Store, namespace: str, kind: str, reference: dict[str, Any]) -> dict[str, str]:
    resource = CONFIG_MAPS if kind.startswith("configMap") else SECRETS
    obj = store.get(resource, namespace, reference["name"])
    if obj is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{resource.kind.lower()} "{reference["name"]}" not found')
    if resource is CONFIG_MAPS:
        return obj.get("data") or {}
    encoded = {key: base64.b64decode(value).decode() for key, value in (obj.get("data") or {}).items()}
    return encoded | (obj.get("stringData") or {})


def _field(pod: KubeObject, path: str) -> str:
    match = re.fullmatch(r"(metadata\.(?:labels|annotations))\['([^']+)'\]", path)
    steps = [*match[1].split("."), match[2]] if match else path.split(".")
    value: Any = pod
    for step in steps:
        value = (value or {}).get(step)
    return "" if value is None else str(value)


def check_user(pod: KubeObject, container: dict[str, Any], image_user: str) -> None:
    """Refuse an image that runs as root where the pod says it must not. Raises ConfigError.

    A process runs as whoever runs the cluster; what would happen in a real one is said all the same.
    """
    context = (pod["spec"].get("securityContext") or {}) | (container.get("securityContext") or {})
    if not context.get("runAsNonRoot"):
        return
    metadata = pod["metadata"]
    where = f'(pod: "{metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})", container: {container["name"]})'
    user = image_user.partition(":")[0]
    if context.get("runAsUser") == 0:
        raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
    if context.get("runAsUser") is not None:
        return
    if user in ("", "0"):
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if not user.isdecimal():
        why = f"image has non-numeric user ({user}), cannot verify user is non-root"
        raise ConfigError(f"container has runAsNonRoot and {why} {where}")


def expand(text: str, values: dict[str, str]) -> str:
    """``$(NAME)`` as Kubernetes replaces it: an unknown name stays as it is, ``$$`` is a dollar."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else values.get(match[2], match[0])

    return _REFERENCE.sub(replace, text)


def command(container: dict[str, Any], entrypoint: list[str], cmd: list[str], env: dict[str, str]) -> list[str]:
    """The command line: the pod's ``command`` and ``args``, else the image's ENTRYPOINT and CMD."""
    first = container.get("command") or entrypoint
    rest = container.get("args") or ([] if container.get("command") else cmd)
    words = [expand(word, env) for word in [*first, *rest]]
    if not words:
        raise CommandNotFound("no command specified")
    return words


def at_own_address(text: str, address: str) -> str:
    """The text with the pod's address in the place of all addresses."""
    return _ALL_ADDRESSES.sub(address, text)


def localize(words: list[str], rootfs: Path, directory: Path, env: dict[str, str]) -> list[str]:
    """The same command for a process that has no root of its own.

    A word that names a file of the image by its absolute path becomes the file's path in the copied root, and all addresses
    become the pod's own (HOST). The program itself may also be one of this machine, which stands in for the image's base.
    Raises CommandNotFound.
    """
    words = [at_own_address(word, env["HOST"]) for word in words]
    program = words[0]
    if "/" not in program:
        found = shutil.which(program, path=env["PATH"])
        if found is None:
            raise CommandNotFound(f'exec: "{program}": executable file not found in $PATH')
        words = [found, *words[1:]]
    elif not program.startswith("/"):
        words = [str(directory / program), *words[1:]]
    localized = [str(inside(word, rootfs) or word) for word in words]
    file = Path(localized[0])
    if not file.exists():
        raise CommandNotFound(f'exec: "{program}": stat {program}: no such file or directory')
    if not os.access(file, os.X_OK) or file.is_dir():
        raise CommandNotFound(f'exec: "{program}": permission denied')
    return localized
