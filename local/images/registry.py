"""Push and pull images by the registry protocol (OCI distribution, "Docker Registry V2").

Pushing is what `docker push` to ECR does: the repository and the token come from the ECR API, blobs and manifest go to
the registry's endpoints. ECR's own upload calls (InitiateLayerUpload … PutImage) end in the same place on AWS, but
MiniStack answers them without keeping a byte.

Failed pulls are worded as containerd words them, because that is what the kubelet shows and what dropscore must be
able to explain to a user.
"""

import errno
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urljoin, urlsplit

import requests

from local.images.blobs import DigestMismatch, blob_path, move_into_place, write_blob
from local.images.oci import CONFIG_TYPE, IN_DOCKER, MANIFEST_TYPE, Image
from local.images.reference import Reference
from local.images.unpacking import unpack

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

_DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CHUNK = 1 << 20
_TIMEOUT = (5, 60)  # seconds to connect, and between two chunks


class PullFailed(Exception):
    """An image could not be pulled; the message is containerd's, as the kubelet shows it for ErrImagePull."""

    def __init__(self, reference: str, code: str, detail: str) -> None:
        super().__init__(f'rpc error: code = {code} desc = failed to pull and unpack image "{reference}": {detail}')


class ImageNotFound(PullFailed):
    """The registry has no such repository, tag, digest or blob."""


class RegistryUnavailable(PullFailed):
    """The registry did not answer, or not as a registry does."""


@dataclass(frozen=True)
class PulledImage:
    """An image that is on this machine.

    `rootfs` is shared by all who pull the same digest: it is there to be read, or copied. `workdir` is a path within
    the image. What Docker has built stays there, as the image `in_docker`; its `rootfs` is empty.
    """

    digest: str
    rootfs: Path
    entrypoint: list[str]
    cmd: list[str]
    env: dict[str, str]
    workdir: str
    user: str
    in_docker: str = ""


def push(ecr_client: "ECRClient", image: Image, repository: str, tag: str) -> str:
    """Push an image to the ECR that the client talks to, and give its digest.

    The repository is made if it is missing. What is there already is not sent again.
    """
    with suppress(ecr_client.exceptions.RepositoryAlreadyExistsException):
        ecr_client.create_repository(repositoryName=repository)
    token = ecr_client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    # Not the token's proxyEndpoint: MiniStack names Amazon's own host there.
    return push_to(ecr_client.meta.endpoint_url, image, repository, tag, f"Basic {token}")


def push_to(registry_url: str, image: Image, repository: str, tag: str, authorization: str = "") -> str:
    """Push an image to a registry, and give its digest. What is there already is not sent again."""
    url = f"{registry_url}/v2/{repository}"
    with _session() as session:
        if authorization:
            session.headers["Authorization"] = authorization
        manifest = json.loads(image.manifest)
        for blob in (manifest["config"], *manifest["layers"]):
            _push_blob(session, url, image, blob["digest"])
        session.put(
            f"{url}/manifests/{tag}",
            data=image.manifest,
            headers={"Content-Type": MANIFEST_TYPE},
            timeout=_TIMEOUT,
        ).raise_for_status()
    return image.digest


def _push_blob(session: requests.Session, url: str, image: Image, digest: str) -> None:
    if session.head(f"{url}/blobs/{digest}", timeout=_TIMEOUT).ok:
        return
    started = session.post(f"{url}/blobs/uploads/", timeout=_TIMEOUT)
    started.raise_for_status()
    upload = urljoin(url, started.headers["Location"])
    with image.blob(digest).open("rb") as content:
        session.put(upload, params={"digest": digest}, data=content, timeout=_TIMEOUT).raise_for_status()


def pull(reference: str, registry_url: str, directory: Path) -> PulledImage:
    """Pull an image into a directory that is shared with other pulls, and give what is needed to run it.

    As with a mirror in containerd's configuration, the registry asked is the one at `registry_url`, whatever host the
    reference names. It is asked each time what the reference means; what is in the directory is not fetched again.

    Raises
    ------
    InvalidReference, ImageNotFound, RegistryUnavailable, PullFailed
        With the message that a pod's status shows.
    """
    with _session() as session:
        return _Pull(session, Reference.parse(reference), registry_url.rstrip("/"), directory).run()


