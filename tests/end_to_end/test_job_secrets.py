"""Secrets of jobs: what they are given, what is refused, and that nothing but the job has them."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.eventually import eventually
from tests.running import Hodei, start

VALUE = "Tr0ub4dor&3/correct horse"
LINES = (
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n"
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two key files, one of either form."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "first").write_bytes(bytes(range(32)))
    (folder / "second").write_text("0f" * 32 + "\n")
    return [folder / "first", folder / "second"]


@pytest.fixture(scope="module")
def secretive(
    pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory, keys: list[Path]
) -> Iterator[Hodei]:
    """A server with a key, and a worker."""
    folder = tmp_path_factory.mktemp("secretive")
    running = start(pg_server, folder, servers=0)
    flags = ("--secret-key-file", str(keys[0]))
    running.addresses.append(running.stack.server("server-0", running.url, 0, *flags))
    running.stack.worker(
        "worker", running.addresses[0], folder / "worker", running.token(), "--slots", "4"
    )
    running.ok("secret", "set", "token", stdin=VALUE.encode() + b"\n")
    running.ok("secret", "set", "pem", stdin=LINES.encode())
    yield running
    running.stack.stop()
    running.conn.close()


def everything(hodei: Hodei) -> bytes:
    """What the database, the logs of the programs and the worker's folder hold."""
    dumped = subprocess.run(
        ["pg_dump", "--data-only", "--inserts", hodei.url], capture_output=True, check=False
    ).stdout
    files = (path for path in hodei.folder.rglob("*") if path.is_file())
    return dumped + b"".join(path.read_bytes() for path in files)


def test_a_job_has_the_values_and_its_log_has_none(secretive: Hodei) -> None:
    script = """
printf '%s' "$TOKEN" | cksum
printf '%s' "$PEM" | cksum
echo "token=$TOKEN;" "$PEM" >&2
printf 'AB%s\\n' "$TOKEN" | base64 -w0
"""
    job = secretive.submit("--secret", "TOKEN=token", "--secret", "PEM=pem", "--command", script)
    assert secretive.finish(job)["state"] == "SUCCEEDED"
    read = secretive.ok("job", "logs", job)
    log = read.text + read.err
    sums = [
        subprocess.run(["cksum"], input=value.encode(), capture_output=True, check=True).stdout
        for value in (VALUE, LINES)
    ]
    assert sums[0].decode() + sums[1].decode() in log
    assert "token=***; ***" in log
    for form in (VALUE, *LINES.split("\n")[1:3], VALUE[:20]):
        assert form not in log
    middle = base64.b64encode(b"AB" + VALUE.encode())[4:-4].decode()
    assert middle not in log


def test_nothing_but_the_job_has_a_value(secretive: Hodei, tmp_path: Path) -> None:
    """While it runs: neither the database nor a file, a command line or a log of a program."""
    secret = "n0where-t0-be-f0und-but-in-the-j0b"
    secretive.ok("secret", "set", "nowhere", stdin=secret.encode())
    gate = tmp_path / "gate"
    job = secretive.submit(
        "--secret",
        "S=nowhere",
        "--command",
        f'echo "$S"; echo ready; until [ -e {gate} ]; do sleep 0.05; done',
    )
    secretive.wrote(job, "ready")
    shown = secretive.ok("job", "get", job, "--format", "json").text
    found = everything(secretive)
    commands = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, check=True).stdout
    tables = json.dumps(
        [
            [str(value) for value in row]
            for table in ("jobs", "leases", "domain_events", "job_logs", "secrets")
            for row in secretive.sql(f"SELECT t::text FROM {table} t")
        ]
    ).encode()
    gate.touch()
    assert secretive.finish(job)["state"] == "SUCCEEDED"
    for text in (shown.encode(), found, commands, tables):
        assert secret.encode() not in text
        assert base64.b64encode(secret.encode()) not in text
    assert b"nowhere" in tables, "the name is no secret"


