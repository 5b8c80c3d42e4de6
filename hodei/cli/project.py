"""`hodei project …`, and the check that a server knows projects."""

from typing import TYPE_CHECKING

import click

from hodei.cli import show
from hodei.cli.client import Client, connect
from hodei.cli.groups import Group
from hodei.cli.older_server import unless_older
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.fleet import Project

if TYPE_CHECKING:
    from hodei.protocol import hodei_pb2 as pb

NO_PROJECTS = "has no projects"
"""What a server of an older release lacks."""


@click.group(cls=Group, epilog="\b\nExample:\n  hodei project grant shop_app shop")
def project() -> None:
    """List projects; say which roles of the database may enqueue into them.

    A project is there as soon as a job, an API key, a secret or a grant names it. `hodei apikey create
    --project` binds a key to one."""


@project.command(name="list", epilog="\b\nExample:\n  hodei project list")
@show.format_option
@click.pass_obj
def list_projects(servers: str, output: str) -> None:
    """Projects that jobs, API keys, secrets or grants name."""
    with connect(servers) as client:
        answer = projects_of(client)
    found = [wire.read(Project, one) for one in answer.projects]
    if answer.more:
        click.echo(f"hodei: further projects than these {len(found)} are not shown", err=True)
    if show.emit(output, found):
        return
    show.table(
        [
            show.Column("project"),
            show.Column("API keys", leaves=1),
            show.Column("roles that may enqueue by SQL", cut=True),
        ],
        [[one.project, str(one.keys), " ".join(one.roles)] for one in found],
        none="no projects",
    )


@project.command(
    epilog="""\b
Example:
  hodei project grant shop_app shop"""
)
@click.argument("role")
@click.argument("name", metavar="PROJECT")
@show.format_option
@click.pass_obj
def grant(servers: str, role: str, name: str, output: str) -> None:
    """Let a role of the database enqueue into a project.

    Its members may, too. With a first grant a role loses the project `default`, unless that is
    granted to it as well."""
    if not show.emit(output, _granted(servers, role, name, undo=False)):
        click.echo(shown(f"role {role} may enqueue into project {name}"))


@project.command(
    epilog="""\b
Example:
  hodei project ungrant shop_app shop"""
)
@click.argument("role")
@click.argument("name", metavar="PROJECT")
@show.format_option
@click.pass_obj
def ungrant(servers: str, role: str, name: str, output: str) -> None:
    """Take such a grant back.

    A role without any grant enqueues into the project `default`."""
    if not show.emit(output, _granted(servers, role, name, undo=True)):
        click.echo(shown(f"role {role} may no longer enqueue into project {name}"))


def _granted(servers: str, role: str, name: str, *, undo: bool) -> Project:
    from hodei.protocol import hodei_pb2 as pb

    request = pb.GrantProjectRequest(role=role, project=name, undo=undo)
    with connect(servers) as client, unless_older(client, NO_PROJECTS):
        return wire.read(Project, client.call(client.projects.GrantProject, request))


def projects_of(client: Client) -> "pb.ListProjectsResponse":
    """Asks a server for its projects. Failure: it is of a release that has none, and would create
    each job in the same one."""
    from hodei.protocol import hodei_pb2 as pb

    with unless_older(client, NO_PROJECTS):
        found: pb.ListProjectsResponse = client.call(
            client.projects.ListProjects, pb.ListProjectsRequest()
        )
    return found
