"""The manifests of deploy/kubernetes: the API of three versions takes them, and they ask of a platform
what Hodei needs. No cluster runs here: how a kubelet acts on them is not tested."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import hodei
from tests.conftest import TREE

FOLDER = TREE / "deploy/kubernetes"

VERSIONS = ("1.30", "1.34", "1.37")

PROGRAMS = {
    "hodei-server": "hodei.cli.server",
    "hodei-worker": "hodei_worker",
    "hodei": "hodei.cli.main",
}

OF_OTHERS = {
    "hodei": {"HODEI_DATABASE_URL_FILE"},
    "hodei-server": {"HODEI_TLS_CA", "HODEI_TLS_NAME"},
}
"""Variables that `--help` of a program does not name: of its subcommands, and of the health check."""

Manifest = dict[str, Any]


def documents(path: Path) -> list[Manifest]:
    return [*yaml.safe_load_all(path.read_text())]


ALL = [
    pytest.param(document, id=f"{path.stem}-{document['kind']}-{document['metadata']['name']}")
    for path in sorted(FOLDER.glob("*.yaml"))
    for document in documents(path)
]

PODS = [
    pytest.param(document["spec"]["template"]["spec"], id=document["metadata"]["name"])
    for path in sorted(FOLDER.glob("*.yaml"))
    for document in documents(path)
    if document["kind"] in ("Deployment", "Job")
]


def one(kind: str, name: str) -> Manifest:
    (found,) = (
        document
        for path in FOLDER.glob("*.yaml")
        for document in documents(path)
        if (document["kind"], document["metadata"]["name"]) == (kind, name)
    )
    return found


@pytest.mark.parametrize("document", ALL)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_takes_it(document: Manifest, version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="extra `deploy` not installed")
    validate.validate(document, version, strict=True)
    with pytest.raises(validate.ValidationError):
        validate.validate(document | {"nonsense": 1}, version, strict=True)


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_has_no_rights(pod: Manifest) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
    secrets = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert all(secret["defaultMode"] == 0o440 for secret in secrets)


@functools.cache
def usage(module: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
    )
    return ran.stdout


@pytest.mark.parametrize("pod", PODS)
def test_a_container_runs_a_program_of_this_release_with_settings_that_it_has(
    pod: Manifest,
) -> None:
    (container,) = pod["containers"]
    assert container["image"] == f"hodei:{hodei.__version__}"
    program, *arguments = container["command"]
    flags = [word for word in arguments if word.startswith("--")]
    names = {variable["name"] for variable in container["env"]} - OF_OTHERS.get(program, set())
    assert [word for word in (*flags, *names) if word not in usage(PROGRAMS[program])] == []


def test_files_that_settings_name_are_mounted() -> None:
    for pod in PODS:
        (container,) = pod.values[0]["containers"]  # type: ignore[index]
        places = [mount["mountPath"] for mount in container["volumeMounts"]]
        for variable in container["env"]:
            if str(variable.get("value", "")).startswith("/"):
                assert any(variable["value"].startswith(f"{place}/") for place in places), variable


def test_workers_keep_the_addresses_of_servers_that_are_not_ready() -> None:
    headless, callers = one("Service", "hodei-servers"), one("Service", "hodei")
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in callers["spec"]
    worker = one("Deployment", "hodei-worker")["spec"]["template"]["spec"]["containers"][0]
    (address,) = (one["value"] for one in worker["env"] if one["name"] == "HODEI_SERVER")
    assert address == "https://hodei-servers:50051"


def test_a_server_has_time_to_drain_and_lives_without_its_database() -> None:
    pod = one("Deployment", "hodei-server")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ends_after_s = 5 + 5 + 30  # before TERM, workers leave, calls end
    assert pod["terminationGracePeriodSeconds"] > ends_after_s
    for probe, service in (("startupProbe", "WorkerService"), ("livenessProbe", "WorkerService")):
        assert container[probe]["exec"]["command"][-1] == f"hodei.v1.{service}"
    assert container["readinessProbe"]["exec"]["command"][-1] == ""


@pytest.mark.parametrize("name", ["hodei-server", "hodei-worker"])
def test_selectors_fit_the_pods(name: str) -> None:
    labels = one("Deployment", name)["spec"]["template"]["metadata"]["labels"]
    assert one("Deployment", name)["spec"]["selector"]["matchLabels"] == labels
    assert one("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == labels
    if name == "hodei-server":
        assert one("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == labels
        for service in ("hodei", "hodei-servers"):
            assert one("Service", service)["spec"]["selector"] == labels


def test_a_worker_has_time_for_its_jobs_to_end() -> None:
    pod = one("Deployment", "hodei-worker")["spec"]["template"]["spec"]
    *_, drain = pod["containers"][0]["command"]
    assert drain == "10m"
    assert pod["terminationGracePeriodSeconds"] > 10 * 60 + 30


def test_jobs_do_not_reach_the_metadata_address() -> None:
    egress = one("NetworkPolicy", "hodei-worker")["spec"]["egress"]
    blocks = [to["ipBlock"] for rule in egress for to in rule.get("to", []) if "ipBlock" in to]
    excluded = {block["cidr"]: block["except"] for block in blocks}
    assert excluded.keys() == {"0.0.0.0/0", "::/0"}
    assert "169.254.0.0/16" in excluded["0.0.0.0/0"]
    assert "fd00:ec2::254/128" in excluded["::/0"]
    open_rules = [rule for rule in egress if "to" not in rule]
    assert {port["port"] for rule in open_rules for port in rule["ports"]} == {53}
