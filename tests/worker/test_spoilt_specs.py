"""A spec that a hand has spoilt in the database ends its own job, in words that name the key."""

from pathlib import Path

import pytest

from tests.hosts import make
from tests.running import Hodei
from tests.worker_process import Worker

SECRET = "hunter2"
SPOILT = {
    '{"command": null}': "command: expected one, got none",
    '{"command": 7}': "command: expected text or a list of texts, got a number",
    '{"command": [1, 2]}': "command: expected text or a list of texts, got a list",
    '{"command": []}': "command: expected text or a list of texts, got a list with nothing in it",
    '{"env": "hunter2"}': "env: expected an object of texts or names of secrets, by names without =, got text",
    '{"env": {"A": 7}}': "env: expected an object of texts or names of secrets, by names without =, got an object",
    '{"env": {"A=B": "hunter2"}}': "env: expected an object of texts or names of secrets, by names without =, got an object",
    '{"timeout": "soon"}': "timeout: expected a number of seconds from 0 to 1000000000, got text",
    '{"timeout": 1e400}': "its spec: expected JSON, with numbers that a program can hold",
    '{"grace": {}}': "grace: expected a number of seconds from 0 to 1000000000, got an object with nothing in it",
    '{"grace": -1}': "grace: expected a number of seconds from 0 to 1000000000, got a number",
    '{"silence_timeout": true}': "silence_timeout: expected a number of seconds from 0 to 1000000000, got true or false",
    '{"start_timeout": [1]}': "start_timeout: expected a number of seconds from 0 to 1000000000, got a list",
    '{"log_limit": []}': "log_limit: expected a number of bytes, 0 or more, got a list with nothing in it",
    '{"umask": "9999"}': "umask: expected four octal digits as text, got text",
    '{"umask": 18}': "umask: expected four octal digits as text, got a number",
    '{"term": "KILL"}': "term: expected one of TERM, INT, HUP, QUIT, USR1, USR2, got text",
    '{"term": ["INT"]}': "term: expected one of TERM, INT, HUP, QUIT, USR1, USR2, got a list",
    '{"workdir": 7}': "workdir: expected a path, got a number",
    '{"stdin": 7}': "stdin: expected text, got a number",
    '{"stdin_base64": "hunter2"}': "stdin_base64: expected text in base64, got text",
    '{"script": 7}': "script: expected text, got a number",
    '{"script": "true", "interpreter": "sh"}': "interpreter: expected a list of texts, got text",
}


@pytest.fixture
def one(host_system: Hodei, hosts_folder: Path) -> Worker:
    return make(host_system, hosts_folder, "ordinary", "w")


def test_each_key_that_a_worker_uses_is_named(one: Worker) -> None:
    one.up(one.hodei.token())
    try:
        neighbour = one.submit("sleep 5; echo fine")
        spoilt = {}
        for change in SPOILT:
            with one.hodei.conn.transaction():
                job_id = one.submit("true")
                one.hodei.sql(
                    "UPDATE jobs SET spec = spec || %s::jsonb WHERE id = %s", change, job_id
                )
            spoilt[change] = job_id
        for change, job_id in spoilt.items():
            job = one.ended(job_id)
            words = f"the worker cannot use what the database has: {SPOILT[change]}"
            assert (job.state, job.reason, job.message) == ("FAILED", "INTERNAL", words), change
            assert SECRET not in one.log
        assert one.ended(neighbour).text == "fine\n"
        assert one.finish("true", timeout=0.5).state == "SUCCEEDED"
        assert "Traceback" not in (one.state / "supervisor.log").read_text()
    finally:
        one.stop()


def test_null_is_as_not_given(one: Worker) -> None:
    one.up(one.hodei.token())
    try:
        with one.hodei.conn.transaction():
            job_id = one.submit("echo ran")
            nulls = (
                '{"env": null, "timeout": null, "grace": null, "log_limit": null, "stdin": null}'
            )
            one.hodei.sql("UPDATE jobs SET spec = spec || %s::jsonb WHERE id = %s", nulls, job_id)
        assert one.ended(job_id).text == "ran\n"
    finally:
        one.stop()
