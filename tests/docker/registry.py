"""A registry with one image, for pulls by a real engine: the tiny image, under any name and tag."""

import base64
import contextlib
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.docker import tiny_image
from tests.docker.engines import OwnEngine
from tests.docker.namespaces import in_network_of

USER, PASSWORD = "ana", "s3cret-of-the-registry"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry:
    def __init__(self, padding: int = 0, engine: OwnEngine | None = None) -> None:
        """The repository `private/…` needs a user, `slow/…` sends its layer a little at a time. The
        layer has `padding` bytes more. `engine`: the one with the tiny image, in whose network
        namespace it listens; None: the one that `docker` speaks to, and our namespace."""
        self._padding = padding
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []  # paths of requests
        self.hold = threading.Event()  # set: slow layers go on
        self.docker = ("docker", *(("-H", f"unix://{engine.socket}") if engine else ()))
        self.manifest = self._packed()
        self.server = in_network_of(engine.pid, self._listen) if engine else self._listen()

    def _listen(self) -> ThreadingHTTPServer:
        return ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def _blob(self, kind: str, data: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return {"mediaType": kind, "size": len(data), "digest": digest}

    def _packed(self) -> bytes:
        """The image as `docker save` gives it, with one file more: so the engine has no such layer
        yet."""
        command = [*self.docker, "save", tiny_image.NAME]
        saved = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        with tarfile.open(fileobj=io.BytesIO(saved)) as tar:

            def read(name: str) -> bytes:
                file = tar.extractfile(name)
                assert file
                return file.read()

            (entry,) = json.loads(read("manifest.json"))
            config, layer = json.loads(read(entry["Config"])), read(entry["Layers"][0])
        layer = _with_file(layer, f"made-{time.time_ns()}", os.urandom(self._padding))
        config["rootfs"]["diff_ids"] = [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob(CONFIG, json.dumps(config).encode()),
            "layers": [self._blob(LAYER, gzip.compress(layer, 1))],
        }
        return json.dumps(manifest).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def _answer(self, status: int, data: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self._send(data)

            def _send(self, data: bytes) -> None:
                if "/slow/" in self.path and "/blobs/" in self.path:
                    self.wfile.write(data[:1000])
                    self.wfile.flush()
                    registry.hold.wait(60)
                    data = data[1000:]
                with contextlib.suppress(ConnectionError):  # the engine has given the pull up
                    self.wfile.write(data)

            def do_GET(self) -> None:
                registry.asked.append(self.path)
                given = self.headers.get("Authorization", "")
                right = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                if "/private/" in self.path and given != f"Basic {right}":
                    self._answer(401, WWW_Authenticate='Basic realm="test"')
                elif "/manifests/" in self.path:
                    digest = f"sha256:{hashlib.sha256(registry.manifest).hexdigest()}"
                    more = {"Content_Type": MANIFEST, "Docker_Content_Digest": digest}
                    self._answer(200, registry.manifest, **more)
                elif "/blobs/" in self.path:
                    found = registry.blobs.get(self.path.rpartition("/")[2])
                    self._answer(200 if found else 404, found or b"")
                else:
                    needs = any("private" in path for path in registry.asked[-3:])
                    unknown = needs and not given
                    more = {"WWW_Authenticate": 'Basic realm="test"'} if unknown else {}
                    self._answer(401 if unknown else 200, b"{}", **more)

            do_HEAD = do_GET

        return Handler


def _with_file(layer: bytes, name: str, data: bytes) -> bytes:
    content = io.BytesIO(layer)
    info = tarfile.TarInfo(name)
    info.size = len(data)
    with tarfile.open(fileobj=content, mode="a") as tar:
        tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


@contextlib.contextmanager
def serving(padding: int = 0, engine: OwnEngine | None = None) -> Iterator[Registry]:
    registry = Registry(padding, engine)
    thread = threading.Thread(target=registry.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.hold.set()
        registry.server.shutdown()
        registry.server.server_close()
        found = subprocess.run(
            [*registry.docker, "images", "-q", "--filter", f"reference={registry.name}/*/*"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        ).stdout.split()
        if found:
            subprocess.run(
                [*registry.docker, "rmi", "-f", *set(found)],
                capture_output=True,
                check=False,
                timeout=60,
            )
