"""Masking as a property: any values, any output, cut in any way."""

import base64
import json
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hodei_worker.supervisor.forms import forms
from hodei_worker.supervisor.masking import MASK, Masked, Masks

SMALL = st.sampled_from(["a", "b", "ab", "\n", '"', "/", "ñ", "%", " "])
"""Of few letters: occurrences overlap, repeat themselves and are the beginnings of others."""

VALUES = st.lists(
    st.one_of(
        st.lists(SMALL, min_size=1, max_size=30).map("".join),
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=40),
        st.builds(
            lambda unit, times: unit * times,
            st.sampled_from(["x", "ab", "aab"]),
            st.integers(3, 40),
        ),
    ),
    min_size=1,
    max_size=3,
)


def expected(values: list[str], raw: bytes) -> bytes:
    """The definition: every byte of every occurrence of every form is masked, and occurrences that
    overlap are one."""
    spans = []
    for form in forms(value.encode() for value in values):
        at = raw.find(form)
        while at >= 0:
            spans.append((at, at + len(form)))
            at = raw.find(form, at + 1)
    out, done = b"", 0
    for begin, end in sorted(spans):
        if begin >= done:
            out += raw[done:begin] + MASK
        done = max(done, end)
    return out + raw[done:]


def masked(masks: Masks, pieces: list[bytes]) -> bytes:
    one, out, raw = Masked(masks), b"", 0
    for piece in pieces:
        for got in one.feed(piece):
            out, raw = out + got.out, raw + got.raw
    for got in one.end():
        out, raw = out + got.out, raw + got.raw
    assert raw == sum(map(len, pieces)), "each byte is accounted for once"
    return out


@st.composite
def outputs(draw: st.DrawFn) -> tuple[list[str], list[bytes]]:
    """Values, and what a job writes: values, parts of them, encodings of them, and other text, cut
    anywhere."""
    values = draw(VALUES)
    parts = []
    for _ in range(draw(st.integers(0, 8))):
        value = draw(st.sampled_from(values)).encode()
        parts.append(
            draw(
                st.sampled_from(
                    [
                        value,
                        value[: draw(st.integers(0, len(value)))],
                        value[draw(st.integers(0, len(value))) :],
                        json.dumps(value.decode()).encode(),
                        quote(value, "").encode(),
                        base64.b64encode(b"xy"[: draw(st.integers(0, 2))] + value + b"\n"),
                        base64.urlsafe_b64encode(value),
                        b"a" * draw(st.integers(0, 9)),
                        "ñ\n".encode(),
                    ]
                )
            )
        )
    raw = b"".join(parts)
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    return values, [raw[begin:end] for begin, end in pairwise([0, *cuts, len(raw)])]


@settings(max_examples=300, deadline=None)
@given(outputs())
@example((["x" * 20], [b"x" * 25, b"y", b"x" * 19, b"x" * 3]))
@example((["abcabcabc", "bcabcabcd"], [b"abcabcab", b"cd"]))
def test_every_byte_of_a_value_is_masked_however_the_output_is_cut(
    case: tuple[list[str], list[bytes]],
) -> None:
    values, pieces = case
    raw = b"".join(pieces)
    out = masked(Masks(values), pieces)
    assert out == expected(values, raw)
    assert out == masked(Masks(values), [raw]) == masked(Masks(values), [bytes([b]) for b in raw])


@settings(max_examples=100, deadline=None)
@given(outputs())
def test_only_the_beginning_of_a_form_is_held_back(case: tuple[list[str], list[bytes]]) -> None:
    values, pieces = case
    all_forms = forms(value.encode() for value in values)
    one = Masked(Masks(values))
    seen = b""
    for piece in pieces:
        list(one.feed(piece))
        seen += piece
        held = seen[len(seen) - one.held :]
        assert not held or any(f.startswith(held) and f != held for f in all_forms)
        assert not any(
            form[:length] == seen[-length:]
            for form in all_forms
            for length in range(len(held) + 1, min(len(form), len(seen) + 1))
        ), "the longest beginning is held"


VALUE = 'p4ss/w+rd "ñ" ~ 0123456789'


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        json.dumps(VALUE),
        json.dumps(VALUE, ensure_ascii=False),
        json.dumps(VALUE).replace("/", "\\/"),
        quote(VALUE, ""),
        quote(VALUE),
        quote(VALUE, "").replace(" ", "%20").lower(),
        quote(VALUE, "").replace("%20", "+"),
        *(base64.b64encode(b"abc"[:n] + VALUE.encode() + b"def"[:n]).decode() for n in range(3)),
        *(
            base64.urlsafe_b64encode(b"abc"[:n] + VALUE.encode() + b"def"[:n]).decode()
            for n in range(3)
        ),
    ],
)
def test_each_form_is_found(written: str) -> None:
    value = VALUE.lower() if written == written.lower() else VALUE
    out = masked(Masks([value]), [written.encode()])
    assert MASK in out
    assert len(out) < 16, out


def test_lines_of_a_value_are_masked_by_themselves() -> None:
    masks = Masks(["-----BEGIN-----\r\nMIIEvQIBADAN\nshort\nAQEFAASCBKcw\n-----END-----\n"])
    raw = b"1 MIIEvQIBADAN 2 short 3 AQEFAASCBKcw\n-----BEGIN-----\n"
    assert masked(masks, [raw]) == b"1 *** 2 short 3 ***\n***\n"


def test_a_value_of_64_kib_of_one_character_takes_no_time() -> None:
    """Without care each place is compared with the whole value."""
    masks = Masks(["x" * 65_536])
    raw = b"x" * 200_000 + b"y" + b"x" * 65_535 + b"\n"
    pieces = [raw[at : at + 65_536] for at in range(0, len(raw), 65_536)]
    assert masked(masks, pieces) == MASK + b"y" + b"x" * 65_535 + b"\n"
