"""What an operator allows holds whatever a job asks for, on a real engine: each of these asks for
something that is there, and that the engine would give."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.docker.tiny_image import NAME as IMAGE
from tests.docker.workers import DockerWorker, docker
from tests.eventually import eventually
from tests.running import start

FORBIDDEN = "other.test/team/tool:1"

UNCHECKED = """
    CREATE OR REPLACE FUNCTION hodei_spec_text(
        spec jsonb, key text, longest integer, pattern text, shape text, controls boolean
    ) RETURNS void LANGUAGE sql AS ''
"""
CHECKED = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'hodei_spec_text'"


@pytest.fixture(scope="module")
def worker(
    pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory, docker_socket: str
) -> Iterator[DockerWorker]:
    folder = tmp_path_factory.mktemp("docker")
    hodei = start(pg_server, folder, servers=1)
    (folder / "link").symlink_to("/proc")
    allowed = [f"{folder}/*", "/*", "/*/*", "/*/*/*", "//*", "//*/*"]
    volumes = [word for one in allowed for word in ("--allow-volume", one)]
    flags = ("--allow-image", "docker.io/hodei-test/*", *volumes)
    one = DockerWorker.on(hodei, folder / "w", docker_socket, *flags)
    one.up(hodei.token())
    docker("tag", IMAGE, FORBIDDEN)
    yield one
    one.stop()
    docker("rmi", "--no-prune", FORBIDDEN)
    hodei.stack.stop()
    hodei.conn.close()


def submit_unchecked(worker: DockerWorker, **spec: Any) -> str:
    """As a server does whose rules for a spec are less strict."""
    with worker.hodei.conn.transaction():
        ((checked,),) = worker.hodei.sql(CHECKED)
        worker.hodei.sql(UNCHECKED)
        job_id = worker.submit("echo ran", **spec)
        worker.hodei.sql(checked)
    return job_id


def test_no_name_leads_to_another_image(worker: DockerWorker) -> None:
    names = [
        f"docker.io/hodei-test/x/../../../{FORBIDDEN}",
        f"docker.io/hodei-test/x@/../../../{FORBIDDEN}",
        f"docker.io/hodei-test/./../../{FORBIDDEN}",
        f"hodei-test/..//..//../{FORBIDDEN}",
        f"docker.io/hodei-test/%2e%2e/%2e%2e/%2e%2e/{FORBIDDEN}",
    ]
    for name in names:
        refused = worker.run("--image", name, "--pull", "never", "--command", "echo ran")
        assert refused.code == 2, refused
        assert "image: expected the name of an image" in refused.err
    ids = {name: submit_unchecked(worker, image=name, pull="never") for name in names}
    for name, job_id in ids.items():
        ended = worker.ended(job_id)
        assert (ended.reason, ended.text) == ("START_FAILED", ""), ended
        assert ended.message.startswith(f"image {name}: expected the name of an image"), ended
    ended = worker.finish("echo ran", image=FORBIDDEN, pull="never")
    assert ended.message.startswith(f"image {FORBIDDEN} is not allowed on this worker"), ended
    assert worker.finish("echo ran", image=f"docker.io/{IMAGE}").text == "ran\n"


def test_no_path_leads_to_what_is_never_mounted(worker: DockerWorker) -> None:
    sources = {
        **dict.fromkeys(
            ("//proc", "///proc", "//run/docker.sock", "/run/.", "/run/../proc"), "exp"
        ),
        **dict.fromkeys(
            ("/proc", "/run", "/run/docker.sock", "/var/run", "/var/run/docker.sock"), ""
        ),
        f"{worker.hodei.folder}/link": "",
    }
    ids = {one: worker.submit("ls /p; echo ran", volumes=[f"{one}:/p"]) for one in sources}
    for source, job_id in ids.items():
        ended = worker.ended(job_id)
        assert (ended.reason, ended.text) == ("START_FAILED", ""), ended
        words = (
            f"volume {source}:/p: expected"
            if sources[source]
            else f"volume {source} is never allowed"
        )
        assert ended.message.startswith(words), ended


def test_a_source_that_is_missing_is_not_made(worker: DockerWorker) -> None:
    missing = worker.hodei.folder / "missing"
    ended = worker.finish("echo ran", volumes=[f"{missing}:/x"])
    assert (ended.reason, ended.text) == ("START_FAILED", ""), ended
    assert f"bind source path does not exist: {missing}" in ended.message
    assert not missing.exists()


def test_a_jobs_own_files_are_not_hidden(worker: DockerWorker) -> None:
    folder = worker.hodei.folder
    asked = [
        {"tmpfs": [f"{one}:size=1m"]} for one in ("/hodei", "//hodei", "/hodei/", "/x/../hodei")
    ]
    asked += [{"volumes": [f"{folder}/w:{one}"]} for one in ("/hodei", "//hodei", "/hodei/.")]
    ids = [worker.submit(script="echo ran", **one) for one in asked]
    for job_id in ids:
        ended = worker.ended(job_id)
        assert (ended.reason, ended.text) == ("START_FAILED", ""), ended
        assert "hodei" in ended.message


def test_a_worker_that_never_pulls_names_its_flag(worker: DockerWorker) -> None:
    before = worker.flags
    worker.end()
    worker.flags += ("--pull-policy", "never")
    worker.up()
    try:
        for spec, words in (
            ({"image": "hodei-test/none"}, "docker.io/hodei-test/none:latest is not on the engine"),
            (
                {"platform": "linux/s390x"},
                "is not on the engine as linux/s390x (it is there as linux",
            ),
        ):
            ended = worker.finish("echo ran", pull="always", **spec)
            assert ended.reason == "IMAGE_PULL_FAILED", ended
            assert words in ended.message
            assert ended.message.endswith(", and this worker pulls none (--pull-policy never)")
    finally:
        worker.end()
        worker.flags = before
        worker.up()


def test_a_program_is_searched_for_in_the_path_of_the_job(worker: DockerWorker) -> None:
    """The image's own has /bin alone. What one job has found is not taken for another's."""
    tools = worker.hodei.folder / "tools"
    tools.mkdir()
    (tools / "greet").write_text("#!/bin/sh\necho ran")
    (tools / "greet").chmod(0o755)
    volumes = [f"{tools}:/tools:ro"]
    paths = ["/usr/games:/tools:/bin", "/nowhere", "tools:/nowhere", "/bin"]
    ids = [worker.submit(["greet"], env={"PATH": one}, volumes=volumes) for one in paths]
    ended = [worker.ended(job_id) for job_id in ids]
    assert [one.text for one in ended] == ["ran\n", "", "ran\n", ""], ended
    assert ended[1].message == ended[3].message == "greet: no such program in the image"
    assert worker.finish(["printf", "ran"]).text == "ran"


def test_sizes_and_numbers_of_any_length(worker: DockerWorker) -> None:
    flags = ("--image", IMAGE, "--command", "echo ran")
    for flag in ("--memory", "--shm-size"):
        for size in ("99999999999999g", "1000000g", "999999999999999k", "9" * 16):
            refused = worker.run(flag, size, *flags)
            assert refused.code == 2, refused
            assert "expected a number of bytes as text" in refused.err, refused
    largest = worker.finish("echo ran", memory="999999g", shm_size="999999g")
    assert (largest.reason, largest.text) != ("INTERNAL", ""), largest
    refused = worker.run("--pids", "0", *flags)
    assert (refused.code, refused.text) == (2, ""), refused
    assert "pids: expected a whole number from 1 to 4194304, got 0" in refused.err
    eventually(lambda: worker.containers("-a") == [])
