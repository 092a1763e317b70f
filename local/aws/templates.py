"""Do more with the resources of a template than MiniStack does."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from ministack.services.cloudformation import provisioners


def after(kind: str, also: Callable[[str, Mapping[str, Any]], None]) -> None:
    """Do something with the name and the properties of each resource of a kind that a template has created or changed."""
    handlers = provisioners._RESOURCE_HANDLERS[kind]
    create, update = handlers["create"], handlers["update"]

    @wraps(create)
    def created(logical_id: str, given: dict[str, Any], *more: Any, **named: Any) -> Any:
        answer = create(logical_id, given, *more, **named)
        also(answer[0], given)
        return answer

    @wraps(update)
    def updated(physical_id: str, before: dict[str, Any], given: dict[str, Any], *more: Any, **named: Any) -> Any:
        answer = update(physical_id, before, given, *more, **named)
        also(answer[0], given)
        return answer

    handlers.update(create=created, update=updated)
