"""`hodei job submit` of files that are larger than a message, and submits that break off and are
repeated."""

import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei.domain.ids import uuid7
from tests.end_to_end.submitting import count, written
from tests.running import Hodei, database_with_schema

pytestmark = pytest.mark.usefixtures("submits")


def test_a_file_larger_than_a_message_goes_in_pieces(fresh: Hodei, tmp_path: Path) -> None:
    file = written(tmp_path, [{"command": "true", "stdin": "é" * 120_000} for _ in range(30)])
    assert len(fresh.ok("job", "submit", "--file", file).text.split()) == 30
    assert count(fresh) == 30
    assert len(fresh.ok("job", "submit", "--file", file).text.split()) == 30
    assert count(fresh) == 60, "what went well may be run once more"


def test_a_submit_that_broke_off_is_repeated_by_the_same_command(
    fresh: Hodei, tmp_path: Path, submits: Path
) -> None:
    fresh.sql("""CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION ''not today''; END'""")
    fresh.sql(
        """
        CREATE TRIGGER own BEFORE INSERT ON jobs
        FOR EACH ROW WHEN (NEW.name = '1500')
        EXECUTE FUNCTION own()
        """
    )
    file = written(tmp_path, [{"command": "true", "name": str(n)} for n in range(2500)])
    broke_off = fresh.run("job", "submit", "--file", file)
    assert broke_off.code == 125
    assert "spec 1501: " in broke_off.err
    assert "1000 of 2500 jobs stand; the same command may be repeated" in broke_off.err
    stand = broke_off.text.split()
    assert len(stand) == count(fresh) == 1000
    fresh.sql("DROP TRIGGER own ON jobs")
    repeated = fresh.ok("job", "submit", "--file", file)
    assert "its ids are used again" in repeated.err
    assert repeated.text.split()[:1000] == stand
    assert count(fresh) == 2500
    assert list(submits.iterdir()) == []
    fresh.sql(
        """
        CREATE TRIGGER own BEFORE INSERT ON jobs
        FOR EACH ROW WHEN (NEW.name = '0')
        EXECUTE FUNCTION own()
        """
    )
    assert "stand" not in fresh.run("job", "submit", "--file", file).err
    assert list(submits.iterdir()) == [], "where nothing stands there is nothing to repeat"


def test_a_submit_to_another_cluster_does_not_forget_what_stands(
    fresh: Hodei, tmp_path: Path, submits: Path, pg_server: SimpleNamespace
) -> None:
    """A submit that broke off is repeated by way of another server of its cluster; in between the
    same file goes to a cluster of its own twice, which means two runs there."""
    fresh.sql("""CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION ''not today''; END'""")
    fresh.sql(
        """
        CREATE TRIGGER own BEFORE INSERT ON jobs
        FOR EACH ROW WHEN (NEW.name = '1001')
        EXECUTE FUNCTION own()
        """
    )
    file = written(tmp_path, [{"command": "true", "name": str(n)} for n in range(1002)])
    submit = ("job", "submit", "--file", file)
    assert "1000 of 1002 jobs stand" in fresh.run(*submit, server=0).err
    elsewhere = fresh.stack.server("elsewhere", database_with_schema(pg_server))
    ids = [fresh.ok(*submit, "--server", elsewhere).text.split() for _ in range(2)]
    assert len({*ids[0], *ids[1]}) == 2004
    fresh.sql("DROP TRIGGER own ON jobs")
    assert "its ids are used again" in fresh.ok(*submit, server=1).err
    assert count(fresh) == 1002
    assert list(submits.iterdir()) == []


