"""What a job is given in confidence reaches its process, and neither logs nor events nor lists."""

from pathlib import Path

from tests.running import Hodei


def test_environment_input_and_script_are_in_no_log_event_or_list(
    fresh: Hodei, tmp_path: Path
) -> None:
    trace = {"HODEI_LOG": "trace"}
    servers = fresh.stack.server("loud", fresh.url, environment=trace)
    fresh.stack.worker("worker", servers, tmp_path / "worker", fresh.token(), environment=trace)
    script = tmp_path / "script"
    script.write_text('test "$KEY$(cat)" = hidden-envhidden-stdin  # hidden-script')
    jobs = [
        fresh.submit(
            "--env",
            "KEY=hidden-env",
            "--stdin",
            "-",
            "--script",
            str(script),
            stdin=b"hidden-stdin",
        ),
        fresh.submit("--command", "true --password=hidden-argument"),
    ]
    for job in jobs:
        assert fresh.finish(job)["state"] == "SUCCEEDED"
    names = [one["name"] for one in fresh.ok("job", "list", "--format", "json").json]
    assert "true" in names, "by the first word of its command"
    shown = [
        fresh.ok("job", "list").text,
        *(fresh.ok("job", "timeline", job, "--format", "json").text for job in jobs),
        str(fresh.sql("SELECT payload FROM domain_events")),
        str(fresh.sql("SELECT name FROM jobs")),
        fresh.log("loud"),
    ]
    for text in shown:
        assert "hidden-argument" not in text
    for text in (*shown, fresh.log("worker")):
        for secret in ("hidden-env", "hidden-stdin", "hidden-script"):
            assert secret not in text
