"""What a worker lets container jobs use."""

import asyncio
from pathlib import Path

import pytest

from hodei_worker.config import BadSetting, ContainerFlags
from hodei_worker.containers.allowed import Allowed, NotAllowed, check_target
from hodei_worker.containers.create import size
from hodei_worker.containers.engine import Engine, EngineError, EngineGone
from hodei_worker.containers.reference import BadName, read

SOCKET = "/var/run/docker.sock"


def allowed(*volumes: str, images: tuple[str, ...] = (), networks: tuple[str, ...] = ()) -> Allowed:
    return Allowed(images, volumes, networks, SOCKET)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("team/tool", "docker.io/team/tool:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/team/tool", "docker.io/team/tool:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("registry.example:5000/a/b:1", "registry.example:5000/a/b:1"),
        ("registry:5000/x", "registry:5000/x:latest"),
        ("busybox@sha256:ab", "docker.io/library/busybox@sha256:ab"),
        ("x:1@sha256:ab", "docker.io/library/x:1@sha256:ab"),
    ],
)
def test_names_in_full(name: str, full: str) -> None:
    assert read(name).full == full


def test_images() -> None:
    allowed().check_image(read("anything/at:all"))
    some = allowed(images=("docker.io/library/*", "registry.example/team/*:1.*"))
    some.check_image(read("busybox"))
    some.check_image(read("registry.example/team/tool:1.2"))
    for name in ("team/tool", "registry.example/team/tool:2", "evil.example/library/busybox"):
        with pytest.raises(NotAllowed, match="is not allowed on this worker"):
            some.check_image(read(name))


def test_networks() -> None:
    for name in ("bridge", "none", "jobs"):
        allowed(networks=("jobs",)).check_network(name)
    for name in ("host", "default", "container:x"):
        with pytest.raises(NotAllowed, match="--allow-network"):
            allowed(networks=("jobs", "container:x")).check_network(name)


def test_volumes() -> None:
    some = allowed("/data", "/data/*/in", "/d?")
    assert some.check_volume("/data:/x") == ("/data", "/x", False)
    assert some.check_volume("/data/a/in:/x:ro") == ("/data/a/in", "/x", True)
    assert some.check_volume("/d1:/x:rw") == ("/d1", "/x", False)
    for source in ("/data/a", "/data/a/b/in", "/d12", "/etc"):
        with pytest.raises(NotAllowed, match="--allow-volume"):
            some.check_volume(f"{source}:/x")


EVERYTHING = ("/", "/*", "/*/*", "/*/*/*", "/*/*/*/*", "//*", "//*/*", "*", "*/*")
"""Patterns by which a source passes that the rules do not refuse, however it is written."""


@pytest.mark.parametrize("socket", [SOCKET, "/srv/engine/own.sock"])
@pytest.mark.parametrize(
    "source",
    [
        *("/", "/proc", "/proc/1", "/sys", "/dev/sda", "/var/run", "/var", "/run"),
        *("/var/run/docker.sock", "/run/docker.sock", "/run/containerd", "/var/run/containerd"),
        *("/run/containerd/containerd.sock", "/run/docker.sock/x"),
    ],
)
def test_what_is_never_mounted(source: str, socket: str) -> None:
    with pytest.raises(NotAllowed, match=f"volume {source} is never allowed"):
        Allowed((), EVERYTHING, (), socket).check_volume(f"{source}:/x")


@pytest.mark.parametrize("source", ["/srv", "/srv/engine", "/srv/engine/own.sock"])
def test_the_socket_of_its_own_engine_is_never_mounted(source: str) -> None:
    own = Allowed((), EVERYTHING, (), "/srv/engine/own.sock")
    with pytest.raises(NotAllowed, match=f"volume {source} is never allowed"):
        own.check_volume(f"{source}:/x")
    assert allowed(*EVERYTHING).check_volume(f"{source}:/x").source == source


