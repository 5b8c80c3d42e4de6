"""Workers on demand on a real engine: how many, until when, and what nobody gets to see."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.docker.providing import Providing, providing
from tests.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture
def hodei(
    pg_server: SimpleNamespace, tmp_path: Path, docker_socket: str, host: str
) -> Iterator[Providing]:
    with providing(pg_server, tmp_path, docker_socket, host) as running:
        yield running


def test_a_burst_makes_as_many_workers_as_there_may_be_and_no_demand_makes_none(
    hodei: Providing, image: str
) -> None:
    hodei.add(image=image, max_workers=3, idle_time="2s")
    hodei.looked()
    assert hodei.containers("-a") == []
    jobs = hodei.jobs(200, "sleep 0.1")
    made: set[str] = set()

    def all_ended() -> bool:
        made.update(hodei.containers("-a"))
        ended = "SELECT count(*) FROM jobs WHERE completed_at IS NOT NULL"
        return hodei.sql(ended) == [(200,)]

    eventually(all_ended, 90, 0.2)
    hodei.all_succeeded(jobs)
    assert len(made) == 3
    assert all(name.startswith("hodei-worker-") for name in made)
    eventually(lambda: hodei.containers("-a") == [], 60, 0.2)
    states = hodei.sql("SELECT state, revoked_at IS NOT NULL, count(*) FROM workers GROUP BY 1, 2")
    assert states == [("TERMINATED", True, 3)]
    assert hodei.provider().status_reason == ""


def test_jobs_that_its_workers_could_not_run_are_no_demand(hodei: Providing, image: str) -> None:
    hodei.add(image=image, labels={"zone": "a"})
    strangers = hodei.jobs(3, "true", labels={"zone": "b"})
    hodei.looked()
    ours = hodei.jobs(1, "true", labels={"zone": "a", "hodei/os": "linux"})
    hodei.all_succeeded(ours)
    assert len(hodei.containers("-a")) == 1
    assert {hodei.job(one)["state"] for one in strangers} == {"PENDING"}


def test_neither_the_engine_nor_a_log_nor_a_job_shows_the_token(
    hodei: Providing, image: str
) -> None:
    hodei.add(image=image)
    reads = (
        "cat /run/hodei/token /var/lib/hodei/worker/identity.json; env; cat /proc/1/environ; id -un"
    )
    (job,) = hodei.jobs(1, reads)
    hodei.finish(job)
    (name,) = hodei.containers()
    token = hodei.sql("SELECT token::text FROM worker_bootstrap_tokens")[0][0]
    log = hodei.wrote(job, "hodei\n")
    shown = hodei.docker("inspect", name) + hodei.docker("logs", name) + log
    assert "Permission denied" in log
    assert token not in shown
    assert token not in hodei.log("server-0")
    assert token in hodei.docker("exec", "--user", "0", name, "cat", "/run/hodei/token")
    about = json.loads(hodei.docker("inspect", name))[0]
    assert about["HostConfig"]["Binds"] is None
    assert about["HostConfig"]["CapDrop"] == ["ALL"]


def test_a_job_with_a_secret_makes_a_worker_which_masks_it(
    pg_server: SimpleNamespace, tmp_path: Path, docker_socket: str, host: str, image: str
) -> None:
    key = tmp_path / "key"
    key.write_text("0f" * 32)
    flags = ("--secret-key-file", str(key))
    with providing(pg_server, tmp_path, docker_socket, host, *flags) as hodei:
        hodei.add(image=image, max_workers=1)
        hodei.ok("secret", "set", "token", stdin=b"Tr0ub4dor&3/correct horse")
        (job,) = hodei.jobs(1, "echo got $TOKEN", env={"TOKEN": {"secret": "token"}})
        hodei.all_succeeded([job])
        assert hodei.wrote(job, "got ***")


def test_an_ephemeral_worker_runs_one_job(hodei: Providing, image: str) -> None:
    hodei.add(image=image, max_workers=2, ephemeral=True)
    jobs = hodei.jobs(4, "true")
    hodei.all_succeeded(jobs)
    used = hodei.sql("SELECT count(DISTINCT worker_id) FROM jobs")
    assert used == [(4,)]
    eventually(lambda: hodei.containers("-a") == [], 30, 0.2)
    assert hodei.provider().failures == 0


def test_warm_slots_are_kept_free(hodei: Providing, image: str) -> None:
    hodei.add(image=image, max_workers=4, slots=2, warm_slots=3, idle_time="1s")
    eventually(lambda: len(hodei.connected()) == 2, 40)
    hodei.looked()
    hodei.looked()
    assert len(hodei.containers("-a")) == 2
