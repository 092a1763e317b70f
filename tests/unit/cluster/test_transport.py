"""The transport comes without the client's models, and leaves the client whole: each in an interpreter of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import scoring

_LEAVES_THE_CLIENT_WHOLE = """
import sys
from scoring.cluster import transport
transport = transport.load()
loaded = [module.__name__ for module in transport]
assert loaded == [f"kubernetes.client.{name}" for name in ("configuration", "exceptions", "rest")], loaded
left = [name for name in sys.modules if name.startswith(("kubernetes", "requests"))]
assert not left, f"somebody's import would find half of it: {left}"
import requests
assert requests.Session().get_adapter("https://a")
from kubernetes.client import ApiClient, V1Pod
assert ApiClient().sanitize_for_serialization(V1Pod(kind="Pod")) == {"kind": "Pod"}
"""
_LOADS_NO_MODELS = """
import sys
def refuse(name, path=None, target=None):
    if name.startswith(("kubernetes.client.models", "kubernetes.client.api", "kubernetes.config", "requests.sessions")):
        raise AssertionError(f"{name} was loaded")
sys.meta_path.insert(0, type("Finder", (), {"find_spec": staticmethod(refuse)}))
from scoring.cluster import transport
transport.load()
"""
_TAKES_THE_WHOLE_CLIENT = """
from kubernetes.client.exceptions import ApiException
from scoring.cluster import transport
assert transport.load().exceptions.ApiException is ApiException
"""
_MISSES_THE_LAYER = """
import sys
sys.path[:] = [path for path in sys.path if "site-packages" not in path]
from scoring.cluster import transport
try:
    transport.load()
except ModuleNotFoundError as error:
    assert error.name == "kubernetes"
else:
    raise AssertionError("found")
"""


@pytest.mark.parametrize(
    "program", [_LEAVES_THE_CLIENT_WHOLE, _LOADS_NO_MODELS, _TAKES_THE_WHOLE_CLIENT, _MISSES_THE_LAYER]
)
def test_in_an_interpreter_of_its_own(program: str) -> None:
    layer = str(Path(scoring.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": layer}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
