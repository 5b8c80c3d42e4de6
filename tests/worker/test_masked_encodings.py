"""What encoders of other languages make of a value, as they really write it, is masked as a whole.

The first lines were printed by Node 20, Java 17 and jq 1.6; the others were written by hand, as the
encoders of Go, PHP, Gson, Jackson and .NET are known to write."""

import pytest

from hodei_worker.supervisor.forms import forms
from hodei_worker.supervisor.masking import Masks
from tests.worker.test_masking import masked

VALUE = "p/<w>&'d\"\\ ~*+=ñ\u2028\x7f;,?:@$#!(1)😀\t\x01"
OF_A_URL = "p/<w>&'d\" ~*+=ñ;,?:@$#!(1)😀|^`"

END = "\x7f;,?:@$#!(1)"

OTHERS = {
    "JSON.stringify": "p/<w>&'d\\\"\\\\ ~*+=ñ\u2028" + END + "😀\\t\\u0001",
    "encodeURIComponent, jq @uri": "p%2F%3Cw%3E%26'd%22%5C%20~*%2B%3D%C3%B1%E2%80%A8%7F%3B%2C%3F%3A%40%24"
    "%23!(1)%F0%9F%98%80%09%01",
    "encodeURI": "p/%3Cw%3E&'d%22%5C%20~*+=%C3%B1%E2%80%A8%7F;,?:@$#!(1)%F0%9F%98%80%09%01",
    "URLSearchParams, URLEncoder": "p%2F%3Cw%3E%26%27d%22%5C+%7E*%2B%3D%C3%B1%E2%80%A8%7F%3B%2C%3F%3A%40"
    "%24%23%21%281%29%F0%9F%98%80%09%01",
    "jq": r"p/<w>&'d\"\\ ~*+=ñ" + "\u2028" + r"\u007f;,?:@$#!(1)😀\t\u0001",
    "jq -a": r"p/<w>&'d\"\\ ~*+=\u00f1\u2028\u007f;,?:@$#!(1)\ud83d\ude00\t\u0001",
    "Go": r"p/\u003cw\u003e\u0026'd\"\\ ~*+=ñ\u2028" + END + r"😀\t\u0001",
    "Go without SetEscapeHTML": r"p/<w>&'d\"\\ ~*+=ñ\u2028" + END + r"😀\t\u0001",
    "Go QueryEscape": "p%2F%3Cw%3E%26%27d%22%5C+~%2A%2B%3D%C3%B1%E2%80%A8%7F%3B%2C%3F%3A%40%24%23%21"
    "%281%29%F0%9F%98%80%09%01",
    "Go PathEscape": "p%2F%3Cw%3E&%27d%22%5C%20~%2A+=%C3%B1%E2%80%A8%7F%3B%2C%3F:@$%23%21%281%29"
    "%F0%9F%98%80%09%01",
    "PHP": r"p\/<w>&'d\"\\ ~*+=\u00f1\u2028" + END + r"\ud83d\ude00\t\u0001",
    "PHP, slashes": r"p/<w>&'d\"\\ ~*+=\u00f1\u2028" + END + r"\ud83d\ude00\t\u0001",
    "PHP, Unicode": r"p\/<w>&'d\"\\ ~*+=ñ\u2028" + END + r"😀\t\u0001",
    "PHP, hex": r"p\/\u003Cw\u003E\u0026\u0027d\u0022\\ ~*+=\u00f1\u2028"
    + END
    + r"\ud83d\ude00\t\u0001",
    "PHP urlencode": "p%2F%3Cw%3E%26%27d%22%5C+%7E%2A%2B%3D%C3%B1%E2%80%A8%7F%3B%2C%3F%3A%40%24%23%21"
    "%281%29%F0%9F%98%80%09%01",
    "Gson": r"p/\u003cw\u003e\u0026\u0027d\"\\ ~*+\u003dñ\u2028" + END + r"😀\t\u0001",
    "Jackson, ASCII": r"p/<w>&'d\"\\ ~*+=\u00F1\u2028" + END + r"\uD83D\uDE00\t\u0001",
    ".NET": r"p/\u003Cw\u003E\u0026\u0027d\u0022\\ ~*\u002B=\u00F1\u2028\u007F;,?:@$#!(1)"
    r"\uD83D\uDE00\t\u0001",
    ".NET UrlEncode": "p%2f%3cw%3e%26%27d%22%5c+%7e*%2b%3d%c3%b1%e2%80%a8%7f%3b%2c%3f%3a%40%24%23!(1)"
    "%f0%9f%98%80%09%01",
}


@pytest.mark.parametrize("encoder", OTHERS)
def test_what_an_encoder_writes_is_masked_whole(encoder: str) -> None:
    raw = f'{{"token": "{OTHERS[encoder]}"}}'.encode()
    assert masked(Masks([VALUE]), [raw]) == b'{"token": "***"}'


@pytest.mark.parametrize(
    "url",
    [
        "?p/%3Cw%3E&%27d%22%20~*+=%C3%B1;,?:@$%23!(1)%F0%9F%98%80|^`",
        "p%2F%3Cw%3E&'d%22%20~*+%3D%C3%B1%3B,%3F%3A%40$%23!(1)%F0%9F%98%80%7C%5E%60@h",
    ],
    ids=["search", "username"],
)
def test_what_a_url_of_javascript_makes_of_its_parts_is_masked(url: str) -> None:
    out = masked(Masks([OF_A_URL]), [url.encode()])
    assert out in (b"?***", b"***@h")


def test_the_forms_of_a_value_are_few() -> None:
    """However many characters it has that encoders differ in."""
    assert len(forms([VALUE.encode()])) <= 1 + 14 + 17 + 12
    assert len(forms([b"plain-token_of.letters"])) <= 1 + 12
