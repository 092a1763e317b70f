"""The cluster's memory: objects, their versions and the history that watches are served from.

All of it lives on one event loop, so a call is atomic and needs no lock. An object that was handed out is never
changed afterwards: every write stores a new one, and readers must not change what they were given.
"""

from __future__ import annotations

import asyncio
import bisect
import copy
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Self

from local.cluster import clock, errors
from local.cluster.resources import EVENTS, KubeObject, Resource

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

# A new cluster starts as one that has been compacted: version 1 is too old to watch from, as on any real one.
_FIRST_VERSION = 1000
_HISTORY = 10_000


@dataclass(frozen=True)
class Change:
    """One step of the history; ``object`` is the object after it (for DELETED: its last state)."""

    version: int
    type: ChangeType
    resource: Resource
    object: KubeObject
    previous: KubeObject | None


class Subscription:
    """The changes since the subscription was made, in order. Use as ``with store.subscribe(...) as changes``."""

    def __init__(self, store: Store, resources: frozenset[Resource]) -> None:
        self._store = store
        self._resources = resources
        self._queue: asyncio.Queue[Change] = asyncio.Queue()

    def __enter__(self) -> Self:
        self._store._subscriptions.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._store._subscriptions.discard(self)

    def offer(self, change: Change) -> None:
        if change.resource in self._resources:
            self._queue.put_nowait(change)

    async def __aiter__(self) -> AsyncIterator[Change]:
        while True:
            yield await self._queue.get()


class Store:
    """Objects by resource, namespace and name, with one resourceVersion counter for all."""

    def __init__(self, history: int = _HISTORY) -> None:
        self.version = _FIRST_VERSION
        self._objects: dict[Resource, dict[tuple[str, str], KubeObject]] = {}
        self._by_uid: dict[str, tuple[Resource, str, str]] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._changed: dict[Resource, int] = {}
        self._subscriptions: set[Subscription] = set()

    # -- reading -----------------------------------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str | None, name: str) -> KubeObject | None:
        return self._objects.get(resource, {}).get((namespace or "", name))

    def by_uid(self, uid: str) -> tuple[Resource, KubeObject] | None:
        key = self._by_uid.get(uid)
        if key is None:
            return None
        resource, namespace, name = key
        return resource, self._objects[resource][namespace, name]

    def objects(self, resource: Resource, namespace: str | None = None) -> list[KubeObject]:
        """Objects in the order of their names, of one namespace or of all."""
        found = self._objects.get(resource, {})
        return [found[key] for key in sorted(found) if namespace is None or key[0] == namespace]

    def last_change(self, resources: Iterable[Resource]) -> int:
        """The version at which any object of these kinds changed last: a key for caches."""
        return max((self._changed.get(resource, 0) for resource in resources), default=0)

    def changes_since(self, version: int) -> list[Change]:
        """The history after ``version``; raises 410 Expired when it does not reach back that far."""
        oldest = self._history[0].version if self._history else self.version + 1
        if version < oldest - 1:
            raise errors.expired(version, oldest - 1)
        start = bisect.bisect_right(self._history, version, key=lambda change: change.version)
        return list(self._history)[start:]

    def subscribe(self, *resources: Resource) -> Subscription:
        return Subscription(self, frozenset(resources))

    # -- writing -----------------------------------------------------------------------------------------------------

    def create(self, resource: Resource, obj: KubeObject) -> KubeObject:
        """Store a new object; uid, creationTimestamp and resourceVersion are given here. 409 when the name is taken."""
        new = copy.deepcopy(obj)
        metadata = new["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        objects = self._objects.setdefault(resource, {})
        if key in objects:
            raise errors.already_exists(resource, metadata["name"])
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = clock.seconds()
        objects[key] = new
        self._by_uid[metadata["uid"]] = (resource, *key)
        if resource is EVENTS:
            self._forget_old_events()
        return self._record("ADDED", resource, new, None)

    def update(
        self, resource: Resource, namespace: str | None, name: str, change: Callable[[KubeObject], None]
    ) -> KubeObject | None:
        """Let ``change`` edit a copy of the object and store that; None when the object is gone.

        A change that changes nothing makes no new version, as in a real cluster.
        """
        key = (namespace or "", name)
        old = self._objects.get(resource, {}).get(key)
        if old is None:
            return None
        new = copy.deepcopy(old)
        change(new)
        if new == old:
            return old
        self._objects[resource][key] = new
        return self._record("MODIFIED", resource, new, old)

    def set_status(self, resource: Resource, obj: KubeObject, status: KubeObject) -> KubeObject | None:
        """Give an object a new status; None when it is gone."""
        metadata = obj["metadata"]
        return self.update(resource, metadata.get("namespace"), metadata["name"], lambda new: new.update(status=status))

    def remove(self, resource: Resource, namespace: str | None, name: str) -> KubeObject | None:
        old = self._objects.get(resource, {}).pop((namespace or "", name), None)
        if old is None:
            return None
        del self._by_uid[old["metadata"]["uid"]]
        return self._record("DELETED", resource, copy.deepcopy(old), old)

    def _record(self, kind: ChangeType, resource: Resource, obj: KubeObject, previous: KubeObject | None) -> KubeObject:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        change = Change(self.version, kind, resource, obj, previous)
        self._history.append(change)
        self._changed[resource] = self.version
        for subscription in self._subscriptions:
            subscription.offer(change)
        return obj

    def _forget_old_events(self) -> None:
        """Events live an hour, as in a real cluster."""
        events = self._objects[EVENTS]
        while events:
            key, oldest = next(iter(events.items()))
            if (clock.now() - clock.parse(oldest["metadata"]["creationTimestamp"])).total_seconds() < 3600:
                return
            self.remove(EVENTS, *key)
