"""Pulling images from a registry that answers well, badly, or not at all."""

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local.images import ImageNotFound, PulledImage, PullFailed, RegistryUnavailable, pull
from local.images.blobs import digest_of
from local.images.oci import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE

HOST = "000000000000.dkr.ecr.us-east-1.amazonaws.com"


class Registry:
    """A registry with one repository, `team/model`, on a port of its own. Its answers can be changed by path."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.status: dict[str, int] = {}
        self.requests: list[str] = []
        self.cut_short = False
        self.gives_digests = True
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self)

            do_HEAD = do_GET  # noqa: N815  (http.server's name)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.address}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append(f"{request.command} {request.path}")
        path = request.path.partition("?")[0].removeprefix("/v2/team/model/")
        body = self.content.get(path)
        status = self.status.get(path, 200 if body is not None else 404)
        request.send_response(status)
        body = (body or b"") if status == 200 else b""
        request.send_header("Content-Length", str(len(body)))
        if self.gives_digests:
            request.send_header("Docker-Content-Digest", digest_of(body))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body[: len(body) // 2] if self.cut_short else body)

    def add_blob(self, content: bytes) -> dict[str, object]:
        digest = digest_of(content)
        self.content[f"blobs/{digest}"] = content
        return {"digest": digest, "size": len(content)}

    def add_image(self, *layers: bytes, tag: str = "1") -> str:
        """Publish an image with these layers under a tag; gives its digest."""
        run = {"Entrypoint": ["python"], "Cmd": ["app.py"], "Env": ["A=b=c"], "WorkingDir": "/app", "User": "65534"}
        config = self.add_blob(json.dumps({"config": run}).encode())
        manifest: dict[str, object] = {
            "config": config | {"mediaType": CONFIG_TYPE},
            "layers": [self.add_blob(layer) | {"mediaType": LAYER_TYPE} for layer in layers],
        }
        return self.add_manifest(manifest, tag)

    def add_manifest(self, manifest: dict[str, object], tag: str) -> str:
        content = json.dumps(manifest | {"schemaVersion": 2, "mediaType": MANIFEST_TYPE}).encode()
        self.content[f"manifests/{tag}"] = self.content[f"manifests/{digest_of(content)}"] = content
        return digest_of(content)


def layer(files: dict[str, bytes], *, link: str = "") -> bytes:
    """Pack a layer; with `link`, each entry is a symbolic link to there."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = 0 if link else len(content)
            entry.type, entry.linkname = (tarfile.SYMTYPE, link) if link else (tarfile.REGTYPE, "")
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    thread = threading.Thread(target=registry.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield registry
    registry.server.shutdown()
    registry.server.server_close()
    thread.join()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


class TestAnImageThatIsThere:
    def test_it_comes_with_its_files_and_how_to_run_them(self, registry: Registry, store: Path) -> None:
        digest = registry.add_image(layer({"app/app.py": b"print(1)"}))
        image = pull(f"{HOST}/team/model:1", registry.url, store)
        assert (image.rootfs / "app" / "app.py").read_bytes() == b"print(1)"
        assert image == PulledImage(
            digest=digest,
            rootfs=image.rootfs,
            entrypoint=["python"],
            cmd=["app.py"],
            env={"A": "b=c"},
            workdir="/app",
            user="65534",
        )

    def test_a_digest_is_pulled_as_a_tag_is(self, registry: Registry, store: Path) -> None:
        digest = registry.add_image(layer({"a": b""}))
        assert pull(f"{HOST}/team/model@{digest}", registry.url, store).digest == digest

    def test_later_layers_go_over_earlier_ones(self, registry: Registry, store: Path) -> None:
        registry.add_image(layer({"a": b"1", "b": b"1"}), layer({"b": b"2"}))
        rootfs = pull(f"{HOST}/team/model:1", registry.url, store).rootfs
        assert ((rootfs / "a").read_bytes(), (rootfs / "b").read_bytes()) == (b"1", b"2")

    def test_the_registry_is_told_which_one_it_stands_for(self, registry: Registry, store: Path) -> None:
        registry.add_image(layer({"a": b""}))
        pull(f"{HOST}/team/model:1", registry.url, store)
        assert registry.requests[0] == f"HEAD /v2/team/model/manifests/1?ns={HOST}"

    def test_what_is_here_is_not_fetched_again(self, registry: Registry, store: Path) -> None:
        registry.add_image(layer({"a": b""}))
        first = pull(f"{HOST}/team/model:1", registry.url, store)
        registry.requests.clear()
        assert pull(f"{HOST}/team/model:1", registry.url, store) == first
        assert [request.split()[0] for request in registry.requests] == ["HEAD"]

    def test_a_tag_that_moved_gives_the_new_image(self, registry: Registry, store: Path) -> None:
        registry.add_image(layer({"a": b"old"}))
        old = pull(f"{HOST}/team/model:1", registry.url, store)
        registry.add_image(layer({"a": b"new"}))
        new = pull(f"{HOST}/team/model:1", registry.url, store)
        assert ((old.rootfs / "a").read_bytes(), (new.rootfs / "a").read_bytes()) == (b"old", b"new")

    def test_many_pulls_at_once_share_one_store(self, registry: Registry, store: Path) -> None:
        registry.add_image(layer({f"{number}": bytes(10_000) for number in range(50)}))
        with ThreadPoolExecutor(8) as pool:
            pulled = list(pool.map(lambda _: pull(f"{HOST}/team/model:1", registry.url, store), range(16)))
        assert all(image == pulled[0] for image in pulled)
        assert len(list(pulled[0].rootfs.iterdir())) == 50
        assert not [path for path in store.rglob("*") if path.name.startswith(".")]


class TestAnImageThatCannotBePulled:
    """The first two messages are those of a real cluster, word for word."""

    def test_a_tag_that_is_not_there(self, registry: Registry, store: Path) -> None:
        reference = f"{registry.address}/team/no-such-model:9"
        with pytest.raises(ImageNotFound) as caught:
            pull(reference, registry.url, store)
        assert str(caught.value) == (
            f'rpc error: code = NotFound desc = failed to pull and unpack image "{reference}": '
            f'failed to resolve reference "{reference}": {reference}: not found'
        )

    def test_a_registry_that_is_down(self, registry: Registry, store: Path) -> None:
        registry.server.shutdown()  # or its thread still listens for as long as it polls
        registry.server.server_close()
        with pytest.raises(RegistryUnavailable) as caught:
            pull(f"{registry.address}/team/model:1", registry.url, store)
        assert str(caught.value) == (
            "rpc error: code = Unknown desc = failed to pull and unpack image "
            f'"{registry.address}/team/model:1": failed to resolve reference "{registry.address}/team/model:1": '
            f'failed to do request: Head "{registry.url}/v2/team/model/manifests/1": '
            f"dial tcp {registry.address}: connect: connection refused"
        )

    @pytest.mark.parametrize(("status", "reason"), [(403, "403 Forbidden"), (500, "500 Internal Server Error")])
    def test_a_registry_that_refuses(self, registry: Registry, store: Path, status: int, reason: str) -> None:
        registry.status["manifests/1"] = status
        with pytest.raises(
            RegistryUnavailable, match=f"unexpected status from HEAD request to {registry.url}.*{reason}"
        ):
            pull(f"{HOST}/team/model:1", registry.url, store)

    def test_a_server_that_is_no_registry(self, registry: Registry, store: Path) -> None:
        registry.content["manifests/1"] = b"<html>"
        registry.gives_digests = False
        with pytest.raises(RegistryUnavailable, match="is not a registry"):
            pull(f"{HOST}/team/model:1", registry.url, store)

    def test_a_blob_that_is_lost(self, registry: Registry, store: Path) -> None:
        content = layer({"a": b""})
        registry.add_image(content)
        del registry.content[f"blobs/{digest_of(content)}"]
        with pytest.raises(ImageNotFound, match=f"could not fetch content descriptor {digest_of(content)}.*not found"):
            pull(f"{HOST}/team/model:1", registry.url, store)

    def test_a_blob_that_is_not_what_it_should_be_is_never_stored(self, registry: Registry, store: Path) -> None:
        content = layer({"a": b"right"})
        registry.add_image(content)
        registry.content[f"blobs/{digest_of(content)}"] = layer({"a": b"wrong"})
        with pytest.raises(PullFailed, match=f"unexpected commit digest sha256:.*, expected {digest_of(content)}"):
            pull(f"{HOST}/team/model:1", registry.url, store)
        registry.add_image(content)
        assert (pull(f"{HOST}/team/model:1", registry.url, store).rootfs / "a").read_bytes() == b"right"

    def test_a_connection_that_breaks_half_way_leaves_nothing(self, registry: Registry, store: Path) -> None:
        registry.add_image(layer({"a": bytes(100_000)}))
        registry.cut_short = True
        with pytest.raises(RegistryUnavailable, match="failed to copy"):
            pull(f"{HOST}/team/model:1", registry.url, store)
        assert not [path for path in store.rglob("*") if path.is_file()]

    @pytest.mark.parametrize("name", ["../escaped", "/../escaped", "a/../../escaped"])
    def test_a_layer_that_writes_outside(self, registry: Registry, store: Path, name: str) -> None:
        registry.add_image(layer({name: b"!"}))
        with pytest.raises(PullFailed, match="failed to extract layer"):
            pull(f"{HOST}/team/model:1", registry.url, store)
        assert not list(store.parent.rglob("escaped"))

    @pytest.mark.parametrize("target", ["/etc/passwd", "../../outside"])
    def test_a_layer_that_links_outside(self, registry: Registry, store: Path, target: str) -> None:
        registry.add_image(layer({"link": b""}, link=target))
        with pytest.raises(PullFailed, match="failed to extract layer"):
            pull(f"{HOST}/team/model:1", registry.url, store)

    def test_a_layer_that_removes_files_is_beyond_this_client(self, registry: Registry, store: Path) -> None:
        registry.add_image(layer({"app/.wh.model.npz": b""}))
        with pytest.raises(PullFailed, match="Unimplemented"):
            pull(f"{HOST}/team/model:1", registry.url, store)

    def test_so_is_an_index_of_several_platforms(self, registry: Registry, store: Path) -> None:
        registry.add_manifest({"manifests": []}, "1")
        with pytest.raises(PullFailed, match="single platform"):
            pull(f"{HOST}/team/model:1", registry.url, store)
