"""Logs and metrics, made once and the same for every function."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from scoring.errors import DropscoreError

logger = Logger()
metrics = Metrics()

Handler = Callable[[dict[str, Any], Any], Any]

_KEYS = ("file_id", "attempt_id")


def observed(function: Handler) -> Handler:
    """Wrap a handler: each of its log lines carries the file and the attempt; an error is logged once, then raised on."""

    @wraps(function)
    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], context: Any) -> Any:
        logger.append_keys(**{key: event[key] for key in _KEYS if key in event})
        try:
            answer = function(event, context)
        except DropscoreError as error:
            logger.warning(error.summary, error=type(error).__name__, remedy=error.remedy)
            raise
        except Exception:
            logger.exception("unexpected error")
            raise
        logger.info("done", answer=answer)
        return answer

    return handler


def count(metric: str, value: int = 1) -> None:
    """Count something that an alarm or the dashboard looks at."""
    metrics.add_metric(name=metric, unit=MetricUnit.Count, value=value)
    metrics.flush_metrics()


def gauge_seconds(metric: str, value: float) -> None:
    """Record a duration that an alarm looks at."""
    metrics.add_metric(name=metric, unit=MetricUnit.Seconds, value=value)
    metrics.flush_metrics()
