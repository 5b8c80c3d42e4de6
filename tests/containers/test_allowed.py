"""What a worker lets container jobs use."""

import pytest

from hodei_worker.config import BadSetting, ContainerFlags
from hodei_worker.containers.allowed import Allowed, NotAllowed
from hodei_worker.containers.reference import read

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
    assert some.check_volume("/data:/x") == "/data:/x:rw"
    assert some.check_volume("/data/a/in:/x:ro") == "/data/a/in:/x:ro"
    assert some.check_volume("/d1:/x:rw") == "/d1:/x:rw"
    for source in ("/data/a", "/data/a/b/in", "/d12", "/etc"):
        with pytest.raises(NotAllowed, match="--allow-volume"):
            some.check_volume(f"{source}:/x")


@pytest.mark.parametrize(
    "source",
    ["/", "/proc", "/proc/1", "/sys", "/dev/sda", "/var/run", "/var", SOCKET, "/run/docker.sock"],
)
def test_what_is_never_mounted(source: str) -> None:
    with pytest.raises(NotAllowed):
        allowed("/", "/*", "/*/*", "/*/*/*").check_volume(f"{source}:/x")


@pytest.mark.parametrize(
    "volume",
    [
        *("/data", "/data:", "data:/x", "/data:x", "/data/../etc:/x", "/data/:/x", "//data:/x"),
        *("/data:/x/..", "/data:/x:z", "/data:/", "/data:/hodei", "/data:/hodei/x"),
    ],
)
def test_volumes_that_are_none(volume: str) -> None:
    with pytest.raises(NotAllowed):
        allowed("/data", "/data/*").check_volume(volume)


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
