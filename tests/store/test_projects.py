"""Projects in SQL: where hodei_enqueue puts a job, what an id of another project answers, and what
claims for limited workers take."""

import asyncio
import json
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.types.json import Jsonb

from hodei.domain.ids import uuid7
from hodei.domain.job import Creation
from hodei.domain.timing import ACCEPT_WITHIN_S
from hodei.store import claims, creation, job_queue, project_grants
from hodei.store.claims import ClaimRequest
from hodei.store.creation import NewJob
from hodei.store.database import Database
from tests.conftest import Connection
from tests.store.conftest import login

ENQUEUE = "SELECT hodei_enqueue(%s)"
INTO = "SELECT hodei_enqueue(%s, %s)"
TRUE = Jsonb({"command": "true"})


@pytest.fixture
def roles(db: Connection) -> Iterator[tuple[str, str, str]]:
    """A login role that may enqueue, a group that it is a member of through another one, and a role
    that it is no member of."""
    end = uuid.uuid4().hex[:8]
    app, group, between, stranger = (f"{n}_{end}" for n in ("app", "group", "between", "stranger"))
    db.execute(
        f"""
        CREATE ROLE {group} NOLOGIN;
        CREATE ROLE {between} NOLOGIN IN ROLE {group};
        CREATE ROLE {stranger} NOLOGIN;
        CREATE ROLE {app} LOGIN PASSWORD 'x' IN ROLE {between};
        GRANT EXECUTE ON FUNCTION hodei_enqueue(jsonb), hodei_enqueue(jsonb, text) TO {app};
        """.encode()
    )
    yield app, group, stranger
    db.execute(f"DROP OWNED BY {app}; DROP ROLE {app}, {between}, {group}, {stranger}".encode())


def grant(db: Connection, role: str, *projects: str) -> None:
    for project in projects:
        db.execute("INSERT INTO project_grants (role, project) VALUES (%s, %s)", [role, project])


def project_of(db: Connection, job_id: object) -> tuple[str, str]:
    """As the job and its queue row say."""
    found = db.execute(
        "SELECT j.project, q.project FROM jobs j JOIN job_queue q ON q.job_id = j.id WHERE j.id = %s",
        [job_id],
    ).fetchone()
    assert found
    return found


def enqueued(conn: Connection, *arguments: object) -> object:
    row = conn.execute(ENQUEUE if len(arguments) == 1 else INTO, arguments).fetchone()
    assert row
    return row[0]


def test_a_role_enqueues_into_what_is_granted_to_it_or_to_its_groups(
    db: Connection, database_url: str, roles: tuple[str, str, str]
) -> None:
    app, group, stranger = roles
    with psycopg.connect(login(database_url, app), autocommit=True) as conn:
        grant(db, stranger, "hidden")
        assert project_of(db, enqueued(conn, TRUE)) == ("default", "default"), "it has no grant"
        grant(db, group, "shop")
        assert project_of(db, enqueued(conn, TRUE)) == ("shop", "shop"), "of a group's group"
        with pytest.raises(
            psycopg.errors.InsufficientPrivilege, match=r"\(shop\), got \"default\""
        ):
            enqueued(conn, TRUE, "default")
        grant(db, app, "web")
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="several, shop, web"):
            enqueued(conn, TRUE)
        for project in ("shop", "web"):
            assert project_of(db, enqueued(conn, TRUE, project))[0] == project
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"\(shop, web\), got"):
            enqueued(conn, TRUE, "hidden")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT hodei_project_to_enqueue('web')")
    assert project_of(db, enqueued(db, TRUE)) == ("default", "default"), (
        "a superuser is a member of no role that was not granted to it"
    )


def test_a_role_that_is_taken_on_does_not_count(
    db: Connection, database_url: str, roles: tuple[str, str, str]
) -> None:
    """SET ROLE changes what the session may do, and not who has logged in."""
    app, group, _ = roles
    grant(db, app, "web")
    with psycopg.connect(login(database_url, app), autocommit=True) as conn:
        db.execute(f"GRANT EXECUTE ON FUNCTION hodei_enqueue(jsonb) TO {group}".encode())
        conn.execute(f"SET ROLE {group}".encode())
        assert project_of(db, enqueued(conn, TRUE))[0] == "web"
        db.execute(f"DROP OWNED BY {group}".encode())


