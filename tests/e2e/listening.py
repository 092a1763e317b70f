"""What EventBridge is told of files, heard by a queue behind a rule, as a user would set it up."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.pipeline import Pipeline, wait_for


class Listener:
    """The queue, and what has come through it so far."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs, self._url = sqs, url
        self._heard: list[dict[str, Any]] = []

    def heard(self) -> list[dict[str, Any]]:
        """All events so far, in their order."""
        while found := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self._heard.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return self._heard

    def of(self, attempt: str) -> dict[str, Any]:
        """The one event of an attempt, once it has come."""

        def look() -> list[dict[str, Any]]:
            return [each for each in self.heard() if each["detail"]["attempt"] == attempt]

        (event,) = wait_for(f"the event of {attempt}", look, 30)
        return event

    def assert_each_once(self) -> None:
        """No attempt is told of twice."""
        counted = Counter(each["detail"]["attempt"] for each in self.heard())
        assert set(counted.values()) <= {1}, counted


@contextmanager
def listening(pipeline: Pipeline, folder: str) -> Iterator[Listener]:
    """Hear what is told of the files whose keys begin so."""
    sqs, events = pipeline.stack.client("sqs"), pipeline.stack.client("events")
    name = f"listening-{uuid.uuid4()}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    try:
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {"source": ["dropscore"], "detail": {"source": {"key": [{"prefix": folder}]}}}
        rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue}])
        try:
            yield Listener(sqs, url)
        finally:
            events.remove_targets(Rule=name, Ids=["queue"])
            events.delete_rule(Name=name)
    finally:
        sqs.delete_queue(QueueUrl=url)
