"""Where the program of a container is searched for, and for which platform an image is."""

import pytest

from hodei_worker.containers.images import Image
from hodei_worker.containers.programs import DEFAULT_PATH, MOST_FOLDERS, _places, search_path


@pytest.mark.parametrize(
    ("environments", "path"),
    [
        ((), DEFAULT_PATH),
        ((["A=b"], []), DEFAULT_PATH),
        ((["PATH=/a:/b"], ["HODEI_ATTEMPT=1"]), "/a:/b"),
        ((["PATH=/a:/b"], ["PATH=/opt=x:/c"]), "/opt=x:/c"),
        ((["PATH=/a"], ["PATH="]), ""),
    ],
)
def test_the_path_is_the_jobs_or_else_the_images(
    environments: tuple[list[str], ...], path: str
) -> None:
    assert search_path(*environments) == path


@pytest.mark.parametrize(
    ("path", "program", "places"),
    [
        ("/a:/b", "x", ["/a/x", "/b/x"]),
        ("/a:/b", "/c/x", ["/c/x"]),
        ("/a:/b", "c/x", []),
        ("", "x", []),
        ("/a::/b", "x", []),
        ("/a:bin", "x", []),
        (":".join(["/a"] * (MOST_FOLDERS + 1)), "x", []),
    ],
)
def test_a_program_that_can_be_anywhere_has_no_places(
    path: str, program: str, places: list[str]
) -> None:
    assert _places(path, program) == places


@pytest.mark.parametrize(
    ("platform", "fits"),
    [
        ("", True),
        ("linux/amd64", True),
        ("linux/amd64/v2", True),
        ("linux", True),
        ("linux/arm64", False),
        ("linux/amd", False),
        ("windows/amd64", False),
    ],
)
def test_an_image_fits_a_platform_by_its_parts(platform: str, fits: bool) -> None:
    assert Image("id", {}, "linux/amd64").fits(platform) is fits