def test_an_id_of_another_project_is_taken_whatever_its_spec(
    db: Connection, database_url: str, roles: tuple[str, str, str]
) -> None:
    app, _, _ = roles
    mine = enqueued(db, TRUE)
    grant(db, app, "web")
    with psycopg.connect(login(database_url, app), autocommit=True) as conn:
        for spec in ({"command": "true"}, {"command": "false"}):
            with pytest.raises(psycopg.errors.UniqueViolation, match="this id is taken") as refused:
                enqueued(conn, Jsonb({"id": str(mine), **spec}))
            assert refused.value.diag.message_primary == (
                f"id: this id is taken, expected another one than {mine}"
            )
    again = db.execute(ENQUEUE, [Jsonb({"id": str(mine), "command": "true"})]).fetchone()
    assert again == (mine,), "of its own project it is the same job"


def test_what_the_release_before_creates_is_of_the_default_project(db: Connection) -> None:
    """Its records have no project, and it does not know the word `taken`."""
    ids = [str(uuid7()) for _ in range(2)]
    one = [{"id": ids[0], "actor": "x", "spec": {"command": "true"}, "project": "web"}]
    old = [{"id": id_, "actor": "x", "spec": {"command": "true"}} for id_ in ids]

    def outcomes(records: object) -> dict[str, str]:
        found = db.execute(
            "SELECT job_id::text, outcome FROM hodei_create_jobs(%s)", [json.dumps(records)]
        )
        return dict(found.fetchall())

    assert outcomes(one) == {ids[0]: "created"}
    assert outcomes(old) == {ids[0]: "conflict", ids[1]: "created"}
    assert project_of(db, ids[1]) == ("default", "default")


def test_a_batch_of_several_projects_answers_each_by_itself(database_url: str) -> None:
    taken, free = uuid7(), uuid7()
    spec = {"command": "true"}

    async def story() -> dict[uuid.UUID, Creation]:
        async with Database(database_url) as database:
            await database.run(lambda conn: creation.create(conn, [NewJob(taken, "a", spec, "a")]))
            both = [NewJob(taken, "b", spec, "b"), NewJob(free, "b", spec, "b")]
            return await database.run(lambda conn: creation.create(conn, both))

    assert asyncio.run(story()) == {taken: Creation.TAKEN, free: Creation.CREATED}


def test_a_claim_for_limited_workers_takes_jobs_of_their_projects_alone(
    database_url: str, db: Connection
) -> None:
    """Also where the release before has put a job back into the queue, once that is filed."""
    ids = {name: uuid7() for name in ("default", "web", "shop", "put back")}
    new = [
        NewJob(job_id, "a", {"command": "true"}, "web" if name == "put back" else name)
        for name, job_id in ids.items()
    ]

    async def story() -> list[set[uuid.UUID]]:
        async with Database(database_url) as database:
            await database.run(lambda conn: creation.create(conn, new))
            # As RELEASE of the release before does it.
            unfiled = "UPDATE job_queue SET project = DEFAULT WHERE job_id = %s"
            db.execute(unfiled, [ids["put back"]])

            async def claim(*projects: str) -> set[uuid.UUID]:
                request = ClaimRequest([uuid.uuid4()] * 9, {}, projects=projects)
                found = await database.run(
                    lambda conn: claims.claim(conn, request, ACCEPT_WITHIN_S)
                )
                able = await database.run(lambda conn: claims.claimable(conn, request))
                assert able == []
                return {offer.job_id for offer in found.offers}

            first = await claim("web", "other")
            await database.run(job_queue.file)
            return [first, await claim("web"), await claim()]

    assert asyncio.run(story()) == [
        {ids["web"]},
        {ids["put back"]},
        {ids["default"], ids["shop"]},
    ]


