"""What an image reference says, read as containerd reads it."""

import re
from dataclasses import dataclass
from typing import Self

# The grammar of github.com/distribution/reference.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidReference(Exception):
    """Not an image reference; the message is the one that a pod in the state InvalidImageName shows."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(
            f'Failed to apply default image tag "{text}": couldn\'t parse image reference "{text}": {reason}'
        )


@dataclass(frozen=True)
class Reference:
    """An image reference in full: `host/repository:tag` or `host/repository@sha256:…`."""

    host: str
    repository: str
    version: str
    """The digest where there is one, else the tag: what the registry is asked for."""

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}{'@' if ':' in self.version else ':'}{self.version}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference; host, `library/` and tag default as they do in Docker and Kubernetes.

        Raises
        ------
        InvalidReference
            With the sentence of the kubelet.
        """
        name, _, digest = text.partition("@")
        host, slash, rest = name.partition("/")
        if not (slash and ("." in host or ":" in host or host == "localhost")):
            host, rest = "docker.io", name if slash else f"library/{name}"
        repository, colon, tag = rest.partition(":")
        if repository != repository.lower():
            raise InvalidReference(text, "invalid reference format: repository name must be lowercase")
        if not _REPOSITORY.fullmatch(repository) or (colon and not _TAG.fullmatch(tag)):
            raise InvalidReference(text, "invalid reference format")
        if "@" in text and not _DIGEST.fullmatch(digest):
            raise InvalidReference(text, "invalid reference format")
        return cls(host, repository, digest or tag or "latest")
