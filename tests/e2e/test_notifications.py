"""Who asks for it by the stack's parameters gets a line of text for each file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import NOTIFICATIONS
from tests.e2e.pipeline import Pipeline, wait_for
from tests.queues import queue_of_topics


@pytest.fixture
def inbox(pipeline: Pipeline) -> Iterator[Any]:
    """A queue that hears what the topic says; gives what has come so far."""
    sns, sqs = pipeline.stack.client("sns"), pipeline.stack.client("sqs")
    topic = sns.create_topic(Name=NOTIFICATIONS.rpartition(":")[2])["TopicArn"]
    assert topic == NOTIFICATIONS
    url, queue = queue_of_topics(sqs, "inbox")
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)["SubscriptionArn"]
    texts: list[str] = []

    def heard() -> list[str]:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", ()):
            texts.append(json.loads(message["Body"])["Message"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return texts

    yield heard
    sns.unsubscribe(SubscriptionArn=subscription)
    sns.delete_topic(TopicArn=topic)
    sqs.delete_queue(QueueUrl=url)


def test_a_topic_gets_a_line_for_each_file(pipeline: Pipeline, well: dict[str, str], inbox: Any) -> None:
    failed = pipeline.drop("notified/fails.csv", b"a\n1\n", protocol="soap")
    scored = pipeline.drop("notified/scored.csv", b"a,b\n1,2\n", **well)

    def heard_of(name: str) -> str | None:
        return next((text for text in inbox() if f"/notified/{name}.csv" in text), None)

    for execution, name, begins in ((failed, "fails", "File Failed: "), (scored, "scored", "File Scored: ")):
        pipeline.ended(execution)
        text = wait_for(f"the line about {name}", lambda name=name: heard_of(name), 30)
        assert text.strip('"').startswith(f"{begins}s3://{pipeline.stack.input_bucket}/incoming/notified/{name}.csv")
        assert execution in text, "the page of the execution to redrive"


def test_mail_has_a_topic_of_its_own_that_eventbridge_may_use(pipeline: Pipeline) -> None:
    sns, events = pipeline.stack.client("sns"), pipeline.stack.client("events")
    topic = pipeline.resources["NotificationTopic"]
    (subscribed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (subscribed["Protocol"], subscribed["Endpoint"]) == ("email", "owner@example.com")
    rule = events.describe_rule(Name=pipeline.resources["NotificationRule"])["Arn"]
    policy = json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
    (allowed,) = policy["Statement"]
    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": rule}}
