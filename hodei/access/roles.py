"""What each role may do, in one table: the methods of the API, and the least role of each.

docs/security.md has the same table for people (`tests/access/test_roles.py` compares them). A method
that is not in it is refused to everybody."""

from enum import StrEnum


class Role(StrEnum):
    """What a caller may do. Each role may do what the role before it may, but for REGISTRAR, which
    registers workers and nothing else."""

    NONE = "none"
    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ADMIN = "admin"
    REGISTRAR = "registrar"


LADDER = (Role.NONE, Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN)
"""The roles that contain each other, from least to most."""

OF_KEYS = (*LADDER[1:], Role.REGISTRAR)
"""The roles that a key may have."""

LEAST: dict[str, Role] = {
    "hodei.v1.JobService/GetJob": Role.VIEWER,
    "hodei.v1.JobService/ResolveJobs": Role.VIEWER,
    "hodei.v1.JobService/ListJobs": Role.VIEWER,
    "hodei.v1.JobService/FindJobs": Role.VIEWER,
    "hodei.v1.JobService/GetTimeline": Role.VIEWER,
    "hodei.v1.JobService/GetAttempts": Role.VIEWER,
    "hodei.v1.JobService/ReadLogs": Role.VIEWER,
    "hodei.v1.JobService/WaitJobs": Role.VIEWER,
    "hodei.v1.FleetService/GetWorker": Role.VIEWER,
    "hodei.v1.FleetService/ListWorkers": Role.VIEWER,
    "hodei.v1.FleetService/GetStatus": Role.VIEWER,
    "hodei.v1.ProjectService/ListProjects": Role.VIEWER,
    "hodei.v1.ProviderService/GetProvider": Role.VIEWER,
    "hodei.v1.ProviderService/ListProviders": Role.VIEWER,
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Role.VIEWER,
    "hodei.v1.JobService/CreateJobs": Role.SUBMITTER,
    "hodei.v1.JobService/CancelJob": Role.SUBMITTER,
    "hodei.v1.JobService/CancelJobs": Role.SUBMITTER,
    "hodei.v1.JobService/RetryJob": Role.SUBMITTER,
    "hodei.v1.JobService/RetryJobs": Role.SUBMITTER,
    "hodei.v1.FleetService/DrainWorker": Role.OPERATOR,
    "hodei.v1.FleetService/RevokeWorker": Role.OPERATOR,
    "hodei.v1.ProviderService/PauseProvider": Role.OPERATOR,
    "hodei.v1.ProviderService/ResumeProvider": Role.OPERATOR,
    "hodei.v1.ProviderService/AddProvider": Role.ADMIN,
    "hodei.v1.ProviderService/RemoveProvider": Role.ADMIN,
    "hodei.v1.ProviderService/AdoptEngine": Role.ADMIN,
    "hodei.v1.FleetService/CreateToken": Role.ADMIN,
    "hodei.v1.FleetService/ListTokens": Role.ADMIN,
    "hodei.v1.FleetService/RevokeToken": Role.ADMIN,
    "hodei.v1.AccessService/CreateApiKey": Role.ADMIN,
    "hodei.v1.AccessService/ListApiKeys": Role.ADMIN,
    "hodei.v1.AccessService/RevokeApiKey": Role.ADMIN,
    "hodei.v1.ProjectService/GrantProject": Role.ADMIN,
    "hodei.v1.SecretService/SetSecret": Role.ADMIN,
    "hodei.v1.SecretService/ListSecrets": Role.ADMIN,
    "hodei.v1.SecretService/RemoveSecret": Role.ADMIN,
    "hodei.v1.SecretService/RotateSecrets": Role.ADMIN,
    "hodei.v1.AccessService/ListEvents": Role.ADMIN,
    # Open to everybody. Register and Connect check a token or a worker's credential themselves.
    "hodei.v1.WorkerService/Register": Role.NONE,
    "hodei.v1.WorkerService/Connect": Role.NONE,
    "hodei.v1.AccessService/WhoAmI": Role.NONE,
    "grpc.health.v1.Health/Check": Role.NONE,
    "grpc.health.v1.Health/List": Role.NONE,
    "grpc.health.v1.Health/Watch": Role.NONE,
}
"""The least role of each method, by its service and name."""

WITHOUT_KEY = frozenset(
    {
        "hodei.v1.WorkerService/Connect",
        "grpc.health.v1.Health/Check",
        "grpc.health.v1.Health/List",
        "grpc.health.v1.Health/Watch",
    }
)
"""Open methods that read no key: a wrong one does not matter there. In all others a key that is
sent must be valid."""


FOR_ONE_PROJECT = frozenset(
    {
        *(method for method in LEAST if method.startswith("hodei.v1.JobService/")),
        "hodei.v1.FleetService/GetWorker",
        "hodei.v1.FleetService/ListWorkers",
        "hodei.v1.FleetService/GetStatus",
        "hodei.v1.ProjectService/ListProjects",
        "hodei.v1.SecretService/SetSecret",
        "hodei.v1.SecretService/ListSecrets",
        "hodei.v1.SecretService/RemoveSecret",
        "hodei.v1.AccessService/WhoAmI",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
)
"""Methods that answer a caller who is bound to a project for that alone. Any other is refused to
it, whatever its role; `tests/end_to_end/test_bound_keys.py` calls each of them."""


def may(role: Role, least: Role) -> bool:
    """Returns whether a caller of a role may call a method with this least role."""
    if least is Role.NONE or role is least:
        return True
    return role in LADDER and least in LADDER and LADDER.index(role) >= LADDER.index(least)
