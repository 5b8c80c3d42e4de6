"""What keeps a provider from making workers, on real engines: each is said, counted as it should be,
and over when its cause is."""

import json
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from tests.docker.engines import OwnEngine, can_be_started
from tests.docker.providing import Providing, add_server, providing
from tests.eventually import eventually
from tests.store.test_schema import CLEAN

pytestmark = [pytest.mark.docker, pytest.mark.slow]

TOKENS_AND_FAILURES = """
SELECT (SELECT count(*) FROM worker_bootstrap_tokens),
       (SELECT count(revoked_at) FROM worker_bootstrap_tokens),
       p.failures
FROM provider_configs p
"""


@pytest.fixture
def hodei(
    pg_server: SimpleNamespace, tmp_path: Path, docker_socket: str, host: str
) -> Iterator[Providing]:
    with providing(pg_server, tmp_path, docker_socket, host) as running:
        yield running


def test_workers_that_end_at_once_open_the_breaker_until_one_comes_up(
    hodei: Providing, image: str
) -> None:
    hodei.add(image=image, job_user="nobody-there", max_workers=3)
    jobs = hodei.jobs(9, "true")
    said = hodei.reason("did not come up")
    assert f"did not come up at {hodei.addresses[0]}: it has ended" in said
    assert "exit code 2" in said
    assert "no user 'nobody-there' on this host" in said
    hodei.sql("UPDATE provider_configs SET failed_at = now() - interval '1 h', failures = 2")
    eventually(lambda: hodei.provider().status == "DEGRADED", 40)
    assert hodei.provider().failures == 3
    config = json.dumps({"socket_path": hodei.socket, "image": image})
    hodei.sql("UPDATE provider_configs SET config = %s::jsonb", config)
    hodei.ok("provider", "resume", "Docker")
    hodei.all_succeeded(jobs)
    eventually(lambda: (hodei.provider().status, hodei.provider().failures) == ("ACTIVE", 0), 20)


def test_a_worker_that_finds_no_server_is_removed_and_its_address_named(
    hodei: Providing, image: str
) -> None:
    hodei.add(image=image, server_address="192.0.2.1:50051", boot_timeout="5s", max_workers=1)
    hodei.jobs(1, "true")
    said = hodei.reason("did not come up")
    assert "at 192.0.2.1:50051: it did not connect within 5 s" in said
    eventually(lambda: hodei.containers("-a") == [], 20)
    assert hodei.provider().failures >= 1


def test_a_stranger_with_a_workers_name_is_said_once_and_makes_no_tokens(
    hodei: Providing, image: str
) -> None:
    provider = hodei.add(image=image, max_workers=1)
    name = f"hodei-worker-{hodei.cluster[:8]}-{provider[:8]}-1"
    hodei.docker("create", "--name", name, image)
    try:
        jobs = hodei.jobs(1, "true")
        said = hodei.reason("is taken by a container that is not ours")
        assert said.startswith(f"{name} could not be started: the name {name} is taken by")
        for _ in range(3):
            hodei.looked()
        # A look that is going on has made a token, and has not revoked it yet.
        eventually(lambda: len(set(hodei.sql(TOKENS_AND_FAILURES)[0])) == 1, 20)
        assert hodei.provider().failures <= 3
        assert name in hodei.docker("ps", "-a", "--format", "{{.Names}}").split()
    finally:
        hodei.docker("rm", name)
    hodei.sql("UPDATE provider_configs SET failed_at = now() - interval '1 h'")
    hodei.all_succeeded(jobs)


def test_a_token_that_somebody_else_has_spent_is_said_in_the_workers_words(
    hodei: Providing, image: str
) -> None:
    hodei.sql(
        "CREATE FUNCTION spend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " NEW.consumed_at := clock_timestamp(); NEW.consumed_by := gen_random_uuid();"
        " RETURN NEW; END $$"
    )
    trigger = "spent BEFORE INSERT ON worker_bootstrap_tokens FOR EACH ROW EXECUTE FUNCTION spend()"
    hodei.sql(f"CREATE TRIGGER {trigger}")
    hodei.add(image=image, max_workers=1)
    jobs = hodei.jobs(1, "true")
    said = hodei.reason("did not come up")
    assert "it has ended" in said
    assert "token" in said, said
    assert hodei.provider().failures >= 1
    (token, *_) = hodei.sql("SELECT token::text FROM worker_bootstrap_tokens")[0]
    assert token not in said
    hodei.sql("DROP TRIGGER spent ON worker_bootstrap_tokens")
    hodei.sql("UPDATE provider_configs SET failed_at = now() - interval '1 h'")
    hodei.all_succeeded(jobs)


def test_without_the_image_nothing_is_made_until_it_is_there(hodei: Providing, image: str) -> None:
    wanted = f"hodei-test/{uuid.uuid4().hex[:8]}:local"
    hodei.add(image=wanted)
    jobs = hodei.jobs(1, "true")
    assert hodei.reason(f"no image {wanted} on the engine")
    assert hodei.provider().failures == 0
    hodei.docker("tag", image, wanted)
    try:
        hodei.all_succeeded(jobs)
        assert hodei.provider().status_reason == ""
    finally:
        hodei.docker("rmi", wanted)


