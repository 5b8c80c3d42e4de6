"""The release before beside this one: no job with a secret ever gets to one of its workers, and each
door of it refuses such a job in words."""

from pathlib import Path

from hodei.local.stack import mint_token
from tests.upgrade.releases import Both

SPEC = {"command": 'echo "<$A>"', "env": {"A": {"secret": "token"}}}


def test_only_workers_that_mask_get_a_secret(releases: Both, tmp_path: Path) -> None:
    """Old and new servers, and an old worker that even claims the label, beside a new one."""
    old, new = releases.old, releases.new
    new.db("apply")
    key = tmp_path / "key"
    key.write_text("0f" * 32)
    old.server("server", releases.ports[0])
    old.worker("old", releases.addresses[:1], "a")
    new.stack.server("server", new.url, releases.ports[1], "--secret-key-file", str(key))
    value = tmp_path / "value"
    value.write_text("not-for-old-workers")
    new.run("secret", "set", "token", "--file", str(value), server=releases.addresses[1])
    rotated = new.run("secret", "rotate", server=releases.addresses[1], code=125)
    assert "does not have the key" in rotated.err

    job = releases.enqueue_spec(SPEC)
    liar = ("--label", "hodei/secrets=yes", "--label", "at=b")
    folder, token = tmp_path / "liar", mint_token(new.url)
    old.stack.worker("liar", releases.addresses[1], folder, token, *liar)
    for at in "ab":
        releases.until(releases.enqueue(at), "SUCCEEDED")
    assert releases.state(job) == "PENDING"

    new.worker("new", releases.addresses[1:], "c")
    releases.until(job, "SUCCEEDED")
    log = new.run("job", "logs", job, server=releases.addresses[1]).text
    assert log == "<***>\n"


def test_an_old_server_refuses_in_words(releases: Both) -> None:
    old, new = releases.old, releases.new
    old.server("server", releases.ports[0])
    address = releases.addresses[0]
    ran = new.run("job", "submit", "--secret", "A=token", "--", "true", server=address, code=125)
    assert "this server is of an older release, which has no secrets" in ran.err
    for words in (["set", "x", "--file", "/dev/null"], ["list"], ["remove", "x"], ["rotate"]):
        ran = new.run("secret", *words, server=address, code=125)
        assert "older release" in ran.err, ran
