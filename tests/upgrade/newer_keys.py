"""Specs with keys and values that the release before does not know, on its server and its worker."""

from tests.upgrade.releases import Both, Release


def newer_keys_are_named(new: Release, old_server: str) -> None:
    """A server of the release before takes a time that was given as text, and what it does not know
    is said to be that."""
    spec = ["job", "submit", "--label", "at=nowhere", "--command", "true"]
    taken = new.run(*spec, "--timeout", "1h30m", server=old_server).text.strip()
    new.run("job", "cancel", taken, server=old_server)
    for flags in (["--umask", "0022"], ["--term-signal", "INT"]):
        refused = new.run(*spec, *flags, server=old_server, code=125)
        assert "this server is of an older release, which has no such key" in refused.err


def an_older_worker_runs_without_them(
    new: Release, new_server: str, label: str, releases: Both
) -> None:
    """A worker of the release before knows no `umask` and no `term`: the job has the worker's."""
    submit = ["job", "submit", "--label", f"at={label}", "--umask", "0712", "--term-signal", "INT"]
    job_id = new.run(*submit, "--command", "umask", server=new_server).text.strip()
    releases.until(job_id, "SUCCEEDED")
    assert "0712" not in new.run("job", "logs", job_id, server=new_server).text
