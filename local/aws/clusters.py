"""Repair: an EKS cluster is the embedded Kubernetes cluster of its name, and access entries can be part of a stack.

Without Docker, MiniStack's cluster is a record with an empty certificate authority and an endpoint where nothing
listens. Tokens are still verified by MiniStack: the embedded cluster asks its token review webhook.
"""

import base64
import json
from pathlib import Path
from typing import Any

from ministack.services import eks
from ministack.services.cloudformation import provisioners


def repair(folder: Path, token_review_secret: str) -> None:
    """Let an EKS cluster, once it is created, be the one that `<its name>/cluster.json` in `folder` describes."""
    create_record = eks._create_cluster

    def create_cluster(body: dict[str, Any], creator_arn: str | None = None) -> Any:
        answer = create_record(body, creator_arn)
        name = str(body.get("name"))
        served = folder / name / "cluster.json"
        if name in eks._clusters and served.exists():
            embedded = json.loads(served.read_text())
            authority = base64.b64encode(Path(embedded["ca_file"]).read_bytes()).decode()
            eks._clusters[name].update(
                endpoint=embedded["api_url"],
                certificateAuthority={"data": authority},
                _auth_token=token_review_secret,
            )
        return answer

    eks._create_cluster = create_cluster
    # MiniStack knows access entries, but its CloudFormation does not.
    provisioners._RESOURCE_HANDLERS["AWS::EKS::AccessEntry"] = {
        "create": create_access_entry,
        "update": update_access_entry,
        "delete": delete_access_entry,
    }


def create_access_entry(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    cluster, principal = properties["ClusterName"], properties["PrincipalArn"]
    entry = {
        "principalArn": principal,
        "kubernetesGroups": properties.get("KubernetesGroups", []),
        "username": properties.get("Username", ""),
        "type": properties.get("Type", "STANDARD"),
    }
    status, _, answer = eks._create_access_entry(cluster, entry)
    if status != 200:
        raise ValueError(f"AWS::EKS::AccessEntry: {json.loads(answer)['message']}")
    return f"{principal}|{cluster}", {"AccessEntryArn": json.loads(answer)["accessEntry"]["accessEntryArn"]}


def update_access_entry(
    physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str
) -> tuple[str, dict[str, str]]:
    delete_access_entry(physical_id, old)
    return create_access_entry("", new, stack)


def delete_access_entry(_physical_id: str, properties: dict[str, Any]) -> None:
    eks._delete_access_entry(properties["ClusterName"], properties["PrincipalArn"])
