"""What is done to pods, executions and functions while the storm lasts."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Mapping
from typing import Any

from kubernetes.client.exceptions import ApiException

from tests.e2e.faults.processes import environments, workers
from tests.e2e.pipeline import OURS, Pipeline
from tests.e2e.storm.plan import Fault

# Those that Step Functions alone invokes. EventBridge invokes PersistError and TearDown as well, and what AWS would try again for
# hours, when they are throttled or killed, the embedded EventBridge tries once.
FUNCTIONS = ("ResolveRequest", "LaunchPod", "AwaitPod", "StreamFile", "PersistOutput")
EVERY_SECONDS = 5.0


class Mischief(threading.Thread):
    """Looks for pods of files that have something coming, and kills a function's process now and then.

    `executions` are those of `score_file` by the file_id that their pods are labelled with.
    """

    def __init__(self, pipeline: Pipeline, plan: Mapping[str, Fault], executions: Mapping[str, str], seed: int) -> None:
        super().__init__(daemon=True)
        self._pipeline, self._plan, self._executions = pipeline, plan, executions
        self._chance, self._over = random.Random(seed), threading.Event()
        self.done: dict[str, str] = {}
        self.workers_killed = 0

    def stop(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        looks = 0
        while not self._over.wait(0.5):
            looks += 1
            for pod in self._pipeline.call("GET", self._pipeline.path("pods"), {"labelSelector": OURS})["items"]:
                file_id = pod["metadata"]["labels"]["dropscore.io/file"]
                fault = self._plan[file_id]
                if fault.meanwhile and file_id not in self.done and ready(pod):
                    self._do(fault.meanwhile, pod, file_id)
            if looks % (EVERY_SECONDS * 2) == 0:
                self._kill_a_worker()

    def _do(self, what: str, pod: Mapping[str, Any], file_id: str) -> None:
        if what == "delete":
            try:
                self._pipeline.call("DELETE", self._pipeline.path("pods", pod["metadata"]["name"]))
            except ApiException:  # it has ended by itself meanwhile
                return
        elif what == "kill":
            address = pod["status"]["podIP"]
            for pid in [pid for pid, variables in environments() if variables.get("HOST") == address]:
                os.kill(pid, signal.SIGKILL)
        else:
            self._pipeline.sfn.stop_execution(executionArn=self._executions[file_id])
        self.done[file_id] = what

    def _kill_a_worker(self) -> None:
        found = [pid for function in FUNCTIONS for pid in workers(self._pipeline, function)]
        if found:
            os.kill(self._chance.choice(found), signal.SIGKILL)
            self.workers_killed += 1


def ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
