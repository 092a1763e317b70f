"""The transport of the Kubernetes client, without the rest of it.

`import kubernetes` loads 700 model classes and an API class for each group. Lambda compiles them anew at every cold start,
since layers bring no bytecode: 1.3 s of a whole core and 70 MiB, of which a caller that sends and reads plain dicts uses
nothing. Its transport alone (connections, proxies, time-outs, refusals as ApiException) takes 0.06 s and 3 MiB.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any, NamedTuple

# Of requests, the transport wants one function (which hosts a proxy is not for), and would load all of it for that.
_PACKAGES = ("kubernetes", "kubernetes.client", "requests")


class Transport(NamedTuple):
    """The modules of `kubernetes.client` that carry a request: as untyped as the client is."""

    configuration: Any
    exceptions: Any
    rest: Any


def load() -> Transport:
    """Import the transport; the whole client where somebody has imported it already.

    The packages are entered as empty modules that only know their folders, so that their `__init__` does not run, and
    leave `sys.modules` again: whoever imports the client afterwards gets the whole of it.

    Raises
    ------
    ModuleNotFoundError
        The function does not carry the Kubernetes layer.
    """
    before = set(sys.modules)
    try:
        for name in _PACKAGES:
            if name not in before:
                sys.modules[name] = _empty(name)
        return _import()
    finally:
        packages = {name.partition(".")[0] for name in _PACKAGES}
        for name in [name for name in sys.modules if name.partition(".")[0] in packages and name not in before]:
            del sys.modules[name]


def _import() -> Transport:
    return Transport(*(importlib.import_module(f"kubernetes.client.{name}") for name in Transport._fields))


def _empty(name: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = ModuleType(name)
    module.__path__ = list(spec.submodule_search_locations or ())
    return module
