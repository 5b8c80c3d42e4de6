"""ProjectService: the verbs of hodei/fleet/projects.py on the wire."""

from typing import Any

from hodei.access.principal import principal
from hodei.fleet.projects import Projects
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.shapes import wire


class ProjectService(hodei_pb2_grpc.ProjectServiceServicer):
    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    async def ListProjects(
        self, request: pb.ListProjectsRequest, context: Any
    ) -> pb.ListProjectsResponse:
        found = await self._projects.list_all(principal.get())
        return pb.ListProjectsResponse(
            projects=[wire.fill_near(pb.Project, one) for one in found.projects],
            more=found.more,
            cluster_id=str(found.cluster_id),
        )

    async def GrantProject(self, request: pb.GrantProjectRequest, context: Any) -> pb.Project:
        change = self._projects.ungrant if request.undo else self._projects.grant
        changed = await change(request.role, request.project, principal.get())
        return wire.fill_near(pb.Project, changed)
