"""Starts the container of a job: image, container, files, program."""

from collections.abc import Callable

from hodei.protocol.words import Reason
from hodei_worker.containers import create, credentials, reference
from hodei_worker.containers.allowed import FILES, NotAllowed
from hodei_worker.containers.create import Program
from hodei_worker.containers.engine import EngineError
from hodei_worker.containers.images import Image
from hodei_worker.containers.parts import Parts
from hodei_worker.containers.programs import search_path
from hodei_worker.containers.pulls import PullFailed
from hodei_worker.containers.reference import BadName
from hodei_worker.supervisor.executor import Start
from hodei_worker.supervisor.result import Cause, failed

REFUSED = range(400, 500)
"""Answers by which the engine has created nothing: the request is bad, or a container that is not ours
has the name."""


class Refused(Exception):
    """The container cannot be started; `cause` says why."""

    def __init__(self, reason: Reason, words: str) -> None:
        super().__init__(words)
        self.cause: Cause = failed(reason, words)


class Starting:
    """The start of one container, which may fail at each of its steps."""

    def __init__(self, parts: Parts, start: Start, name: str, tell: Callable[[str], None]) -> None:
        """`tell` gets lines about the pull, for the job's log."""
        self._parts = parts
        self._start = start
        self._name = name
        self.tell = tell
        self.asked = False  # the engine was asked to create the container, and may have done so
        self.created = False  # and has done so

    async def run(self) -> str:
        """Returns the signal that stops the container, when it has been started. Raises Refused or
        EngineGone."""
        parts, spec = self._parts, self._start.spec
        if "image" not in spec:
            raise Refused(Reason.START_FAILED, "this worker runs only jobs with an image")
        try:
            parts.allowed.check_image(reference.read(spec["image"]))
            login = self._start.secrets.get(spec.get("registry_secret", ""), "")
            image = await parts.images.get(spec, login, self.tell)
            await self._create(image)
            await parts.engine.call("POST", f"/containers/{self._name}/start")
        except PullFailed as error:
            raise Refused(Reason.IMAGE_PULL_FAILED, str(error)) from None
        except (BadName, NotAllowed, EngineError) as error:
            raise Refused(Reason.START_FAILED, str(error)) from None
        return f"SIG{spec['term']}" if "term" in spec else image.stop_signal

    async def _create(self, image: Image) -> None:
        parts, start, name = self._parts, self._start, self._name
        program = Program(start.spec, image.config)
        if not program.first:
            words = "neither the job nor its image names a program to run"
            raise Refused(Reason.START_FAILED, words)
        proxies = credentials.proxies(parts.settings.docker_config)
        owner = parts.settings.owner
        body = create.body(start, program, image.id, parts.allowed, owner, proxies)
        query = {"name": name}
        if "platform" in start.spec:
            query["platform"] = start.spec["platform"]
        self.asked = True
        try:
            await parts.engine.call("POST", "/containers/create", body, query)
        except EngineError as error:
            self.asked = error.status not in REFUSED
            raise
        self.created = True
        if program.files:
            archive = f"/containers/{name}/archive"
            await parts.engine.call("PUT", archive, program.archive(), {"path": FILES})
        path = search_path(image.environment, body["Env"])
        if not await parts.programs.has(name, image, path, program.first):
            words = f"{program.first}: no such program in the image"
            raise Refused(Reason.START_FAILED, words)
