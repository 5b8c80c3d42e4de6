"""Each call of the API is one verb of flow or fleet, and each verb has its call: a way in has nothing
of its own that a second one would have to copy."""

import ast
import inspect
import textwrap
from typing import Any

from hodei.fleet.access import Access
from hodei.fleet.operations import Fleet
from hodei.fleet.projects import Projects
from hodei.fleet.providers import Providers
from hodei.fleet.secrets import Secrets
from hodei.flow.jobs import Jobs
from hodei.protocol import hodei_pb2 as pb
from hodei.rpc.access_service import AccessService
from hodei.rpc.fleet_service import FleetService
from hodei.rpc.job_service import JobService
from hodei.rpc.project_service import ProjectService
from hodei.rpc.provider_service import ProviderService
from hodei.rpc.secret_service import SecretService

VERBS: dict[type, tuple[type, dict[str, set[str]]]] = {
    JobService: (
        Jobs,
        {
            "CreateJobs": {"submit"},
            "GetJob": {"get"},
            "ResolveJobs": {"resolve"},
            "ListJobs": {"list_jobs"},
            "CancelJob": {"cancel"},
            "FindJobs": {"find"},
            "CancelJobs": {"cancel_many"},
            "RetryJobs": {"retry_many"},
            "GetTimeline": {"timeline"},
            "RetryJob": {"retry"},
            "GetAttempts": {"attempts"},
            "ReadLogs": {"read_logs"},
            "WaitJobs": {"wait"},
        },
    ),
    FleetService: (
        Fleet,
        {
            "ListWorkers": {"list_workers"},
            "GetWorker": {"get_worker"},
            "DrainWorker": {"drain", "undrain"},
            "RevokeWorker": {"revoke"},
            "CreateToken": {"mint_token"},
            "ListTokens": {"list_tokens"},
            "RevokeToken": {"revoke_token"},
            "GetStatus": {"status"},
        },
    ),
    AccessService: (
        Access,
        {
            "WhoAmI": {"who_am_i"},
            "CreateApiKey": {"create_key"},
            "ListApiKeys": {"list_keys"},
            "RevokeApiKey": {"revoke_key"},
            "ListEvents": {"list_events"},
        },
    ),
    ProjectService: (
        Projects,
        {"ListProjects": {"list_all"}, "GrantProject": {"grant", "ungrant"}},
    ),
    SecretService: (
        Secrets,
        {
            "SetSecret": {"set"},
            "ListSecrets": {"list"},
            "RemoveSecret": {"remove"},
            "RotateSecrets": {"rotate"},
        },
    ),
    ProviderService: (
        Providers,
        {
            "AddProvider": {"add"},
            "GetProvider": {"get"},
            "ListProviders": {"list_all"},
            "PauseProvider": {"pause"},
            "ResumeProvider": {"resume"},
            "AdoptEngine": {"adopt_engine"},
            "RemoveProvider": {"remove"},
        },
    ),
}


OWNERS = {
    "self._jobs",
    "self._fleet",
    "self._access",
    "self._projects",
    "self._secrets",
    "self._providers",
}


def verbs_of(call: Any) -> set[str]:
    """What a method of a service asks of its verbs."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(call)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in OWNERS
    }


def test_each_call_is_one_verb_and_each_verb_has_its_call() -> None:
    for service, (verbs, calls) in VERBS.items():
        described = pb.DESCRIPTOR.services_by_name[service.__name__].methods_by_name
        assert set(calls) == set(described)
        assert {name: verbs_of(getattr(service, name)) for name in calls} == calls
        public = {name for name in vars(verbs) if not name.startswith("_")}
        assert set().union(*calls.values()) == public