@dataclass(frozen=True)
class _Pull:
    """One pull of one image."""

    session: requests.Session
    reference: Reference
    registry_url: str
    directory: Path

    def run(self) -> PulledImage:
        digest = self._resolve()
        manifest = self._document(digest, f"manifests/{digest}", MANIFEST_TYPE)
        config = self._document(manifest["config"]["digest"], f"blobs/{manifest['config']['digest']}", CONFIG_TYPE)
        rootfs = self.directory / "rootfs" / digest.removeprefix("sha256:")
        if not rootfs.is_dir():
            self._unpack(manifest["layers"], rootfs)
        run = config["config"]
        return PulledImage(
            digest=digest,
            rootfs=rootfs,
            entrypoint=run.get("Entrypoint") or [],
            cmd=run.get("Cmd") or [],
            env=dict(entry.split("=", 1) for entry in run.get("Env") or []),
            workdir=run.get("WorkingDir") or "/",
            user=run.get("User") or "",
            in_docker=_identity(manifest.get("annotations", {}).get(IN_DOCKER, "")),
        )

    def _resolve(self) -> str:
        """Ask the registry for the digest that the reference means now."""
        failure = f'failed to resolve reference "{self.reference}": '
        with closing(self._ask("HEAD", f"manifests/{self.reference.version}", failure)) as response:
            if response.status_code == requests.codes.not_found:
                raise ImageNotFound(str(self.reference), "NotFound", f"{failure}{self.reference}: not found")
            self._check(response, failure)
            digest = response.headers.get("Docker-Content-Digest")
            if digest is None:
                raise RegistryUnavailable(str(self.reference), "Unknown", f"{failure}{response.url} is not a registry")
            return digest

    def _document(self, digest: str, path: str, media_type: str) -> dict[str, Any]:
        """Get a manifest or a config, and read it."""
        document: dict[str, Any] = json.loads(self._blob(digest, path, media_type).read_bytes())
        if media_type == MANIFEST_TYPE and "layers" not in document:
            self._fail("Unimplemented", "only images of a single platform can be run here, not an index of several")
        return document

    def _blob(self, digest: str, path: str, media_type: str) -> Path:
        """Fetch what has this digest, unless it is here already, and say where it is."""
        stored = blob_path(self.directory, digest)
        if stored.is_file():
            return stored
        content = f"{digest} ({media_type})"
        failure = (
            f"failed to copy: httpReadSeeker: failed open: could not fetch content descriptor {content} from remote: "
        )
        with closing(self._ask("GET", path, failure)) as response:
            if response.status_code == requests.codes.not_found:
                raise ImageNotFound(str(self.reference), "NotFound", f"{failure}not found")
            self._check(response, failure)
            try:
                write_blob(self.directory, self._chunks(response), expected=digest)
            except DigestMismatch as error:
                self._fail("FailedPrecondition", f'failed commit on ref "{digest}": {error}')
        return stored

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_content(_CHUNK)
        except requests.RequestException as error:
            raise RegistryUnavailable(str(self.reference), "Unknown", f"failed to copy: {error}") from error

    def _unpack(self, layers: list[dict[str, Any]], rootfs: Path) -> None:
        rootfs.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=rootfs.parent, prefix=".unpacking-") as scratch:
            made = Path(scratch, "rootfs")
            made.mkdir()
            for layer in layers:
                path = self._blob(layer["digest"], f"blobs/{layer['digest']}", layer["mediaType"])
                self._extract(path, layer["digest"], made)
            move_into_place(made, rootfs)

    def _extract(self, layer: Path, digest: str, rootfs: Path) -> None:
        try:
            with tarfile.open(layer) as tar:
                if any(Path(name).name.startswith(".wh.") for name in tar.getnames()):
                    self._fail("Unimplemented", f"layer {digest} removes files of another, which is not done here")
                unpack(tar, rootfs)
        except tarfile.TarError as error:
            self._fail("Unknown", f"failed to extract layer {digest}: {error}")

    def _ask(self, method: str, path: str, failure: str) -> requests.Response:
        """Send a request. As containerd asks a mirror, it says in `ns` which registry it stands for."""
        url = f"{self.registry_url}/v2/{self.reference.repository}/{path}"
        if urlsplit(url).netloc != self.reference.host:
            url += f"?ns={self.reference.host}"
        accept = f"{MANIFEST_TYPE}, {_DOCKER_MANIFEST_TYPE}, */*"
        try:
            return self.session.request(method, url, headers={"Accept": accept}, stream=True, timeout=_TIMEOUT)
        except requests.RequestException as error:
            detail = f'{failure}failed to do request: {method.capitalize()} "{url}": {_as_go_says(error, url)}'
            raise RegistryUnavailable(str(self.reference), "Unknown", detail) from error

    def _check(self, response: requests.Response, failure: str) -> None:
        if not response.ok:
            request = f"{response.request.method} request to {response.url}"
            status = f"{response.status_code} {response.reason}"
            detail = f"{failure}unexpected status from {request}: {status}"
            raise RegistryUnavailable(str(self.reference), "Unknown", detail)

    def _fail(self, code: str, detail: str) -> NoReturn:
        raise PullFailed(str(self.reference), code, detail)


def _identity(text: str) -> str:
    """An image's ID; nothing else may become one of Docker's arguments."""
    return text if re.fullmatch(r"sha256:[0-9a-f]{64}", text) else ""


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # A proxy of the machine has nothing to do with a registry on it.
    return session


def _as_go_says(error: BaseException, url: str) -> str:
    """Word a connection's failure as the Go programs that pull images on a real node do."""
    address = urlsplit(url).netloc
    if isinstance(error, requests.Timeout):
        return f"dial tcp {address}: i/o timeout"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return f"dial tcp {address}: connect: connection refused"
        cause = cause.__cause__ or cause.__context__
    return str(error)
