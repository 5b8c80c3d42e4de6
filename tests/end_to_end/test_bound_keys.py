"""API keys that are bound to a project, through the real programs: each method answers for a job of
another project, byte for byte, as for one that does not exist."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from hodei.access.roles import FOR_ONE_PROJECT, LEAST
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc as rpc
from tests.end_to_end.asked_of_jobs import REQUESTS
from tests.eventually import eventually
from tests.running import Hodei, start


class Caller:
    """Who calls with a key."""

    def __init__(self, channel: grpc.Channel, key: str) -> None:
        self.metadata = (("authorization", f"Bearer {key}"),)
        self._channel = channel
        self.stubs = [
            rpc.JobServiceStub(channel),
            rpc.FleetServiceStub(channel),
            rpc.ProjectServiceStub(channel),
            rpc.SecretServiceStub(channel),
        ]

    def __getattr__(self, method: str) -> Callable[[Any], Any]:
        (call,) = (getattr(stub, method) for stub in self.stubs if hasattr(stub, method))
        return lambda request: call(request, metadata=self.metadata, timeout=20)

    def answer(self, method: str, request: Any) -> bytes:
        """Its status and words, or all bytes of its messages."""
        try:
            answer = getattr(self, method)(request)
            messages = [answer] if hasattr(answer, "SerializeToString") else list(answer)
        except grpc.RpcError as error:
            return f"{error.code()} {error.details()}".encode()
        return b"\n".join(message.SerializeToString(deterministic=True) for message in messages)

    def submit(self, *specs: str, project: str = "") -> Any:
        return self.CreateJobs(pb.CreateJobsRequest(specs=specs, project=project)).entries


@dataclass
class Scene:
    """Red has a job that has ended, one that runs and one that waits; blue has one that waits."""

    hodei: Hodei
    channel: grpc.Channel
    root: Caller
    red: Caller
    blue: Caller
    jobs: Mapping[str, str]
    blue_job: str


CORRELATION = "red-release-42"
SPEC = '{"command": "%s", "name": "red-secret", "correlation_id": "%s", "labels": {"at": "%s"}}'


@pytest.fixture(scope="module")
def scene(pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("bound")
    hodei = start(pg_server, folder, servers=1)
    hodei.stack.worker(
        "worker", hodei.addresses[0], folder / "worker", hodei.token(), "--label", "at=here"
    )
    with ExitStack() as ends, pytest.MonkeyPatch.context() as patch:
        ends.callback(hodei.conn.close)
        ends.callback(hodei.stack.stop)
        channel = ends.enter_context(grpc.insecure_channel(hodei.addresses[0]))

        def caller(name: str, *flags: str) -> Caller:
            made = hodei.ok("apikey", "create", "--role", "admin", "--name", name, *flags)
            if name == "root":
                patch.setenv("HODEI_API_KEY", made.text.strip())
            return Caller(channel, made.text.strip())

        root = caller("root")
        red, blue = (caller(name, "--project", name) for name in ("red", "blue"))
        jobs = {
            state: red.submit(SPEC % (command, CORRELATION, at))[0].job_id
            for state, command, at in (
                ("SUCCEEDED", "echo red words", "here"),
                ("RUNNING", "echo begun; exec sleep 300", "here"),
                ("PENDING", "true", "nowhere"),
            )
        }
        for state, job_id in jobs.items():
            hodei.until(job_id, state)
        hodei.wrote(jobs["RUNNING"], "begun")
        waits = blue.submit('{"command": "true", "labels": {"at": "nowhere"}}')[0].job_id
        yield Scene(hodei, channel, root, red, blue, jobs, waits)


APART = {"CreateJobs"}
"""Methods with a test of their own below."""


@pytest.mark.parametrize("method", REQUESTS)
def test_a_job_of_another_project_is_one_that_does_not_exist(scene: Scene, method: str) -> None:
    absent, nothing = str(uuid.uuid4()), "no-release-0042"[: len(CORRELATION)]
    assert len(nothing) == len(CORRELATION)

    def answers(job_id: str, correlation: str) -> list[bytes]:
        return [
            scene.blue.answer(method, request).replace(job_id.encode(), b"the job")
            for request in REQUESTS[method](job_id, correlation)
        ]

    expected = answers(absent, nothing)
    for job_id in scene.jobs.values():
        assert answers(job_id, CORRELATION) == expected
    states = {
        scene.hodei.sql("SELECT state FROM jobs WHERE id = %s", j)[0][0]
        for j in scene.jobs.values()
    }
    assert states == set(scene.jobs), "and nothing was done to them"
    assert answers(scene.blue_job, CORRELATION) != expected, "its own job it does see"


def test_every_method_is_asked() -> None:
    asked = {f"hodei.v1.JobService/{method}" for method in [*REQUESTS, *APART]}
    ours = {method for method in LEAST if method.startswith("hodei.v1.JobService/")}
    assert asked == ours


def test_an_id_of_another_project_is_taken_by_every_way_of_creating(scene: Scene) -> None:
    red = scene.jobs["SUCCEEDED"]
    spec = SPEC % ("echo red words", CORRELATION, "here")
    same = spec.replace("{", f'{{"id": "{red}", ', 1)
    words = f"id: this id is taken, expected another one than {red}"
    for all_or_nothing in (False, True):
        request = pb.CreateJobsRequest(
            specs=[same, '{"command": "true", "labels": {"at": "nowhere"}}'],
            all_or_nothing=all_or_nothing,
        )
        entry = scene.blue.CreateJobs(request).entries[0]
        assert (entry.error_code, entry.error, entry.existed) == ("ALREADY_EXISTS", words, False)
    assert scene.red.submit(same)[0].existed, "in its own project it is the same job"

    ended = scene.blue.submit('{"command": "true", "labels": {"at": "nowhere"}}')[0].job_id
    scene.blue.CancelJob(pb.CancelJobRequest(job_id=ended))
    retry = pb.RetryJobRequest(job_id=ended, new_job_id=red)
    assert scene.blue.answer("RetryJob", retry).decode() == f"StatusCode.ALREADY_EXISTS {words}"
    (one,) = scene.blue.RetryJobs(pb.RetryJobsRequest(retries=[retry])).entries
    assert (one.refusal, one.message) == ("DUPLICATE", f"new {words}")
    assert scene.hodei.sql("SELECT retry_of FROM jobs WHERE id = %s", red) == [(None,)]


def test_a_project_that_is_named_is_its_own_or_nothing(scene: Scene) -> None:
    """Whether another one exists is not told."""
    for make in (
        lambda name: (
            "CreateJobs",
            pb.CreateJobsRequest(specs=['{"command": "true"}'], project=name),
        ),
        lambda name: ("ListJobs", pb.ListJobsRequest(filter=pb.JobFilter(project=name))),
        lambda name: ("FindJobs", pb.FindJobsRequest(filter=pb.JobFilter(project=name))),
    ):
        red, absent = (
            scene.blue.answer(*make(name)).replace(name.encode(), b"it") for name in ("red", "nix")
        )
        assert red == absent
        assert b"INVALID_ARGUMENT project: expected blue, which this caller is bound to" in red
    own = pb.ListJobsRequest(filter=pb.JobFilter(project="blue"))
    assert scene.blue_job in {job.job_id for job in scene.blue.ListJobs(own).jobs}


def test_of_workers_and_the_whole_it_sees_its_own_and_numbers(scene: Scene) -> None:
    running = scene.jobs["RUNNING"]

    def current() -> bool:
        worker = scene.red.ListWorkers(pb.ListWorkersRequest()).workers[0]
        return bool(worker.current_job_id == running)

    eventually(current, 30)
    (listed,) = scene.blue.ListWorkers(pb.ListWorkersRequest()).workers
    assert (listed.current_job_id, listed.current_job_name) == ("", "")
    seen = scene.blue.GetWorker(pb.WorkerRef(worker_id=listed.worker_id))
    assert (list(seen.jobs), seen.jobs_in_all, seen.other_jobs) == ([], 0, 1)
    assert [dict(one.labels) for one in seen.lacking] == [{"at": "nowhere"}]
    mine = scene.red.GetWorker(pb.WorkerRef(worker_id=listed.worker_id))
    assert ([one.job_id for one in mine.jobs], mine.other_jobs) == ([running], 0)

    queued = scene.hodei.sql("SELECT project, count(*) FROM job_queue GROUP BY project")
    for who, name in ((scene.red, "red"), (scene.blue, "blue")):
        status = who.GetStatus(pb.GetStatusRequest())
        count = dict(queued)[name]
        assert (status.queued, status.queued_ready, status.unservable) == (count, count, count)
        assert sum(one.jobs for one in status.unservable_sets) == count
        assert status.jobs["RUNNING"] == (name == "red")
        projects = who.ListProjects(pb.ListProjectsRequest()).projects
        assert [(one.project, one.keys) for one in projects] == [(name, 1)]
    whole = scene.root.GetStatus(pb.GetStatusRequest())
    assert whole.queued == sum(dict(queued).values())
    everything = scene.root.ListProjects(pb.ListProjectsRequest()).projects
    assert {one.project for one in everything} >= {"default", "red", "blue"}


def test_why_a_job_waits_names_no_job_of_others(scene: Scene) -> None:
    """The worker's four slots are taken by red's jobs, and one of red's is before blue's."""
    sleeps = SPEC % ("exec sleep 300", CORRELATION, "here")
    taken = [entry.job_id for entry in scene.red.submit(*[sleeps] * 4)]
    theirs = SPEC.replace("{", '{"priority": 9, ', 1) % ("true", CORRELATION, "here")
    (before,) = scene.red.submit(theirs)
    (mine,) = scene.blue.submit('{"command": "true", "labels": {"at": "here"}}')

    def words() -> str:
        said: str = scene.blue.GetJob(pb.JobRef(job_id=mine.job_id)).waiting_for
        return said if "before it" in said else ""

    assert eventually(words, 30).endswith(", 2 jobs before it")
    for job_id in [*taken, before.job_id]:
        scene.red.answer("CancelJob", pb.CancelJobRequest(job_id=job_id))
    scene.hodei.until(mine.job_id, "SUCCEEDED")


def test_what_concerns_all_projects_is_refused_whatever_the_role(scene: Scene) -> None:
    """Each method that the list does not name, so that a new one is refused until somebody has made
    it answer for one project. A bound key registers no worker: it would get the jobs of others."""
    reads_no_key = {"hodei.v1.WorkerService/Connect"}
    refused = [
        method
        for method in sorted(LEAST.keys() - FOR_ONE_PROJECT - reads_no_key)
        if method.startswith("hodei.v1.")
    ]
    assert len(refused) >= 9
    words = "the API key blue reaches only project blue: expected one of all projects for this"
    for method in refused:
        call: Any = scene.channel.unary_unary(f"/{method}")
        with pytest.raises(grpc.RpcError) as error:
            call(b"", metadata=scene.blue.metadata, timeout=20)
        said: Any = error.value
        assert (said.code(), said.details()) == (grpc.StatusCode.PERMISSION_DENIED, words), method


def test_secrets_of_another_project_do_not_exist(scene: Scene) -> None:
    scene.hodei.sql(
        "INSERT INTO secrets (project, name, version, key_id, sealed) VALUES "
        "('red', 'red-only', 1, 'k', 'x'), ('blue', 'blue-only', 1, 'k', 'x')"
    )
    theirs, absent = (
        scene.blue.answer("RemoveSecret", pb.SecretRef(name=name)).replace(name.encode(), b"it")
        for name in ("red-only", "nix-only")
    )
    assert theirs == absent
    assert theirs.startswith(b"StatusCode.NOT_FOUND")
    mine = scene.blue.ListSecrets(pb.ListSecretsRequest()).secrets
    assert [one.name for one in mine] == ["blue-only"]
    for method, request in (("ListSecrets", pb.ListSecretsRequest), ("RemoveSecret", pb.SecretRef)):
        red, nix = (
            scene.blue.answer(method, request(project=name, **more)).replace(name.encode(), b"it")
            for name in ("red", "nix")
            for more in ([{"name": "a"}] if method == "RemoveSecret" else [{}])
        )
        assert red == nix
        assert b"PERMISSION_DENIED" in red
    spec = '{"command": "true", "env": {"A": {"secret": "%s"}}}'
    entries = scene.blue.submit(spec % "red-only", spec % "nix-only")
    words = [
        entry.error.replace(n, "it")
        for entry, n in zip(entries, ("red-only", "nix-only"), strict=True)
    ]
    assert words[0] == words[1] != ""
    assert scene.hodei.sql("SELECT count(*) FROM secrets WHERE ended_at IS NULL") == [(2,)]