def test_links_of_this_host_are_followed(tmp_path: Path) -> None:
    some = allowed(f"{tmp_path}/*", f"{tmp_path}/*/*")
    for name, leads_to in (("a", "/proc"), ("b", "/"), ("c", "/run"), ("d", f"{tmp_path}/a")):
        (tmp_path / name).symlink_to(leads_to)
        with pytest.raises(NotAllowed, match=f"volume {tmp_path}/{name} is never allowed"):
            some.check_volume(f"{tmp_path}/{name}:/x")
    with pytest.raises(NotAllowed, match="is never allowed"):
        some.check_volume(f"{tmp_path}/b/proc:/x")
    (tmp_path / "e").symlink_to("/nowhere")
    some.check_volume(f"{tmp_path}/e:/x")


@pytest.mark.parametrize(
    "volume",
    [
        *("/data", "/data:", "data:/x", "/data:x", "/data/../etc:/x", "/data/:/x", "//data:/x"),
        *("/data:/x/..", "/data:/x:z", "/data:/", "/data:/hodei", "/data:/hodei/x"),
        *("//proc:/x", "//run/docker.sock:/x", "///proc:/x", "/data//x:/x", "/./proc:/x"),
        *("/data/.:/x", "/data/..:/x", "/run/..:/x", "/data:/x/", "/data:/x/.", "/data:/x//y"),
        *("/data:/hodei/", "/data:/x/../hodei", "/data\0:/x", "/data:/x\0", "/da\nta:/x"),
        *("/data://hodei", "/data://x", "/data:///x", "/data:/x:RO", "/data:/x:ro:ro", ":/x"),
    ],
)
def test_volumes_that_are_none(volume: str) -> None:
    with pytest.raises(NotAllowed):
        allowed(*EVERYTHING).check_volume(volume)


@pytest.mark.parametrize("path", ["/", "/hodei", "/hodei/x", "//hodei", "//x", "/x/", "/x/..", "x"])
def test_targets_that_are_none(path: str) -> None:
    with pytest.raises(NotAllowed, match=f"tmpfs {path}:size=1m: "):
        check_target(f"tmpfs {path}:size=1m", path)
    check_target("tmpfs /hodei2", "/hodei2")


@pytest.mark.parametrize(
    ("text", "count"),
    [("512m", 512 << 20), ("2G", 2 << 30), ("7", 7), ("7b", 7), ("1K", 1024), ("999999g", None)],
)
def test_sizes(text: str, count: int | None) -> None:
    assert size(text) == (count or 999_999 << 30)
    with pytest.raises(NotAllowed, match="a size of 99999999999999g: expected at most"):
        size("99999999999999g")


@pytest.mark.parametrize(
    "name",
    [
        *("docker.io/team/x/../../../other/tool:1", "docker.io/team/..", "docker.io/team/."),
        *("docker.io/team//x", "docker.io/team/", "docker.io/team/x@/../../../other/tool"),
        *("docker.io/team/x@sha256", "docker.io/team/x@sha256:", "docker.io/team/x:1:2"),
        *("docker.io/team/x@sha256:xyz", "docker.io/team/x:..", "docker.io/team/%2e%2e/x"),
        *(
            "docker.io/team/x?y",
            "docker.io/team/x#y",
            "docker.io/team/x\n",
            "",
            "/",
            "..",
            "[::1]/x",
        ),
    ],
)
def test_names_of_images_that_are_none(name: str) -> None:
    with pytest.raises(BadName, match="expected the name of an image"):
        read(name)


def test_no_call_leads_to_another_path() -> None:
    async def calls() -> None:
        engine = Engine("/nowhere.sock")
        engine.open()
        try:
            for path in ("/images/a/../b/json", "/images//json", "/images/./json", "/images/a/.."):
                with pytest.raises(EngineError, match="is no path of an engine"):
                    await engine.call("GET", path)
            with pytest.raises(EngineGone):
                await engine.call("GET", "/images/a/b/json")
        finally:
            await engine.close()

    asyncio.run(calls())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"socket": "docker.sock"}, "--docker-socket: expected an absolute path"),
        ({"volumes": ("data",)}, "--allow-volume: expected a pattern that begins with /"),
        ({"networks": ("container:x",)}, "--allow-network: expected the name of a network"),
    ],
)
def test_flags_that_are_refused(flags: dict[str, object], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        ContainerFlags(**flags)  # type: ignore[arg-type]
