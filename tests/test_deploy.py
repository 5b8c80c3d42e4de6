"""What lies in deploy/ is what the programs take."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hodei.local.embedded_postgres import free_port
from tests.conftest import TREE
from tests.eventually import eventually
from tests.running import Hodei

UNITS = sorted((TREE / "deploy/systemd").glob("*.service"))

MOST_EXPOSED = 15
"""Tenths of systemd's exposure level of the server's unit: 0 is none, 100 the whole machine."""

NO_MEMORY_TO_WRITE_AND_RUN = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""A program that gives itself the kernel's form of MemoryDenyWriteExecute=yes (PR_SET_MDWE, Linux
6.3), and becomes its arguments. An older kernel leaves it as it is."""


def unit(path: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(path.read_text())
    return parsed


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_program_of_ours_with_flags_that_it_has(path: Path) -> None:
    program, *flags = unit(path)["Service"]["ExecStart"].split()
    module = {"hodei-server": "hodei.cli.server", "hodei-worker": "hodei_worker"}[
        Path(program).name
    ]
    usage = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(flag in usage for flag in flags if flag.startswith("--"))


def test_stopping_the_worker_stops_only_the_agent() -> None:
    service = unit(TREE / "deploy/systemd/hodei-worker.service")["Service"]
    assert service["KillMode"] == "process"
    assert "--on-worker-exit keep" in service["ExecStart"]
    assert float(service["TimeoutStopSec"]) > 30, "longer than --drain-timeout"


def analyze(verb: str, path: Path, folder: Path, *drop_ins: Path) -> tuple[int, str]:
    """Exit code and output of `systemd-analyze VERB` for a unit, whose program need not be there."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    copy = folder / path.name
    copy.write_text(
        re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(), flags=re.MULTILINE)
    )
    for drop_in in drop_ins:
        (folder / f"{path.name}.d").mkdir(exist_ok=True)
        shutil.copy(drop_in, folder / f"{path.name}.d")
    command = ["systemd-analyze", *verb.split(), str(copy)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_finds_nothing_to_say(path: Path, tmp_path: Path) -> None:
    assert analyze("verify", path, tmp_path) == (0, "")


def test_a_servers_unit_with_its_drop_ins_is_still_one(tmp_path: Path) -> None:
    folder = TREE / "deploy/systemd"
    drop_ins = (folder / "tls.conf", folder / "secrets.conf")
    assert analyze("verify", folder / "hodei-server.service", tmp_path, *drop_ins) == (0, "")


def test_a_server_is_hardly_exposed(tmp_path: Path) -> None:
    path = TREE / "deploy/systemd/hodei-server.service"
    code, said = analyze(f"security --offline=true --threshold={MOST_EXPOSED}", path, tmp_path)
    assert code == 0, said


@pytest.mark.slow
def test_a_server_serves_without_memory_that_can_be_written_and_run(
    database_url: str, tmp_path: Path
) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c '{NO_MEMORY_TO_WRITE_AND_RUN}' {sys.executable} \"$@\"\n"
    )
    wrapper.chmod(0o755)
    argv = [str(wrapper), "-P", "-m", "hodei.cli.server", "--grpc", f"127.0.0.1:{free_port()}"]
    environment = os.environ | {"HODEI_DATABASE_URL": database_url, "PYTHONPATH": str(TREE)}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        said = []
        for line in server.stderr:
            said.append(line)
            if "is ready" in line:
                break
        server.terminate()
    assert "is ready" in said[-1], said


def test_secrets_are_credentials_of_the_units() -> None:
    """Only root can read the files; systemd gives copies to the program."""
    for path, name, variable in (
        ("hodei-server", "database-url", "HODEI_DATABASE_URL_FILE"),
        ("hodei-worker", "token", "HODEI_OTP_TOKEN_FILE"),
    ):
        text = (TREE / f"deploy/systemd/{path}.service").read_text()
        assert f"LoadCredential={name}:/etc/hodei/{name}\n" in text
        assert f"{variable}=%d/{name}\n" in text
        assert "URL=" not in text.replace(variable, "")


@pytest.mark.slow
def test_a_worker_and_a_job_user_need_no_capability_that_the_unit_takes(fresh: Hodei) -> None:
    program = shutil.which("setpriv")
    if os.geteuid() != 0 or not program:
        pytest.skip("needs root, and setpriv")
    service = unit(TREE / "deploy/systemd/hodei-worker.service")["Service"]
    taken = service["CapabilityBoundingSet"].removeprefix("~").lower().split()
    bounding = ",".join(f"-{name.removeprefix('cap_')}" for name in taken)
    state = Path(tempfile.mkdtemp(prefix="hodei-test-"))
    try:
        state.chmod(0o711)
        argv = [program, f"--bounding-set={bounding}", sys.executable, "-P", "-m", "hodei_worker"]
        flags = ("--state-dir", str(state / "w"), "--job-user", "nobody")
        servers = ",".join(fresh.addresses)
        environment = os.environ | {"HODEI_OTP_TOKEN": fresh.token(), "PYTHONPATH": str(TREE)}
        with subprocess.Popen([*argv, "--server", servers, *flags], env=environment) as worker:
            said = fresh.ok("job", "run", "--command", "id -un; grep CapBnd /proc/self/status")
            worker.terminate()
        user, bound = said.text.split("\n")[:2]
        assert user == "nobody"
        assert not int(bound.split()[1], 16) & (1 << 16), "CAP_SYS_MODULE is taken from jobs too"
    finally:
        shutil.rmtree(state, ignore_errors=True)


def test_the_worker_is_root_and_its_jobs_are_a_user_that_ships() -> None:
    service = unit(TREE / "deploy/systemd/hodei-worker.service")["Service"]
    assert "User" not in service
    assert "Delegate" not in service, "a restart with live jobs would fail: 219/CGROUP"
    user = re.search(r"HODEI_JOB_USER=(\S+)", service["Environment"])
    assert user
    lines = (TREE / "deploy/systemd/hodei.sysusers.conf").read_text().splitlines()
    assert [line.split()[:2] for line in lines if not line.startswith("#")] == [["u", user[1]]]
    assert int(service["StateDirectoryMode"], 8) & 0o077 == 0o011


def test_systemd_makes_that_user(tmp_path: Path) -> None:
    program = shutil.which("systemd-sysusers")
    if not program:
        pytest.skip("no systemd-sysusers on this machine")
    conf = TREE / "deploy/systemd/hodei.sysusers.conf"
    (tmp_path / "etc").mkdir()
    ran = subprocess.run(
        [program, f"--root={tmp_path}", conf], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "hodei-job:" in (tmp_path / "etc/passwd").read_text()


def probed(folder: Path, environment: dict[str, str], *service: str) -> tuple[int, str]:
    """What the health check says in the container of a server with this environment."""
    program = [sys.executable, "-P", str(TREE / "deploy/docker/healthy.py"), *service]
    ran = subprocess.run(
        program,
        env=os.environ | {"HODEI_STATE_DIR": str(folder), "PYTHONPATH": str(TREE)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return ran.returncode, ran.stderr


@pytest.mark.slow
def test_a_probe_asks_a_servers_health(fresh: Hodei, tmp_path: Path) -> None:
    environment = {"HODEI_GRPC": f"127.0.0.1:1,client-ca=ca.pem {fresh.addresses[0]}"}
    eventually(lambda: probed(tmp_path, environment) == (0, ""))
    for service in ("", "hodei.v1.WorkerService"):
        assert probed(tmp_path, environment, service) == (0, "")
    assert probed(tmp_path, environment, "hodei.v1.NoService") == (
        1,
        "the server has no service 'hodei.v1.NoService': expected '' or hodei.v1.WorkerService\n",
    )
    nobody = probed(tmp_path, {"HODEI_GRPC": "127.0.0.1:1"}, "")
    assert nobody == (1, "no answer at 127.0.0.1:1: nobody listens there\n")
    code, said = probed(tmp_path, {"HODEI_GRPC": "0.0.0.0:1,client-ca=a 0.0.0.0:2,client-ca=a"}, "")
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(
        "no check is possible: each address of HODEI_GRPC asks for a client certificate: add one"
    )


@pytest.mark.slow
def test_a_probe_speaks_tls_with_a_server_that_does(fresh: Hodei, tmp_path: Path) -> None:
    """With the settings of the container in deploy/kubernetes."""
    made = fresh.run("tls", "init", str(tmp_path / "tls"), "--host", "hodei-servers")
    assert made.code == 0, made
    files = {
        "HODEI_TLS_CERT": str(tmp_path / "tls/server.pem"),
        "HODEI_TLS_KEY": str(tmp_path / "tls/server-key.pem"),
    }
    address = fresh.stack.server("tls", fresh.url, environment=files)
    caller = files | {"HODEI_GRPC": address, "HODEI_TLS_CA": str(tmp_path / "tls/ca.pem")}
    for name in ("hodei-servers", ""):
        named = caller | {"HODEI_TLS_NAME": name}
        eventually(lambda named=named: probed(tmp_path, named, "") == (0, ""))  # type: ignore[misc]
    code, said = probed(tmp_path, caller | {"HODEI_TLS_NAME": "elsewhere"}, "")
    assert (code, said.count("\n")) == (1, 1), "gRPC's own lines are not among them"
    assert "and not for elsewhere: use such an address" in said
