"""Calls to a cluster of yours as the kubeconfig's user: what is looked at, made and removed there."""

from __future__ import annotations

import json
from typing import Any

from urllib3.exceptions import HTTPError

from local.foreign import Foreign
from local.foreign.kubeconfig import UnusableKubeconfig, Upstream
from local.processes import StackFailed

JSON = "application/json"


class Api:
    """The API server of a cluster of yours."""

    def __init__(self, foreign: Foreign) -> None:
        self.name = foreign.context
        try:
            self._upstream = Upstream.load(foreign.kubeconfig, foreign.context)
        except UnusableKubeconfig as error:
            raise StackFailed(str(error)) from error
        self._pool = self._upstream.pool()

    def send(
        self, method: str, path: str, body: dict[str, Any] | None = None, content_type: str = JSON
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of an answer.

        Raises
        ------
        StackFailed
            There is none, or the user is not known there.
        """
        authorization = self._upstream.authorization()
        headers = {"Content-Type": content_type, "Accept": JSON}
        headers |= {"Authorization": authorization} if authorization else {}
        try:
            answer = self._pool.request(
                method,
                self._upstream.url + path,
                headers=headers,
                body=None if body is None else json.dumps(body).encode(),
            )
            if answer.status == 401:
                raise StackFailed(f"The cluster of the context {self.name} does not know the kubeconfig's user (401).")
            if answer.status >= 400 and not answer.headers.get("Content-Type", "").startswith(JSON):
                # What an API server says of a group that it does not serve is plain text.
                return answer.status, {"message": answer.data.decode(errors="replace").strip()}
            return answer.status, json.loads(answer.data)
        except HTTPError as error:
            raise StackFailed(f"The cluster of the context {self.name} does not answer: {error}") from error
        except ValueError as error:
            raise StackFailed(f"What answers for the context {self.name} is no API server: {error}") from error

    def get(self, path: str) -> dict[str, Any] | None:
        """An object; None if there is none.

        Raises
        ------
        StackFailed
            There is no answer, or it is a refusal.
        """
        status, answer = self.send("GET", path)
        if status == 404:
            return None
        if status >= 400:
            raise StackFailed(f"The cluster of the context {self.name} refuses GET {path}: {answer.get('message')}")
        return answer

    def may(self, verb: str, resource: str, group: str = "") -> bool:
        """Whether the user may do something, everywhere in the cluster."""
        attributes = {"verb": verb, "resource": resource, "group": group}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        status, answer = self.send("POST", path, review | {"spec": {"resourceAttributes": attributes}})
        if status >= 400:
            raise StackFailed(
                f"The cluster of the context {self.name} does not say what one may: {answer.get('message')}"
            )
        return bool(answer["status"]["allowed"])
