"""What the tests of `hodei job submit` share."""

import json
from pathlib import Path
from typing import Any

import grpc

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.running import Hodei


def written(folder: Path, specs: list[dict[str, Any]]) -> str:
    path = folder / "specs.json"
    path.write_text(json.dumps(specs))
    return str(path)


def count(hodei: Hodei) -> int:
    return int(hodei.sql("SELECT count(*) FROM jobs")[0][0])


def create(hodei: Hodei, specs: list[dict[str, Any]], *, together: bool = True) -> list[Any]:
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        request = pb.CreateJobsRequest(
            specs=[json.dumps(spec) for spec in specs], all_or_nothing=together
        )
        return list(hodei_pb2_grpc.JobServiceStub(channel).CreateJobs(request, timeout=20).entries)
