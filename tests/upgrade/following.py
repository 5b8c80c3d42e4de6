"""Following jobs and waiting for them by a server of the release before."""

from tests.upgrade.releases import Release


def follow_by_the_server_before(new: Release, server: str, job_id: str) -> None:
    """What it cannot do is done by the client, or refused in words."""
    whole = new.run("job", "logs", job_id, server=server)
    for part, text in (
        (("--attempt", "1"), whole.text),
        (("--since", "1h"), whole.text),
        (("--since", "2100-01-01T00:00:00Z"), ""),
    ):
        assert new.run("job", "logs", "-f", *part, job_id, server=server).text == text
    missing = new.run("job", "logs", "--attempt", "9", job_id, server=server, code=125)
    assert f"no attempt 9 of job {job_id}: it has only attempt 1" in missing.err
    refused = new.run("job", "logs", "--tail", "1", job_id, server=server, code=125)
    assert "older release, which cannot count lines from the end" in refused.err
    waited = new.run("job", "wait", job_id, server=server)
    assert waited.text.startswith(f"{job_id}  SUCCEEDED")
    assert "older release, which cannot wait for jobs" in waited.err
    doomed = new.run("job", "submit", "--label", "at=nowhere", "--command", "true", server=server)
    late = new.run(
        "job", "wait", "--timeout", "1.5s", doomed.text.strip(), job_id, server=server, code=125
    )
    assert late.text.startswith(job_id)
    assert "has not ended within 1.5 s" in late.err
    new.run("job", "cancel", doomed.text.strip(), server=server)