def test_a_client_that_is_killed_while_it_submits_may_be_run_again(
    fresh: Hodei, tmp_path: Path
) -> None:
    file = written(tmp_path, [{"command": "true"} for _ in range(8000)])
    argv = [
        sys.executable,
        "-m",
        "hodei.cli.main",
        "--server",
        fresh.addresses[0],
        "job",
        "submit",
        "--file",
        file,
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as client:
        assert client.stdout
        client.stdout.readline()
        client.kill()
    assert 0 < count(fresh) < 8000
    fresh.ok("job", "submit", "--file", file)
    assert count(fresh) == 8000


def test_tries_that_get_nowhere_do_not_forget_what_stands(fresh: Hodei, tmp_path: Path) -> None:
    """Between the submit that broke off and the one that goes on: no server answers, one spec is
    refused, and the same file is another project's."""
    fresh.sql("""CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION ''not today''; END'""")
    for name in ("0", "1500"):
        fresh.sql(
            f"""
            CREATE TRIGGER own_{name} BEFORE INSERT ON jobs
            FOR EACH ROW WHEN (NEW.name = '{name}' AND NEW.project = 'default')
            EXECUTE FUNCTION own()
            """
        )
    fresh.sql("ALTER TABLE jobs DISABLE TRIGGER own_0")
    file = written(tmp_path, [{"command": "true", "name": str(n)} for n in range(2500)])
    submit = ("job", "submit", "--file", file)
    assert "1000 of 2500 jobs stand" in fresh.run(*submit).err
    assert "no server answers" in fresh.run(*submit, "--server", "127.0.0.1:1").err
    fresh.sql("ALTER TABLE jobs ENABLE TRIGGER own_0")
    assert "spec 1: " in fresh.run(*submit).err
    assert len(fresh.ok(*submit, "--project", "other").text.split()) == 2500
    for name in ("0", "1500"):
        fresh.sql(f"DROP TRIGGER own_{name} ON jobs")
    fresh.ok(*submit)
    by_project = fresh.sql("SELECT project, count(*) FROM jobs GROUP BY project ORDER BY project")
    assert by_project == [("default", 2500), ("other", 2500)]


def test_a_file_that_was_corrected_goes_on_with_the_ids_of_the_first_try(
    fresh: Hodei, tmp_path: Path
) -> None:
    taken = fresh.submit("--command", "true")
    specs = [{"command": "true", "name": str(n)} for n in range(1200)]
    file = written(tmp_path, [*specs[:1100], {**specs[1100], "id": taken}, *specs[1101:]])
    said = fresh.run("job", "submit", "--file", file).err
    assert f"spec 1101, key id: job {taken} exists with another spec" in said
    first = re.search(r"1000 of 1200 jobs stand; .* --ids-from (\S+):", said)
    assert first, said
    fresh.ok("job", "submit", "--file", written(tmp_path, specs), "--ids-from", first[1])
    assert count(fresh) == 1201


@pytest.mark.long
def test_servers_that_die_in_the_middle_leave_a_submit_that_may_be_repeated(
    fresh: Hodei, tmp_path: Path
) -> None:
    file = written(tmp_path, [{"command": "true"} for _ in range(8000)])
    argv = [
        sys.executable,
        "-m",
        "hodei.cli.main",
        "--server",
        ",".join(fresh.addresses),
        "job",
        "submit",
        "--file",
        file,
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdout
        client.stdout.readline()
        for part in fresh.stack.parts:
            part.process.send_signal(signal.SIGKILL)
        _, said = client.communicate(timeout=60)
    assert client.returncode == 125
    assert b"of 8000 jobs stand" in said
    assert b"the same command may be repeated" in said
    address = fresh.stack.server("server-2", fresh.url)
    done = subprocess.run(
        [*argv[:4], address, *argv[5:]], capture_output=True, check=True, timeout=60
    )
    assert len(done.stdout.split()) == len(set(done.stdout.split())) == 8000
    assert count(fresh) == 8000


def test_ids_from_repeats_a_submit_from_elsewhere(fresh: Hodei, tmp_path: Path) -> None:
    file = written(tmp_path, [{"command": "true"} for _ in range(3)])
    first = str(uuid7())
    for _ in range(2):
        ids = fresh.ok("job", "submit", "--file", file, "--ids-from", first).text.split()
        assert ids[0] == first
    assert count(fresh) == 3


def test_the_state_folder_may_be_missing_or_closed(hodei: Hodei, tmp_path: Path) -> None:
    env = {**os.environ, "HOME": "/dev/null/nowhere"}
    env.pop("XDG_STATE_HOME")
    argv = [
        sys.executable,
        "-m",
        "hodei.cli.main",
        "--server",
        hodei.addresses[0],
        "job",
        "submit",
        "--file",
        "-",
    ]
    ran = subprocess.run(
        argv, input=b'{"command": "true"}', env=env, capture_output=True, check=True
    )
    assert uuid.UUID(ran.stdout.decode().strip()).version == 7