def test_an_unknown_name_refuses_the_submit(secretive: Hodei) -> None:
    words = "secret nobody: project default has none of this name; `hodei secret set` makes it"
    for flags in ([], ["--partial"]):
        spec = b'{"command": "true", "env": {"A": {"secret": "nobody"}}}'
        ran = secretive.run("job", "submit", *(["--file", "-", *flags]), stdin=spec)
        assert ran.code != 0
        assert words in ran.err
    one = secretive.run("job", "submit", "--secret", "A=nobody", "--", "true")
    assert one.code != 0
    assert words in one.err
    with pytest.raises(Exception, match="secret nobody: project default has none of this name"):
        secretive.sql("SELECT hodei_enqueue(%s::jsonb)", spec.decode())
    assert secretive.sql(
        'SELECT hodei_enqueue(\'{"command": "true", "env": {"A": {"secret": "token"}}}\')'
    )


def test_a_removed_secret_fails_the_start_in_words(secretive: Hodei) -> None:
    secretive.ok("secret", "set", "short-lived", stdin=b"12345678")
    job = secretive.submit("--run-at", "+1h", "--secret", "A=short-lived", "--", "true")
    secretive.ok("secret", "remove", "short-lived")
    secretive.sql("UPDATE job_queue SET waiting = NULL, ready_at = NULL WHERE job_id = %s", job)
    ended = secretive.finish(job)
    assert (ended["state"], ended["reason"]) == ("FAILED", "START_FAILED")
    assert ended["message"] == (
        "secret short-lived: there is none of this name any more; set it, then run the job again"
    )
    missing = secretive.run("secret", "remove", "short-lived")
    assert missing.code != 0
    assert "no secret short-lived in project default" in missing.err


def test_bad_values_are_refused(secretive: Hodei, tmp_path: Path) -> None:
    for value, flags, words in (
        (b"1234567", [], "at least 8 bytes, got 7"),
        (b"", ["--allow-short"], "at least 1 byte, got none"),
        (b"x" * 65_537, [], "at most 65536 bytes, got 65537"),
        (b"x" * 100_000, [], "at most 65536 bytes"),
        (b"abc\0defgh", [], "without NUL"),
        (b"\xff" * 9, [], "expected UTF-8 text"),
    ):
        ran = secretive.run("secret", "set", "bad", *flags, stdin=value)
        assert ran.code != 0
        assert words in ran.err
        assert "Traceback" not in ran.err
    assert secretive.run("secret", "set", "-x y", stdin=b"12345678").code != 0
    assert secretive.ok("secret", "set", "short", "--allow-short", stdin=b"abc").code == 0
    path = tmp_path / "large"
    path.write_text("y" * 65_536)
    secretive.ok("secret", "set", "large", "--file", str(path))
    listed = secretive.ok("secret", "list", "--format", "json").json
    assert {"large", "short", "token"} <= {one["name"] for one in listed}
    assert "yyyy" not in secretive.ok("secret", "list").text


def test_a_secret_of_64_kib_is_given_and_masked(secretive: Hodei) -> None:
    value = "0123456789abcdef" * 4096
    secretive.ok("secret", "set", "longest", stdin=value.encode())
    job = secretive.submit(
        "--secret", "A=longest", "--command", 'echo "${#A}"; echo "$A"; echo end'
    )
    assert secretive.finish(job)["state"] == "SUCCEEDED"
    assert secretive.ok("job", "logs", job).text == "65536\n***\nend\n"


def test_a_new_value_is_for_offers_from_then_on(secretive: Hodei, tmp_path: Path) -> None:
    secretive.ok("secret", "set", "turned", stdin=b"first-value")
    gate = tmp_path / "gate"
    command = (
        f'until [ -e {gate} ]; do sleep 0.05; done; echo "$A"; echo "${{A%-*}}"; echo second-value'
    )
    before = secretive.submit("--secret", "A=turned", "--command", command)
    secretive.until(before, "RUNNING")
    secretive.ok("secret", "set", "turned", stdin=b"second-value")
    ((kept,),) = secretive.sql("SELECT secrets FROM leases WHERE job_id = %s", before)
    assert kept == {"turned": 1}
    gate.touch()
    after = secretive.submit("--secret", "A=turned", "--command", command)
    assert secretive.finish(before)["state"] == secretive.finish(after)["state"] == "SUCCEEDED"
    assert secretive.ok("job", "logs", before).text == "***\nfirst\nsecond-value\n"
    assert secretive.ok("job", "logs", after).text == "***\nsecond\n***\n"
    kinds = "SELECT event_type, actor FROM domain_events WHERE aggregate_id = 'default/turned' ORDER BY occurred_at"
    assert [kind for kind, _ in secretive.sql(kinds)] == ["SecretSet", "SecretSet"]