def test_leftovers_of_a_provider_that_is_gone_are_removed_and_others_never(
    hodei: Providing, image: str
) -> None:
    hodei.add("gone", image=image, max_workers=1)
    hodei.all_succeeded(hodei.jobs(1, "true"))
    (left,) = hodei.containers()
    others = f"hodei-worker-{uuid.uuid4().hex[:8]}"
    labels = ("cluster", uuid.uuid4()), ("id", uuid.uuid4()), ("worker", uuid.uuid4())
    flags = [word for key, value in labels for word in ("--label", f"hodei.provider.{key}={value}")]
    hodei.docker("create", "--name", others, *flags, image)
    try:
        hodei.ok("provider", "pause", "gone")
        assert "still has workers (1)" in hodei.run("provider", "remove", "gone").err
        hodei.ok("provider", "remove", "gone", "--force")
        hodei.add("heir", image=image)
        eventually(lambda: left not in hodei.containers("-a"), 40, 0.2)
        assert others in hodei.docker("ps", "-a", "--format", "{{.Names}}").split()
    finally:
        hodei.docker("rm", "-f", "-v", others)


def test_a_container_that_a_hand_removes_is_made_again_and_its_job_runs_again(
    hodei: Providing, image: str
) -> None:
    hodei.add(image=image, max_workers=1, boot_timeout="5s")
    (job,) = hodei.jobs(1, "sleep 600")
    hodei.until(job, "RUNNING")
    hodei.docker("rm", "-f", "-v", *hodei.containers())
    (second,) = hodei.jobs(1, "true")
    hodei.all_succeeded([second])
    hodei.ok("job", "cancel", job)


def test_after_the_guides_clean_new_jobs_get_new_workers(hodei: Providing, image: str) -> None:
    hodei.add(image=image)
    hodei.all_succeeded(hodei.jobs(2, "true"))
    hodei.docker("rm", "-f", "-v", *hodei.containers("-a"))
    hodei.sql(CLEAN if isinstance(CLEAN, str) else CLEAN.decode())
    eventually(lambda: hodei.run("job", "list").code == 0, 30)
    hodei.all_succeeded(hodei.jobs(2, "true"))


def test_a_second_server_goes_on_where_the_first_has_been_killed(
    hodei: Providing, host: str, image: str
) -> None:
    hodei.add(image=image, max_workers=2)
    hodei.looked()
    add_server(hodei, host)
    first = hodei.stack.parts[0]
    first.process.kill()
    first.process.wait()
    hodei.addresses.pop(0)
    hodei.sql("UPDATE provider_configs SET reconciler_until = now()")  # as half a minute later
    jobs = hodei.jobs(2, "true")
    eventually(lambda: hodei.containers("-a"), 60, 0.2)
    hodei.all_succeeded(jobs)


def test_another_engine_is_not_taken_until_it_is_adopted(
    hodei: Providing, image: str, docker_socket: str
) -> None:
    if reason := can_be_started():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="hodei-"))  # its sockets' paths must be short
    own, path = OwnEngine(folder, *an_id_of_its_own(folder)), folder / "s"
    try:
        own.up()
        path.symlink_to(docker_socket)
        hodei.add(image=image, socket_path=str(path))
        hodei.all_succeeded(hodei.jobs(1, "true"))
        met = hodei.provider().engine_id
        before = hodei.containers()
        path.unlink()
        assert hodei.reason(f"no engine answers at {path}")
        path.symlink_to(own.socket)
        assert hodei.reason(f"no server reaches engine {met}: the one that answers is ")
        hodei.ok("provider", "adopt-engine", "Docker")
        assert hodei.reason(f"no image {image} on the engine")
        assert hodei.provider().engine_id != met
        assert hodei.containers() == before, "on the engine that nobody reaches"
        assert hodei.provider().failures == 0
    finally:
        own.end()
        shutil.rmtree(folder, ignore_errors=True)


def an_id_of_its_own(folder: Path) -> tuple[str, ...]:
    """The flags by which an engine before version 23 has another id than the machine's own one:
    that is a file in /etc/docker else. Later ones have it in their data."""
    said = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=True)
    major = int(said.stdout.removeprefix("Docker version ").partition(".")[0])
    if major >= 23:
        return ()
    settings = folder / "daemon.json"
    settings.write_text(json.dumps({"deprecated-key-path": f"{folder}/key.json"}))
    return ("--config-file", str(settings))


def test_a_copy_of_the_database_leaves_its_originals_workers_alone(
    hodei: Providing, host: str, image: str, pg_server: SimpleNamespace, tmp_path: Path
) -> None:
    hodei.add(image=image, max_workers=1)
    hodei.all_succeeded(hodei.jobs(1, "true"))
    (original,) = hodei.containers()
    hodei.stack.stop()
    hodei.conn.close()
    base, _, name = hodei.url.rpartition("/")
    with psycopg.connect(f"{base}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}".encode())
    hodei.url = f"{base}/{name}_copy"
    hodei.conn = psycopg.connect(hodei.url, autocommit=True)
    hodei.addresses.clear()
    add_server(hodei, host)
    assert hodei.reason("this database is a copy")
    before = hodei.cluster
    hodei.jobs(1, "true")
    hodei.looked()
    assert hodei.containers("-a") == [original]
    told = hodei.ok("db", "adopt-copy", "--database-url", hodei.url).text
    try:
        assert "The copy is adopted" in told
        assert hodei.cluster != before
        (ours,) = eventually(hodei.containers, 40, 0.2)
        assert original in hodei.docker("ps", "--format", "{{.Names}}").split()
        assert ours != original
    finally:
        hodei.docker("rm", "-f", "-v", original)


def test_a_worker_with_the_engines_socket_runs_container_jobs(hodei: Providing, image: str) -> None:
    from tests.docker.tiny_image import NAME as TINY

    hodei.add(image=image, docker_socket=True, max_workers=1)
    (job,) = hodei.jobs(1, "echo in a container", image=TINY, network="none")
    hodei.all_succeeded([job])
    assert hodei.wrote(job) == "in a container\n"
    about = json.loads(hodei.docker("inspect", *hodei.containers()))[0]["HostConfig"]
    assert about["Binds"] == [f"{hodei.socket}:/var/run/docker.sock:rw"]
