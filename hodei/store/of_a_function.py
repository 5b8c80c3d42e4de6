"""Whose function ran when PostgreSQL met an error: the lines of the error's context tell.

PostgreSQL writes them in the language of its lc_messages. What is the same in all of them are
`PL/pgSQL` before a function's signature, and a single name in quotes for functions of other
languages. PostgreSQL itself quotes an identifier where it has other characters than these."""

import functools
import re

from hodei.store.expected import expected

NAME = r'(?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")'

# Not what an assignment of a function calls, whose line has `:=` before.
PLPGSQL = re.compile(rf"PL/pgSQL[^(:=\n]*?(?P<name>(?:{NAME}\.)?{NAME})(?P<arguments>\([^()]*\))")

# None of ours is in another language. The text of a statement, which is quoted as well, is more
# than a name.
OTHER = re.compile(r'[^"«»„“]*["«»„“]\s?(?P<name>[\w$]+)\s?["«»“”]')
PROCEDURAL, SQL = re.compile(r"PL/(?!pgSQL)"), re.compile(r"(?<!PL/pg)SQL")


@functools.cache
def _ours() -> set[str]:
    return {signature.replace(", ", ",") for signature in expected()["functions"]}


def function_of_others(context: str, *, also_sql: bool) -> str:
    """Returns the name of a function in an error's context that is not of our schema; '': none.
    `also_sql`: one in SQL counts, which is no trigger's."""
    for found in PLPGSQL.finditer(context):  # a quoted name may go on in the next line
        if found["name"] + found["arguments"] not in _ours():
            return found["name"]
    for line in context.splitlines():
        is_other = PROCEDURAL.search(line) or (also_sql and SQL.search(line))
        if is_other and (other := OTHER.match(line)):
            return other["name"]
    return ""
