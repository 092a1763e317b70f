"""Compare a pod and its events with what was recorded on a real cluster (Kubernetes 1.20).

Names, addresses and times are taken out of both. What is left has to be the same: keys, reasons, sentences. A newer
cluster may add keys and go on after a sentence; the embedded cluster may not.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

KubeObject = dict[str, Any]

DATA = Path(__file__).parent / "data"

# How far a pull's failure is the same everywhere: what follows is the registry's or the network's own.
_PULL_FAILURE = re.compile(r'failed to resolve reference "(docker\.io/library/)?<image>": ')
# Where newer servers word something differently altogether.
_NEWER = (
    (re.compile(r"^Created container: "), "Created container "),
    (re.compile(r"node\(s\) didn't match Pod's node affinity/selector"), "node(s) didn't match Pod's node affinity"),
    (re.compile(r"^(Error: )?failed to create containerd task.*unable to start container process: "), r"\1<runc>: "),
    (re.compile(r"^(Failed to pull image \S+: )?(rpc error: code = \w+ desc = )?failed to pull"), r"\1failed to pull"),
    (re.compile(r"error during container init: "), ""),
)


def load(case: str) -> KubeObject:
    recorded: KubeObject = json.loads((DATA / f"{case}.json").read_text())
    return recorded


class Comparison:
    """Compares what belongs to one pod with one recording."""

    def __init__(self, recorded: KubeObject, pod: KubeObject, exact: bool) -> None:
        self._recorded = recorded
        self._exact = exact
        of_recorded = recorded["pod"] | {"image": recorded["image"]}
        metadata, status = pod["metadata"], pod["status"]
        ours = {key: metadata[key] for key in ("name", "namespace", "uid")}
        ours |= {"podIP": status.get("podIP", ""), "node": pod["spec"].get("nodeName", "")}
        ours |= {"image": pod["spec"]["containers"][0]["image"]}
        self._names = (of_recorded, ours)

    def sentence(self, expected: str, actual: str) -> bool:
        """Whether two messages say the same."""
        expected, actual = (_neutral(text, names) for text, names in zip((expected, actual), self._names, strict=True))
        if self._exact:
            return expected == actual
        for pattern, replacement in _NEWER:
            expected, actual = pattern.sub(replacement, expected), pattern.sub(replacement, actual)
        expected = _PULL_FAILURE.split(expected)[0]
        return actual.startswith(expected.rstrip("."))

    def status(self, actual: KubeObject) -> None:
        """Fail unless the pod's status is like the recorded one."""
        expected = self._recorded["status"]
        self._same_keys("status", expected, actual)
        for key in ("phase", "reason", "qosClass"):
            assert actual.get(key) == expected.get(key), key
        conditions = {one["type"]: one for one in actual["conditions"]}
        for condition in expected["conditions"]:
            self._entry(f"condition {condition['type']}", condition, conditions[condition["type"]])
        for kind in ("initContainerStatuses", "containerStatuses"):
            for wanted, found in zip(expected.get(kind, []), actual.get(kind, []), strict=True):
                self._container(wanted, found)

    def event(self, expected: KubeObject, actual: KubeObject) -> None:
        """Fail unless an event has the form of the recorded one."""
        what = f"event {expected['reason']}"
        # Recorded was a list, whose items do not say their kind.
        own = {key: value for key, value in actual.items() if key not in ("apiVersion", "kind", "metadata")}
        self._same_keys(what, expected, own)
        self._same_keys(f"{what}: involvedObject", expected["involvedObject"], actual["involvedObject"])
        about, names = actual["involvedObject"], self._names[1]
        assert about.get("fieldPath") == expected["involvedObject"].get("fieldPath"), what
        assert (about["name"], about["uid"]) == (names["name"], names["uid"]), what
        for key in ("type", "reportingComponent"):
            # A newer kubelet names itself there as well.
            if self._exact or expected[key]:
                assert actual[key] == expected[key], f"{what}: {key}"
        assert actual["source"].get("component") == expected["source"].get("component"), what
        for key in ("eventTime", "firstTimestamp", "lastTimestamp"):
            assert (actual.get(key) is None) == (expected[key] is None), f"{what}: {key}"

    def has_events(self, actual: list[KubeObject]) -> bool:
        """Whether every recorded event is there."""
        return all(self._find(event, actual) for event in self._events())

    def events(self, actual: list[KubeObject]) -> None:
        for expected in self._events():
            found = self._find(expected, actual)
            assert found is not None
            self.event(expected, found)

    def _events(self) -> list[KubeObject]:
        # Whether an image was there already is another story.
        return [event for event in self._recorded["events"] if event["reason"] != "Pulled"]

    def _find(self, expected: KubeObject, actual: list[KubeObject]) -> KubeObject | None:
        for event in actual:
            if event["reason"] == expected["reason"] and self.sentence(expected["message"], event["message"]):
                return event
        return None

    def _container(self, expected: KubeObject, actual: KubeObject) -> None:
        self._same_keys("containerStatuses", expected, actual)
        for key in ("name", "ready", "restartCount", "started"):
            assert actual.get(key) == expected.get(key) or key not in expected, key
        assert bool(actual["imageID"]) == bool(expected["imageID"])
        for kind in ("state", "lastState"):
            assert list(actual[kind]) == list(expected[kind]), kind
            for name, entry in expected[kind].items():
                self._entry(f"{kind} {name}", entry, actual[kind][name])

    def _entry(self, what: str, expected: KubeObject, actual: KubeObject) -> None:
        self._same_keys(what, expected, actual)
        for key, value in expected.items():
            if key == "message":
                assert self.sentence(value, actual[key]), f"{what}: {actual[key]!r} is not like {value!r}"
            elif key == "containerID":
                assert re.fullmatch(r"[\w-]+://[0-9a-f]{64}", actual[key]), what
            elif key.endswith(("Time", "At")):
                assert value is None or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", actual[key]), what
            else:
                assert actual[key] == value, f"{what}: {key}"

    def _same_keys(self, what: str, expected: KubeObject, actual: KubeObject) -> None:
        missing, added = set(expected) - set(actual), set(actual) - set(expected)
        assert not missing, f"{what} lacks {missing}"
        assert not (added and self._exact), f"{what} has {added}, which the recorded one has not"


def _neutral(text: str, names: dict[str, str]) -> str:
    """A message without what is different in each cluster."""
    for key in ("image", "uid", "podIP", "node", "namespace"):
        if names[key]:
            text = text.replace(names[key], f"<{key}>")
    text = re.sub(rf"\b{re.escape(names['name'])}(?=_<namespace>|\b)", "<pod>", text)
    return re.sub(r"\b\d+(?=/\d+ nodes|\s(node|Insufficient|persistent))|(?<=0/)\d+", "N", text)
