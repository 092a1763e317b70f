"""Repair: Python functions run in AWS's own Lambda runtime client.

MiniStack's worker for Python reports every exception as `Runtime.HandlerError`, shares MiniStack's packages with the
function and does not set what AWS sets. Its worker for custom runtimes serves the real Lambda Runtime API; so a Python
function becomes one of those here, with a `bootstrap` that starts awslambdaric in an environment of its own.
"""

import hashlib
import io
import os
import shlex
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

RUNTIME = Path(__file__).with_name("runtime.py")
# What a function still gets from MiniStack's environment; on AWS it would get none of it.
INHERITED = ("PATH", "LANG", "TMPDIR")


def repair(python: Path, cache: Path) -> None:
    """Run every python3.x function with `python`; keep unpacked archives in `cache`, by content, across restarts."""
    cache.mkdir(parents=True, exist_ok=True)

    def unpacked(*archives: bytes) -> str:
        """Unpack archives over each other, in order; return the folder."""
        digest = hashlib.sha256(b"".join(hashlib.sha256(archive).digest() for archive in archives)).hexdigest()
        folder = cache / digest
        with lambda_svc._provided_code_lock:  # no process may start while a bootstrap is open for writing
            if not folder.exists():
                scratch = Path(tempfile.mkdtemp(dir=cache))
                for archive in archives:
                    with zipfile.ZipFile(io.BytesIO(archive)) as content:
                        content.extractall(scratch)
                if (scratch / "bootstrap").exists():
                    (scratch / "bootstrap").chmod(0o755)
                scratch.chmod(0o755)
                try:
                    scratch.rename(folder)
                except OSError:  # another stack on this machine was first
                    shutil.rmtree(scratch)
        return str(folder)

    class PythonWorker(lambda_runtime.ProvidedWorker):  # type: ignore[misc]  # MiniStack has no type hints
        """One execution environment of a python3.x function."""

        def __init__(self, func_name: str, config: dict[str, Any], code_zip: bytes) -> None:
            layers = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or []]
            start = shlex.join([str(python), "-I", str(RUNTIME), unpacked(*filter(None, layers))])
            super().__init__(func_name, config, with_bootstrap(code_zip, f"#!/bin/sh\nexec {start}\n"))

    custom_worker_class = lambda_runtime._worker_class_for
    custom_environment = lambda_svc._provided_worker_env
    execute_other = lambda_svc._execute_function_warm

    def worker_class(config: dict[str, Any]) -> type:
        return PythonWorker if is_python(config) else custom_worker_class(config)

    def environment(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
        settings = custom_environment(config, code_dir, port)
        return as_on_aws(config, settings) if is_python(config) else settings

    def execute(function: dict[str, Any], event: object, request_id: str) -> dict[str, Any]:
        python_function = is_python(function.get("config") or function)
        run = lambda_svc._execute_function_provided_warm if python_function else execute_other
        result: dict[str, Any] = run(function, event, request_id)
        if python_function and result.get("error") and result["body"].get("errorType") == "Runtime.Unknown":
            result["body"]["errorType"] = "Runtime.ExitError"  # the process ended before it took its first event
        return result

    lambda_runtime._worker_class_for = worker_class
    lambda_svc._provided_runtime_code_dir = unpacked
    lambda_svc._provided_worker_env = environment
    lambda_svc._execute_function_warm = execute


def is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python3")


def with_bootstrap(code_zip: bytes, script: str) -> bytes:
    """Add the entry point of a custom runtime to a function's archive; same input, same bytes."""
    archive = io.BytesIO(code_zip)
    with zipfile.ZipFile(archive, "a") as content:
        content.writestr(zipfile.ZipInfo("bootstrap"), script)
    return archive.getvalue()


def as_on_aws(config: dict[str, Any], settings: dict[str, str]) -> dict[str, str]:
    """A function's environment: without MiniStack's own settings, with those that AWS's Python runtime has besides."""
    leaked = {name for name, value in os.environ.items() if settings.get(name) == value}
    kept = {name: value for name, value in settings.items() if name not in leaked or name.startswith("AWS_")}
    logging = config.get("LoggingConfig") or {}
    return {
        **{name: os.environ[name] for name in INHERITED if name in os.environ},
        "TZ": ":UTC",
        "PYTHONUNBUFFERED": "1",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": logging.get("LogFormat", "Text"),
        "AWS_LAMBDA_LOG_GROUP_NAME": logging.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        # Traces are sent by UDP: to a port where nothing listens they cost nothing and harm nobody.
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9",
        **kept,
    }
