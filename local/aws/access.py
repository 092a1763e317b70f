"""Repairs of who may do what.

- Requests count as encrypted. A bucket's policy denies what does not come over TLS (`aws:SecureTransport`), and should;
  MiniStack serves plain HTTP, to this machine only: such a policy would deny everything.
- S3, EventBridge and its schedules invoke a function only if they may: S3 and a rule by the function's own policy, for
  this bucket or rule, a schedule by its role. MiniStack does not look.
- Who puts an object with tags needs leave to tag it, too. MiniStack does not ask for that.
- Who reads parameters by their path needs leave for that path, who asks for a stack for that stack, and who does something
  with a version or an alias of a state machine for that, as does who deletes a version of a function. MiniStack asks for
  leave for all of them.
- A template's roles have their permissions boundary; it bounds what state machines and schedules may do, too.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, iam, lambda_svc, s3

from local.aws.templates import after

INVOKE = "lambda:InvokeFunction"

logger = logging.getLogger(__name__)


def repair() -> None:
    """Let conditions on the transport see TLS, and let those policies count."""
    pin_origin, deliver, invoke_target = (
        iam_evaluator.pin_request_origin,
        s3._deliver_event_to_lambda,
        eventbridge._invoke_target,
    )

    def pin_as_encrypted(source_ip: str, _secure_transport: bool) -> None:
        pin_origin(source_ip, True)

    def deliver_if_allowed(function: str, event: dict[str, Any], region: str) -> None:
        bucket = event["Records"][0]["s3"]["bucket"]["arn"]
        if function_allows(function, "s3.amazonaws.com", source=bucket):
            deliver(function, event, region)
        else:
            logger.warning("S3 may not invoke %s for %s", function, bucket)

    def invoke_if_allowed(
        target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None
    ) -> None:
        arn, source = target.get("Arn", ""), rule["Arn"]
        if ":lambda:" not in arn:
            allowed = True
        elif ":rule/" in source:
            allowed = function_allows(arn, "events.amazonaws.com", source=source)
        else:
            allowed = role_allows(target["RoleArn"], "schedule", INVOKE, arn)
        if allowed:
            invoke_target(target, event, rule, view)
        else:
            logger.warning("EventBridge may not invoke %s for %s", arn, source)

    resource_of = iam_actions.extract_resource_arn

    def resource_named(service: str, *request: Any) -> str:
        method, path, headers, body, query, region, account = request
        found: str = resource_of(service, method, path, headers, body, query, region, account)
        if service == "lambda" and method == "DELETE" and (version := _first(query, "Qualifier")):
            return f"{found}:{version}"
        if found != "*":
            return found
        if service == "ssm" and (asked := _told(body, "Path")):
            return f"arn:aws:ssm:{region}:{account}:parameter{asked}"
        if service == "states" and (asked := _told(body, "stateMachineVersionArn", "stateMachineAliasArn")):
            return asked
        if service == "cloudformation" and (name := parse_qs(body.decode(errors="replace")).get("StackName")):
            return (
                name[0]
                if name[0].startswith("arn:")
                else f"arn:aws:cloudformation:{region}:{account}:stack/{name[0]}/*"
            )
        return found

    additional_checks = iam_actions.s3_additional_checks

    def checks_with_tags(method: str, path: str, headers: dict[str, str], *request: Any) -> list[tuple[str, str]]:
        checks: list[tuple[str, str]] = additional_checks(method, path, headers, *request)
        if headers.get("x-amz-tagging") and path.strip("/").count("/"):
            checks.append(("s3:PutObjectTagging", f"arn:aws:s3:::{unquote(path).lstrip('/')}"))
        return checks

    iam_actions.s3_additional_checks = checks_with_tags
    iam_actions.extract_resource_arn = resource_named
    iam_evaluator.pin_request_origin = pin_as_encrypted
    s3._deliver_event_to_lambda = deliver_if_allowed
    eventbridge._invoke_target = invoke_if_allowed
    after("AWS::IAM::Role", bound)


def bound(name: str, given: Mapping[str, Any]) -> None:
    iam._roles[name]["PermissionsBoundary"] = given.get("PermissionsBoundary")


def _first(query: Any, name: str) -> str:
    """A parameter of a query as MiniStack has parsed it: a list of values, or one."""
    value = (query or {}).get(name, "")
    return str(value[0] if isinstance(value, list) and value else value or "")


def _told(body: bytes, *names: str) -> str:
    """The first of these members that a JSON request has; empty if it has none."""
    try:
        request = json.loads(body)
        return next((str(request[name]) for name in names if name in request), "")
    except (ValueError, TypeError):
        return ""


def function_allows(function: str, service: str, source: str) -> bool:
    """Tell whether a function's policy lets a service invoke it for `source`."""
    record, config, _ = lambda_svc._get_base_func_record_for_ref(function)
    if not config:
        return True  # there is no such function, which is MiniStack's to report
    # A version's or an alias's statements name its own ARN.
    resource = function if function.startswith(config["FunctionArn"]) else config["FunctionArn"]
    keys = {"aws:sourcearn": source, "aws:sourceaccount": get_account_id()}
    context = context_of_service(service, INVOKE, resource, keys)
    result = iam_evaluator.evaluate_resource_policy(record["policy"], context, service=service)
    return bool(result.decision == "Allow")


def role_allows(role_arn: str, session: str, action: str, resource: str) -> bool:
    """Tell whether the policies of a role, and its boundary, allow an action."""
    context = _context(session_arn(role_arn, session), "AssumedRole", action, resource)
    name, account = role_arn.rpartition("/")[2], get_account_id()
    policies = iam_evaluator._gather_role_policies(name, account)
    bounds = iam_evaluator._permissions_boundary(iam._roles, name, account)
    return bool(iam_evaluator.evaluate(context, policies, *bounds).decision == "Allow")


def session_arn(role_arn: str, session: str) -> str:
    """Name who acts when a role has been assumed."""
    return f"arn:aws:sts::{get_account_id()}:assumed-role/{role_arn.rpartition('/')[2]}/{session}"


def context_of_service(service: str, action: str, resource: str, keys: Mapping[str, str]) -> iam_evaluator.EvalContext:
    """What is asked of a resource's policy when a service of AWS does something; `keys` are condition keys, in lower case."""
    context = _context(service, "Service", action, resource)
    context.service_context = dict(keys)
    return context


def _context(principal: str, kind: str, action: str, resource: str) -> iam_evaluator.EvalContext:
    return iam_evaluator.EvalContext(
        principal_arn=principal,
        principal_type=kind,
        principal_account=get_account_id(),
        action=action,
        resource_arn=resource,
        region=get_region(),
    )