def test_rows_that_a_hand_has_left_are_filed_once(database_url: str, db: Connection) -> None:
    """More of them than a sweep takes do not keep the others from being filed."""
    db.execute(
        "INSERT INTO job_queue (job_id) SELECT gen_random_uuid() FROM generate_series(1, 1500)"
    )
    left = "SELECT count(*) FROM job_queue WHERE project = ''"

    async def story() -> list[object]:
        async with Database(database_url) as database:
            counts: list[object] = [db.execute(left).fetchone()]
            for _ in range(2):
                await database.run(job_queue.file)
                counts.append(db.execute(left).fetchone())
            return counts

    assert asyncio.run(story()) == [(1500,), (500,), (0,)]


def test_what_waits_again_keeps_its_project(database_url: str, db: Connection) -> None:
    """A release and a mended job; tests/end_to_end/test_projects.py has a retry."""
    job_id = uuid7()

    async def story() -> list[tuple[str, str]]:
        from hodei.store import invariants, releases
        from hodei.store.leases import Claimant

        async with Database(database_url) as database:
            job = NewJob(job_id, "a", {"command": "true"}, "web")
            await database.run(lambda conn: creation.create(conn, [job]))
            request = ClaimRequest([uuid.uuid4()], {}, projects=["web"])
            claimed = await database.run(lambda conn: claims.claim(conn, request, ACCEPT_WITHIN_S))
            (offer,) = claimed.offers
            mine = [Claimant(offer.lease, offer.worker_id)]
            await database.run(lambda conn: releases.release(conn, mine, "test", "test"))
            released = project_of(db, job_id)
            db.execute("DELETE FROM job_queue")
            await database.run(lambda conn: invariants.mend(conn, [job_id]))
            return [released, project_of(db, job_id)]

    assert asyncio.run(story()) == [("web", "web")] * 2


def test_grants_are_listed_with_what_jobs_and_keys_name(
    database_url: str, db: Connection, roles: tuple[str, str, str]
) -> None:
    app, group, _ = roles
    db.execute(
        """
        INSERT INTO api_keys (id, name, role, project, secret_sha256, revoked_at, expires_at)
        VALUES ('aaaaaaaaaaaa', 'a', 'viewer', 'keyed', sha256('a'), NULL, NULL),
               ('bbbbbbbbbbbb', 'b', 'viewer', 'gone', sha256('b'), now(), NULL),
               ('cccccccccccc', 'c', 'viewer', 'keyed', sha256('c'), NULL, now())
        """
    )

    async def story() -> object:
        async with Database(database_url) as database:
            job = NewJob(uuid7(), "a", {"command": "true"}, "web")
            await database.run(lambda conn: creation.create(conn, [job]))
            for role in (app, group, app):
                assert await database.run(
                    lambda conn, role=role: project_grants.grant(conn, role, "shop", "api:ana")  # type: ignore[misc]
                )
            assert not await database.run(
                lambda conn: project_grants.grant(conn, "no such role", "shop", "api:ana")
            )
            found, more = await database.run(project_grants.list_all)
            assert not more
            (one,), _ = await database.run(lambda conn: project_grants.list_all(conn, "shop"))
            assert one in found
            for there in (True, False):
                assert there == await database.run(
                    lambda conn: project_grants.ungrant(conn, group, "shop", "api:ana", "cli:ana")
                )
            return found

    assert asyncio.run(story()) == [
        ("default", 0, []),
        ("keyed", 1, []),
        ("shop", 0, sorted([app, group])),
        ("web", 0, []),
    ]
    events = db.execute(
        "SELECT actor, aggregate_id, payload FROM domain_events WHERE event_type = 'ProjectGranted' ORDER BY id"
    ).fetchall()
    granted = [{"project": "shop", "role": role, "granted": True} for role in (app, group)]
    taken = {"project": "shop", "role": group, "granted": False, "on_behalf_of": "cli:ana"}
    assert events == [("api:ana", "shop", payload) for payload in [*granted, taken]], (
        "a grant that stands already is no event"
    )
