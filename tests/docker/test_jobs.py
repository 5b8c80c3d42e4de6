"""Jobs in containers, through the real programs and a real engine."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.docker.tiny_image import NAME as IMAGE
from tests.docker.workers import DockerWorker, docker
from tests.eventually import eventually
from tests.running import start


@pytest.fixture(scope="module")
def worker(
    pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory, docker_socket: str
) -> Iterator[DockerWorker]:
    folder = tmp_path_factory.mktemp("docker")
    hodei = start(pg_server, folder, servers=1)
    (folder / "data").mkdir()
    (folder / "data" / "greeting").write_text("from the host")
    flags = ("--allow-volume", f"{folder}/data")
    one = DockerWorker.on(hodei, folder / "w", docker_socket, *flags)
    one.up(hodei.token())
    yield one
    one.stop()
    hodei.stack.stop()
    hodei.conn.close()


def unused_volumes() -> set[str]:
    return set(docker("volume", "ls", "-q", "--filter", "dangling=true").split())


def test_what_runs(worker: DockerWorker) -> None:
    left_by_others = unused_volumes()
    jobs = {
        "a text is run by the shell": (
            worker.submit("echo $0 $PWD"),
            "/bin/sh /\n",
        ),
        "neither: the image's own": (worker.submit(), "own\n"),
        "arguments are those of the entrypoint": (
            worker.submit(["%s-%s", "b", "c d"], entrypoint="/bin/printf"),
            "b-c d",
        ),
        "a list without an entrypoint": (worker.submit(["printf", "%s", "x y"]), "x y"),
        "a script": (worker.submit(script="#!/bin/sh -e\necho $0"), "/hodei/script\n"),
        "a script by another user, read only": (
            worker.submit(
                script="id -u; touch /x 2>/dev/null || echo no", user="1000", read_only=True
            ),
            "1000\n",
        ),
        "standard input": (worker.submit("cat; id -u", stdin="ñ\n", user="7"), "ñ\n7\n"),
        "the image's own with standard input": (worker.submit(stdin="x"), "own\n"),
        "a long command": (worker.submit("echo x # " + "y" * 150_000), "x\n"),
        "environment": (
            worker.submit("echo $A $HODEI_ATTEMPT $HODEI_JOB_ID | head -c 4", env={"A": "b"}),
            "b 1 ",
        ),
        "limits": (
            worker.submit(
                "cat /sys/fs/cgroup/memory/memory.limit_in_bytes; ls -d /t; id -u; pwd",
                memory="64m",
                cpus="0.5",
                pids=50,
                tmpfs=["/t:size=1m"],
                shm_size="1m",
                workdir="/tmp",
            ),
            "67108864\n/t\n0\n/tmp\n",
        ),
        "a volume": (
            worker.submit(
                "cat /in/greeting; touch /in/x 2>/dev/null",
                volumes=[f"{worker.hodei.folder}/data:/in:ro"],
            ),
            "from the host",
        ),
        "a child that needs too much memory": (
            worker.submit(
                "{ head -c 200m /dev/zero | tail >/tmp/x; } 2>/dev/null; sleep 1; echo went on",
                memory="20m",
            ),
            "went on\n[the kernel killed a process of this job: its memory limit was",
        ),
        "a plain process": (worker.process_job("echo plain").id, "plain\n"),
    }
    for what, (job_id, expected) in jobs.items():
        ended = worker.ended(job_id)
        assert ended.text.startswith(expected), (what, ended)
        assert ended.complete, what
    eventually(lambda: worker.containers("-a") == [])
    assert unused_volumes() <= left_by_others


def test_how_jobs_end(worker: DockerWorker) -> None:
    long = "x" * 300
    cases: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
        "exit 3": ({"command": "exit 3"}, ("FAILED", "EXIT_NONZERO", "exit code 3")),
        "killed": ({"command": "kill -9 $$"}, ("FAILED", "EXIT_NONZERO", "exit code 137")),
        "too much memory": (
            {"command": "head -c 200m /dev/zero | tail", "memory": "20m"},
            ("FAILED", "OOM_KILLED", "killed by the kernel: the container's memory limit"),
        ),
        "no such program": (
            {"command": ["nowhere"]},
            ("FAILED", "START_FAILED", "nowhere: no such program in the image"),
        ),
        "no program": (
            {"command": ["/tmp"]},
            ("FAILED", "START_FAILED", "/tmp: Permission denied"),
        ),
        "no such image": (
            {"image": f"127.0.0.1:1/{long[:30]}:none", "command": "x"},
            ("FAILED", "IMAGE_PULL_FAILED", "Get "),
        ),
        "never pulled": (
            {"image": "nowhere", "pull": "never", "command": "x"},
            ("FAILED", "IMAGE_PULL_FAILED", "docker.io/library/nowhere:latest is not on the engi"),
        ),
        "a name that is none": (
            {"image": "UPPER/case", "command": "x"},
            ("FAILED", "START_FAILED", "no such image: docker.io/UPPER/case:latest: invalid ref"),
        ),
        "another architecture": (
            {"platform": "linux/s390x", "pull": "never", "command": "x"},
            (
                "FAILED",
                "IMAGE_PULL_FAILED",
                f"docker.io/{IMAGE} is not on the engine as linux/s390x",
            ),
        ),
        "a volume that is not allowed": (
            {"command": "x", "volumes": ["/etc:/x"]},
            ("FAILED", "START_FAILED", "volume /etc is not allowed on this worker: it allows /"),
        ),
        "a network that is not allowed": (
            {"command": "x", "network": "host"},
            ("FAILED", "START_FAILED", "network host is not allowed on this worker: it allows bri"),
        ),
        "less memory than the engine's least": (
            {"command": "x", "memory": "1k"},
            ("FAILED", "START_FAILED", "Minimum memory limit allowed is"),
        ),
        "a time-out": (
            {"command": "sleep 600", "timeout": 0.3},
            ("FAILED", "TIMEOUT", "ran longer than its time-out of 0.3 s"),
        ),
        "silence": (
            {"command": "echo x; sleep 600", "silence_timeout": 0.5},
            ("FAILED", "TIMEOUT", "wrote nothing for longer than"),
        ),
    }
    ids = {what: worker.submit(**spec) for what, (spec, _) in cases.items()}
    for what, (_, expected) in cases.items():
        ended = worker.ended(ids[what])
        assert (ended.state, ended.reason) == expected[:2], (what, ended)
        assert ended.message.startswith(expected[2]), (what, ended)
    eventually(lambda: worker.containers("-a") == [])


def test_logs_are_exact(worker: DockerWorker) -> None:
    programs = {
        "lines": r"printf 'a\n\n\nb'",
        "odd bytes": r"printf 'x\0y\377\r\n\r\n \n'",
        "long lines": "head -c 40000 /dev/zero | tr '\\0' a; echo; head -c 16384 /dev/zero; echo;"
        " head -c 16383 /dev/zero; echo; printf end",
        "no line": "head -c 65536 /dev/zero",
        "much": "seq 1 200000",
        "nothing": "true",
    }
    expected = {
        "lines": b"a\n\n\nb",
        "odd bytes": b"x\0y\xff\r\n\r\n \n",
        "long lines": b"a" * 40_000 + b"\n" + b"\0" * 16_384 + b"\n" + b"\0" * 16_383 + b"\nend",
        "no line": b"\0" * 65_536,
        "much": b"".join(b"%d\n" % n for n in range(1, 200_001)),
        "nothing": b"",
    }
    ids = {what: worker.submit(command) for what, command in programs.items()}
    for what, job_id in ids.items():
        ended = worker.ended(job_id)
        assert ended.state == "SUCCEEDED", ended
        found = worker.hodei.sql(
            "SELECT data FROM job_logs WHERE job_id = %s ORDER BY lease, seq", job_id
        )
        assert b"".join(bytes(data) for (data,) in found) == expected[what], what
        assert (ended.log_bytes, ended.dropped) == (len(expected[what]), 0)


def test_a_log_over_its_limit_keeps_both_ends(worker: DockerWorker) -> None:
    ended = worker.finish("seq 1 100000", log_limit=200_000)
    assert ended.text.startswith("1\n2\n")
    assert ended.text.endswith("99999\n100000\n")
    assert "bytes left out]" in ended.text
    assert ended.log_bytes + ended.dropped == 588_895


def test_both_streams_keep_their_order(worker: DockerWorker) -> None:
    command = "for n in 1 2 3; do echo out $n; sleep 0.1; echo err $n >&2; sleep 0.1; done"
    job_id = worker.submit(command)
    assert worker.ended(job_id).text == "".join(f"out {n}\nerr {n}\n" for n in (1, 2, 3))
    assert worker.text(job_id, stream=2) == "err 1\nerr 2\nerr 3\n"


def test_cancels(worker: DockerWorker) -> None:
    polite = worker.submit("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    deaf = worker.submit("trap '' TERM; echo up; while :; do sleep 0.05; done", grace=0.5)
    for job_id in (polite, deaf):
        worker.wrote(job_id, "up")
        worker.cancel(job_id)
        ended = worker.ended(job_id)
        assert (ended.state, ended.reason) == ("CANCELLED", "CANCELLED"), ended
        assert worker.cancel_took_s(job_id) < 2
    assert worker.ended(polite).text == "up\nbye\n"
    eventually(lambda: worker.containers("-a") == [])


def test_a_container_that_somebody_removes(worker: DockerWorker) -> None:
    job_id = worker.submit("echo up; sleep 600")
    worker.wrote(job_id, "up")
    docker("rm", "-f", *worker.containers())
    ended = worker.ended(job_id)
    assert (ended.reason, ended.message) == ("INTERNAL", "container removed by somebody else")
    assert not ended.complete
    assert ended.text.startswith("up\n[the end of the log may be missing")


def test_what_a_container_is(worker: DockerWorker) -> None:
    job_id = worker.submit("echo up; sleep 600", memory="64m")
    worker.wrote(job_id, "up")
    ((lease,),) = worker.hodei.sql("SELECT lease FROM jobs WHERE id = %s", job_id)
    (said,) = json.loads(docker("inspect", *worker.containers()))
    labels = said["Config"]["Labels"]
    assert (labels["hodei.job"], labels["hodei.attempt"]) == (job_id, "1")
    assert (labels["hodei.lease"], labels["hodei.worker"]) == (str(lease), worker.owner)
    ((cluster,),) = worker.hodei.sql("SELECT cluster_id::text FROM hodei_schema")
    assert labels["hodei.cluster"] == cluster
    assert said["Name"] == f"/hodei-job-{lease}-{cluster[:8]}"
    host = said["HostConfig"]
    assert host["Init"] is True
    assert host["Privileged"] is False
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["LogConfig"]["Type"] == "local"
    assert host["Memory"] == host["MemorySwap"] == 64 << 20
    worker.cancel(job_id)
    assert worker.ended(job_id).state == "CANCELLED"


def test_what_a_job_has_used(worker: DockerWorker) -> None:
    """Sampled once a second while it runs."""
    used = (
        "n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done; head -c 30m /dev/zero | tail | sleep 3"
    )
    ended = worker.finish(used)
    asked = "SELECT peak_memory_bytes, cpu_us FROM jobs WHERE id = %s"
    ((memory, cpu_us),) = worker.hodei.sql(asked, ended.id)
    assert memory > 10 << 20
    assert cpu_us > 50_000
    told = worker.hodei.ok("job", "get", ended.id).text
    assert f" {IMAGE}\n" in told
    assert told.count(" (sampled)\n") == 2


def test_adoption(worker: DockerWorker) -> None:
    """The agent, the process for containers, and both are killed while a container writes."""
    command = (
        "n=0; while [ $n -lt 60 ]; do n=$((n+1)); echo line $n; echo err $n >&2; sleep 0.1; done"
    )
    job_id = worker.submit(command, timeout=60)
    worker.wrote(job_id, "line 5")
    worker.kill_containers_process()
    worker.wrote(job_id, "line 20")
    worker.kill()
    worker.kill_containers_process()
    worker.up()
    ended = worker.ended(job_id)
    assert (ended.state, ended.attempts, ended.complete) == ("SUCCEEDED", 1, True), ended
    for stream, word in ((1, "line"), (2, "err")):
        assert worker.text(job_id, stream) == "".join(f"{word} {n}\n" for n in range(1, 61))
    eventually(lambda: worker.containers("-a") == [])


def test_a_worker_with_other_settings_goes_on_with_its_containers(worker: DockerWorker) -> None:
    job_id = worker.submit("echo up; sleep 3; echo down")
    worker.wrote(job_id, "up")
    before = worker.container_pids()
    worker.end()
    worker.flags += ("--allow-network", "other")
    worker.up()
    ended = worker.ended(job_id)
    assert (ended.state, ended.attempts, ended.text) == ("SUCCEEDED", 1, "up\ndown\n"), ended
    assert not set(before) & set(worker.container_pids())


def test_a_stored_spec_may_be_submitted_again(worker: DockerWorker) -> None:
    job_id = worker.submit("echo again")
    worker.ended(job_id)
    spec = worker.hodei.job(job_id)["spec"]
    assert spec["labels"]["hodei/executor"] == "docker"
    again = worker.hodei.submit("--file", "-", stdin=json.dumps(spec).encode())
    assert worker.ended(again).text == "again\n"


def test_flags(worker: DockerWorker) -> None:
    flags = ("--image", IMAGE, "--network", "none", "--pull", "never")
    limits = ("--memory", "64m", "--cpus", "1.5", "--user", "7", "--read-only", "--tmpfs", "/t")
    ran = worker.run(*flags, *limits, "--command", "id -u; echo x >/t/y && echo written")
    assert (ran.code, ran.text) == (0, "7\nwritten\n"), ran
    assert worker.run(*flags).text == "own\n"
    refused = worker.run("--memory", "64m", "--command", "x")
    assert refused.code == 2
    assert "memory: expected an image with it" in refused.err