def test_a_server_without_the_key_leaves_it_to_others(secretive: Hodei, keys: list[Path]) -> None:
    """One with another key claims such a job and hands it back; one with none does not claim it."""
    flags = ("--secret-key-file", str(keys[1]))
    others = [
        secretive.stack.server("server-none", secretive.url),
        secretive.stack.server("server-other", secretive.url, 0, *flags),
    ]
    secretive.addresses += others
    ran = secretive.run("secret", "set", "any", stdin=b"12345678", server=1)
    assert ran.code != 0
    assert "this server has no key for secrets: start every server with --secret-key-fil" in ran.err
    refused = secretive.run("secret", "rotate", server=0)
    assert refused.code != 0
    assert "does not have the key" in refused.err
    assert any(f"server {address} on" in refused.err for address in others)
    for address, name in zip(others, ("keyless", "stranger"), strict=True):
        folder = secretive.folder / name
        secretive.stack.worker(name, address, folder, secretive.token(), "--label", f"of={name}")
    job = secretive.submit("--secret", "A=token", "--label", "of=stranger", "--", "true")
    words = "this server does not have the key"
    back = "SELECT payload ->> 'reason' FROM domain_events WHERE aggregate_id = %s AND event_type = 'JobUnassigned'"
    ((reason,),) = eventually(lambda: secretive.sql(back, job))
    assert reason.startswith(words)
    assert words in secretive.log("server-other")
    secretive.ok("job", "cancel", job)
    for _ in range(8):
        assert (
            secretive.finish(secretive.submit("--secret", "A=token", "--", "true"))["state"]
            == "SUCCEEDED"
        )
    ran_by = """
SELECT DISTINCT w.name, w.labels ? 'hodei/secrets'
FROM jobs j JOIN workers w ON w.id = j.worker_id
WHERE j.spec -> 'labels' ? 'hodei/secrets' AND j.state = 'SUCCEEDED'
"""
    ((_, labelled),) = secretive.sql(ran_by)
    assert labelled
    for part in [
        part
        for part in secretive.stack.parts
        if part.name in ("server-none", "server-other", "keyless", "stranger")
    ]:
        secretive.stack.stop_part(part)
        secretive.stack.parts.remove(part)
    del secretive.addresses[1:]


def test_keys_are_rotated_while_jobs_run(secretive: Hodei, keys: list[Path]) -> None:
    """The new key behind the old one, then before it; the old one alone no longer decrypts."""
    both = ("--secret-key-file", str(keys[1]), "--secret-key-file", str(keys[0]))
    secretive.addresses.append(secretive.stack.server("server-both", secretive.url, 0, *both))
    refused = secretive.run("secret", "rotate", server=1)
    assert "does not have the key" in refused.err
    (first,) = [part for part in secretive.stack.parts if part.name == "server-0"]
    secretive.stack.stop_part(first)
    secretive.stack.parts.remove(first)
    rotated = eventually(
        lambda: [r for r in [secretive.run("secret", "rotate", server=1)] if r.code == 0]
    )
    assert "versions are encrypted anew, all now with key" in rotated[0].text
    assert len({key for (key,) in secretive.sql("SELECT key_id FROM secrets")}) == 1
    worker = secretive.stack.worker(
        "after", secretive.addresses[1], secretive.folder / "after", secretive.token()
    )
    job = secretive.submit("--secret", "A=token", "--command", 'echo "<$A>"', server=1)
    assert secretive.finish(job, server=1)["state"] == "SUCCEEDED"
    assert secretive.ok("job", "logs", job, server=1).text == "<***>\n"
    assert not worker.ended
