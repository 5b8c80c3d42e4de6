"""Pulls by a real engine from a registry: shared, with credentials, cancelled, refused."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.docker.registry import PASSWORD, USER, Registry, serving
from tests.docker.workers import DockerWorker
from tests.eventually import eventually
from tests.running import start


@pytest.fixture(scope="module")
def registry(docker_socket: str) -> Iterator[Registry]:
    with serving() as one:
        yield one


@pytest.fixture(scope="module")
def worker(
    pg_server: SimpleNamespace,
    tmp_path_factory: pytest.TempPathFactory,
    docker_socket: str,
    registry: Registry,
) -> Iterator[DockerWorker]:
    folder = tmp_path_factory.mktemp("pulls")
    hodei = start(pg_server, folder, servers=1)
    one = DockerWorker.on(hodei, folder / "w", docker_socket)
    (folder / "docker").mkdir()
    one.environment["DOCKER_CONFIG"] = str(folder / "docker")
    one.up(hodei.token())
    yield one
    one.stop()
    hodei.stack.stop()
    hodei.conn.close()


def login(worker: DockerWorker, registry: Registry, password: str) -> None:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    config = {
        "auths": {registry.name: {"auth": auth}},
        "proxies": {"default": {"noProxy": "example.invalid"}},
    }
    Path(worker.environment["DOCKER_CONFIG"], "config.json").write_text(json.dumps(config))


def test_jobs_share_a_pull_and_a_cancel_leaves_it_to_the_others(
    worker: DockerWorker, registry: Registry
) -> None:
    image = f"{registry.name}/slow/tool:1"
    jobs = [worker.submit("echo pulled", image=image) for _ in range(3)]
    eventually(lambda: any("/blobs/" in path for path in registry.asked))
    for job_id in jobs:
        worker.wrote(job_id, f"[pulling {image}]")
    worker.cancel(jobs[0])
    assert worker.ended(jobs[0]).reason == "CANCELLED"
    assert worker.cancel_took_s(jobs[0]) < 2
    registry.hold.set()
    for job_id in jobs[1:]:
        ended = worker.ended(job_id)
        assert (ended.state, ended.text.splitlines()[-1]) == ("SUCCEEDED", "pulled"), ended
    assert sum("/slow/tool/manifests/" in path for path in registry.asked) <= 2
    assert worker.finish("echo again", image=image).text == "again\n"


def test_a_start_timeout_counts_the_pull(worker: DockerWorker) -> None:
    with serving() as other:
        ended = worker.finish("x", image=f"{other.name}/slow/tool:1", start_timeout=1)
    assert (ended.reason, ended.message) == ("TIMEOUT", "did not start within 1 s")


def test_credentials(worker: DockerWorker, registry: Registry) -> None:
    image = f"{registry.name}/private/tool:1"
    refused = worker.finish("x", image=image)
    assert refused.reason == "IMAGE_PULL_FAILED", refused
    login(worker, registry, PASSWORD)
    ended = worker.finish("echo pulled; env", image=image)
    assert ended.state == "SUCCEEDED", ended
    assert "pulled\n" in ended.text
    assert "NO_PROXY=example.invalid\n" in ended.text
    logs = [worker.log_file, worker.state / "containers/supervisor.log"]
    for text in (ended.text, refused.message, *(path.read_text() for path in logs)):
        assert PASSWORD not in text


def test_always_asks_the_registry(worker: DockerWorker, registry: Registry) -> None:
    image = f"{registry.name}/plain/tool:2"
    assert worker.finish("true", image=image).state == "SUCCEEDED"
    before = len(registry.asked)
    assert worker.finish("true", image=image, pull="never").state == "SUCCEEDED"
    assert worker.finish("true", image=image).state == "SUCCEEDED"
    assert len(registry.asked) == before
    assert worker.finish("true", image=image, pull="always").state == "SUCCEEDED"
    assert any("/plain/tool/manifests/2" in path for path in registry.asked[before:])


@pytest.fixture
def pull_always(worker: DockerWorker) -> Iterator[DockerWorker]:
    before = worker.flags
    worker.end()
    worker.flags += ("--pull-policy", "always")
    worker.up()
    yield worker
    worker.end()
    worker.flags = before
    worker.up()


def test_a_worker_that_always_pulls_uses_no_image_that_merely_lies_there(
    pull_always: DockerWorker, registry: Registry
) -> None:
    """Neither one that no registry has, nor a private one that a job with a credential has pulled;
    a job's own word does not change it."""
    worker, private = pull_always, f"{registry.name}/private/tool:3"
    login(worker, registry, "wrong")
    assert worker.finish("x", image=private).reason == "IMAGE_PULL_FAILED"
    login(worker, registry, PASSWORD)
    assert worker.finish("echo pulled", image=private).text.endswith("pulled\n")
    login(worker, registry, "wrong")
    jobs = [
        worker.submit("echo contained", image=private, pull=pull)
        for pull in ("never", "missing", "always")
    ]
    local = worker.submit("echo contained", pull="never")
    for job_id in (*jobs, local):
        ended = worker.ended(job_id)
        assert (ended.reason, "contained" in ended.text) == ("IMAGE_PULL_FAILED", False), ended
    login(worker, registry, PASSWORD)
    assert worker.finish("echo again", image=private, pull="never").text.endswith("again\n")
