"""Projects by the real programs: whose a job is, what each caller finds, and which workers take it."""

import json
import uuid
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.running import Hodei, start


@pytest.fixture(scope="module")
def system(pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hodei]:
    """A server, a worker that takes jobs of project web alone, and one that takes all."""
    folder = tmp_path_factory.mktemp("projects")
    running = start(pg_server, folder, servers=1)
    for name, flags in {"web": ["--project", "web", "--label", "only=web"], "all": []}.items():
        running.stack.worker(
            name, running.addresses[0], folder / name, running.token(), "--name", name, *flags
        )
    yield running
    running.stack.stop()
    running.conn.close()


def test_a_job_belongs_to_the_project_that_its_caller_names(system: Hodei) -> None:
    correlation = f"c-{uuid.uuid4()}"
    words = ("--command", "true", "--correlation-id", correlation)
    mine = system.submit("--project", "web", *words)
    other = system.submit(*words)
    specs = json.dumps([{"command": "true", "correlation_id": correlation}] * 2)
    many = system.submit("--project", "web", "--file", "-", stdin=specs.encode()).split()
    system.all_succeeded([mine, other, *many])
    assert [system.job(job_id)["project"] for job_id in (mine, other)] == ["web", "default"]

    def listed(*flags: str) -> set[str]:
        return set(
            system.ok("job", "list", "--correlation-id", correlation, "-q", *flags).text.split()
        )

    assert listed("--project", "web") == {mine, *many}
    assert listed("--project", "default") == {other}
    assert listed("--project", "nobody") == set()
    assert listed() == {mine, other, *many}
    again = system.ok("job", "retry", mine).text.strip()
    more = system.ok("job", "retry", "--project", "web", "--yes", "-q", *words[2:]).text.split()
    assert {system.job(job_id)["project"] for job_id in (again, *more)} == {"web"}
    assert len(more) == 4, "the retry of before is one of them"
    wrong = system.run("job", "submit", "--project", "a b", "--command", "true")
    assert wrong.code == 125
    assert "project: expected 1 to 63 letters" in wrong.err


def test_an_id_of_another_project_is_taken(system: Hodei) -> None:
    mine = system.submit("--project", "web", "--command", "true")
    refused = system.run("job", "submit", "--id", mine, "--command", "true")
    assert refused.code == 125
    assert f"id: this id is taken, expected another one than {mine}" in refused.err


def test_a_limited_worker_takes_jobs_of_its_projects_alone(system: Hodei) -> None:
    theirs = system.submit("--project", "shop", "--command", "true", "--label", "only=web")
    mine = system.submit("--project", "web", "--command", "true", "--label", "only=web")
    assert system.finish(mine)["worker_name"] == "web"
    waits = system.job(theirs)
    assert waits["state"] == "PENDING"
    assert waits["waiting_for"] == (
        "a worker that takes jobs of project shop: none with its labels does"
    )
    status = system.ok("status", "--format", "json").json
    assert status["unservable"] == 1
    assert system.ok("worker", "get", "web", "--format", "json").json["projects"] == ["web"]
    assert "projects      web" in system.ok("worker", "get", "web").text
    system.ok("job", "cancel", theirs)


def test_a_job_that_runs_again_is_offered_by_its_project(system: Hodei) -> None:
    """After a failure it goes back into the queue, and only its project's worker may take it."""
    words = ("--label", "only=web", "--retries", "1", "--command", "exit 3")
    job_id = system.submit("--project", "web", *words)
    assert (system.finish(job_id)["state"], system.job(job_id)["attempts"]) == ("FAILED", 2)


def test_projects_are_listed_and_granted(system: Hodei) -> None:
    role = f"app_{uuid.uuid4().hex[:8]}"
    unknown = system.run("project", "grant", role, "shop")
    assert (unknown.code, "no role" in unknown.err) == (125, True)
    system.sql(f"CREATE ROLE {role}")
    try:
        said = system.ok("project", "grant", role, "granted").text
        assert said == f"role {role} may enqueue into project granted\n"
        listed = system.ok("project", "list", "--format", "json").json
        assert {"project": "granted", "keys": 0, "roles": [role]} in listed
        assert role in system.ok("project", "list").text
        system.ok("project", "ungrant", role, "granted")
        again = system.run("project", "ungrant", role, "granted")
        assert (again.code, "has no grant for project granted" in again.err) == (125, True)
    finally:
        system.sql(f"DROP ROLE {role}")
    events = system.sql(
        "SELECT payload ->> 'granted' FROM domain_events WHERE event_type = 'ProjectGranted' "
        "AND payload ->> 'role' = %s ORDER BY id",
        role,
    )
    assert events == [("true",), ("false",)]


def test_a_role_that_a_terminal_would_obey_is_shown_with_its_escapes(system: Hodei) -> None:
    role = f"ro\x1b[31mle-{uuid.uuid4()}"
    system.sql(f'CREATE ROLE "{role}"')
    try:
        for verb in ("grant", "ungrant"):
            told = system.ok("project", verb, role, "web").text
            assert (r"role ro\x1b[31mle-" in told, "\x1b" in told) == (True, False)
    finally:
        system.sql(f'DROP ROLE "{role}"')
