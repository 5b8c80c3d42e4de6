"""Where the specs of a JSON text stand, and their keys: asked for only to say where a mistake
is."""

import json
import re

Lines = dict[str, int]
"""The lines of a spec, from 1, by its keys: "timeout", "env", "env.A"; "" for where it begins."""

PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"\[\]{}:,]+|[\[\]{}:,\n]')


def of_json(text: str) -> list[Lines]:
    """The lines of each spec of a text that is valid JSON: an object, or a list of objects."""
    found: list[Lines] = []
    level = 1 if text.lstrip().startswith("[") else 0
    depth, line, last, key = 0, 1, "", ""
    for piece in PIECE.findall(text):
        if piece == "\n":
            line += 1
            continue
        if depth == level and piece not in ",]":
            found.append({"": line})
        if piece in "[{":
            depth += 1
        elif piece in "]}":
            depth -= 1
        elif piece == ":" and depth == level + 1:
            key = json.loads(last)
            found[-1][key] = line
        elif piece == ":" and depth == level + 2:
            found[-1].setdefault(f"{key}.{json.loads(last)}", line)
        last = piece
    return found


def key_twice(text: str) -> tuple[int, str]:
    """The line, from 1, and the name of the first key that an object of a JSON text has once more;
    0 and "" if there is none."""
    objects: list[set[str]] = []
    line, last = 1, ""
    for piece in PIECE.findall(text):
        if piece == "\n":
            line += 1
            continue
        if piece in "[{":
            objects.append(set())
        elif piece in "]}":
            objects.pop()
        elif piece == ":":
            key = json.loads(last)
            if key in objects[-1]:
                return line, key
            objects[-1].add(key)
        last = piece
    return 0, ""
