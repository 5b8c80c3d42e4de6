"""Compares what a database has of the schema with what it must have, and says how each difference
is mended."""

from typing import Any, NamedTuple

from psycopg import sql

from hodei.store.catalog import CALLED
from hodei.store.expected import expected

BY_HAND = "; only a person can mend it"


class Gap(NamedTuple):
    """Something that is missing or is otherwise than it must be, and how it is made again where
    schema.sql does not make it (it never changes a table that stands)."""

    what: str
    differs: str = ""  # in which way; '': it is missing
    before: sql.Composed | None = None  # to be run before schema.sql
    after: sql.Composed | None = None
    by_hand: bool = False  # nobody but a person mends it
    index_of: str = ""  # the table of a missing index that is not unique
    large: bool = False  # that table is too large for a server to build it

    @property
    def can_wait(self) -> bool:
        """Whether a server works although it is not mended. A server does not call what is there
        and otherwise, but for functions."""
        return self.large or (bool(self.differs) and not self.what.startswith("function"))

    @property
    def words(self) -> str:
        if not self.differs:
            large = f" (a server does not build it: table {self.index_of} is large)"
            return self.what + (large if self.large else "")
        advice = BY_HAND if self.by_hand else ""
        return f"{self.what} is not as this release makes it: {self.differs}{advice}"


def gaps(found: dict[str, Any], *, called_only: bool) -> list[Gap]:
    """Returns what is not as it must be. `called_only`: the database's revision is newer than this
    program's, and only the existence of what this program calls is compared: else two programs
    would mend each other's functions and indexes for ever."""
    want = expected()
    result = [Gap(f"table {name}") for name in want["tables"] if name not in found["tables"]]
    columns = {
        table: _columns(table, want["tables"][table], found["tables"][table], called_only)
        for table in want["tables"]
        if table in found["tables"]
    }
    for table, of_table in columns.items():
        result += of_table
        if found["tables"][table] and not want["tables"][table]:
            result.append(Gap(f"partition {table} (it is detached)"))
    result += _sequences(want["sequences"], found["sequences"], called_only)
    result += _views(want["views"], found["views"], called_only)
    result += _functions(want["functions"], found["functions"], called_only)
    if not called_only:
        result += _unlogged(found["unlogged"]) + _rules(found["rules"])
        result += _strange_columns(want["tables"], found["tables"])
        # What is defined on a table is written otherwise where a column has another type.
        comparable = {t for t, of_table in columns.items() if not any(g.by_hand for g in of_table)}
        for kind, gap in PARTS.items():
            for key, definition in want[kind].items():
                table, _, name = key.partition(".")
                got = found[kind].get(key)
                if table in columns and (
                    got is None or (got != definition and table in comparable)
                ):
                    result.append(gap(table, name, definition, got))
    return result


# ── what stands by itself ──


def _sequences(want: dict[str, str], found: dict[str, str], called_only: bool) -> list[Gap]:
    result = []
    for name, definition in want.items():
        if name not in found:
            result.append(Gap(f"sequence {name}"))
        elif not called_only and found[name] != definition:
            used_up = found[name].endswith(" USED UP")
            alter = sql.SQL("ALTER SEQUENCE {name} {definition}{move}").format(
                name=sql.Identifier(name),
                definition=sql.SQL(definition),
                move=MOVE_BACK.format(sql.Literal(name)) if used_up else sql.SQL(""),
            )
            differs = "its numbers are used up" if used_up else f"expected {definition}"
            result.append(Gap(f"sequence {name}", differs, before=alter))
    return result


# As hodei_pass_live_leases does: beyond all numbers that were drawn before a hand moved it.
MOVE_BACK = sql.SQL(
    "; SELECT setval({}, trunc(extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"
)


def _views(want: dict[str, str], found: dict[str, str], called_only: bool) -> list[Gap]:
    """A view is replaced, not dropped: readers have grants on it."""
    result = []
    for name, definition in want.items():
        if name not in found:
            result.append(Gap(f"view {name}"))
        elif not called_only and found[name] != definition:
            replace = sql.SQL("CREATE OR REPLACE VIEW {} AS {}").format(
                sql.Identifier(name), sql.SQL(definition)
            )
            result.append(Gap(f"view {name}", f"expected {definition}", before=replace))
    return result


def _functions(want: dict[str, str], found: dict[str, str], called_only: bool) -> list[Gap]:
    result = []
    for signature, made in want.items():
        if called_only and signature.partition("(")[0] not in CALLED:
            continue
        if signature not in found:
            result.append(Gap(f"function {signature}"))
        elif not called_only and found[signature] != made:
            others = "its body, its settings or its attributes are others"
            result.append(Gap(f"function {signature}", others))
    return result


# ── what a hand has made of ours, or put on it ──


def _unlogged(found: dict[str, str]) -> list[Gap]:
    """After a crash a table that is UNLOGGED is empty, and a sequence begins anew."""
    return [
        Gap(
            f"{kind.lower()} {name}",
            "it is UNLOGGED: a crash would empty it",
            before=sql.SQL("ALTER {} {} SET LOGGED").format(sql.SQL(kind), sql.Identifier(name)),
        )
        for name, kind in found.items()
    ]


def _rules(found: dict[str, str]) -> list[Gap]:
    refused = "PostgreSQL refuses our statements on a table with rules: DROP RULE {} ON {}"
    result = []
    for key in found:
        table, _, name = key.partition(".")
        result.append(Gap(f"rule {name} of {table}", refused.format(name, table), by_hand=True))
    return result


def _strange_columns(want: dict[str, Any], found: dict[str, Any]) -> list[Gap]:
    """Columns of somebody else that no row of ours can have a value for."""
    return [
        Gap(f"column {table}.{name}", NEEDS_A_VALUE.format(table, name), by_hand=True)
        for table in want
        for name, column in found.get(table, {}).items()
        if want[table]
        and name not in want[table]
        and column["not_null"]
        and column["default"] is None
        and "GENERATED" not in column["type"]
    ]


NEEDS_A_VALUE = (
    "it is of somebody else, and refuses all rows that Hodei writes:"
    " ALTER TABLE {} ALTER {} DROP NOT NULL"
)


# ── columns ──


def _columns(
    table: str, want: dict[str, Any], found: dict[str, Any], called_only: bool
) -> list[Gap]:
    result = []
    for name, column in want.items():
        if name not in found:
            result.append(_column(table, name, column))
        elif not called_only:
            result += _of_column(table, name, column, found[name])
    return result


def _column(table: str, name: str, column: dict[str, Any]) -> Gap:
    add = sql.SQL("ALTER TABLE {table} ADD COLUMN {column} {type}{default}{not_null}").format(
        table=sql.Identifier(table),
        column=sql.Identifier(name),
        type=sql.SQL(column["type"]),
        default=sql.SQL(" DEFAULT ") + sql.SQL(column["default"] or "NULL"),
        not_null=sql.SQL(" NOT NULL" if column["not_null"] else ""),
    )
    return Gap(f"column {table}.{name}", before=add)


def _of_column(table: str, name: str, want: dict[str, Any], found: dict[str, Any]) -> list[Gap]:
    """Of another type a column may still serve, and to change it may lose values: that is left to a
    person."""
    if found["type"] != want["type"]:
        other = f"it is of type {found['type']}, expected {want['type']}"
        return [Gap(f"column {table}.{name}", other, by_hand=True)]
    alter = sql.SQL("ALTER TABLE {} ALTER COLUMN {} ").format(
        sql.Identifier(table), sql.Identifier(name)
    )
    result = []
    if found["default"] != want["default"]:
        other = f"expected {want['default'] or 'none'}" if found["default"] else ""
        put = sql.SQL("SET DEFAULT {}").format(sql.SQL(want["default"] or "NULL"))
        result.append(Gap(f"default of {table}.{name}", other, after=alter + put))
    if want["not_null"] and not found["not_null"]:
        result.append(Gap(f"NOT NULL of {table}.{name}", after=alter + sql.SQL("SET NOT NULL")))
    elif found["not_null"] and not want["not_null"]:
        may = "expected that it may be NULL"
        drop = sql.SQL("DROP NOT NULL")
        result.append(Gap(f"column {table}.{name}", may, after=alter + drop))
    return result


# ── what is defined on a table; `got` None: it is missing ──


def _constraint(table: str, name: str, definition: str, got: str | None) -> Gap:
    names = {"table": sql.Identifier(table), "name": sql.Identifier(name)}
    drop = sql.SQL(" DROP CONSTRAINT {name},").format(**names) if got else sql.SQL("")
    alter = sql.SQL("ALTER TABLE {table}{drop} ADD CONSTRAINT {name} {definition}").format(
        **names, drop=drop, definition=sql.SQL(definition)
    )
    what = f"constraint {name} of {table}"
    if definition.startswith("CHECK"):
        return Gap(what, _how(definition, got), after=alter)
    # PRIMARY KEY and UNIQUE come first: a statement of schema.sql may rely on one (ON CONFLICT).
    return Gap(what, _how(definition, got), before=alter)


def _index(table: str, name: str, definition: str, got: str | None) -> Gap:
    if got is None:
        is_unique = definition.startswith("CREATE UNIQUE")
        return Gap(f"index {name}", index_of="" if is_unique else table)
    again = sql.SQL("DROP INDEX {}; {}").format(sql.Identifier(name), sql.SQL(definition))
    return Gap(f"index {name}", _how(definition, got), before=again)


def _trigger(table: str, name: str, definition: str, got: str | None) -> Gap:
    if got is None:
        return Gap(f"trigger {name} of {table}")
    again = sql.SQL("DROP TRIGGER {} ON {}; {}").format(
        sql.Identifier(name), sql.Identifier(table), sql.SQL(definition)
    )
    return Gap(f"trigger {name} of {table}", _how(definition, got), before=again)


PARTS = {"constraints": _constraint, "indexes": _index, "triggers": _trigger}


def _how(definition: str, got: str | None) -> str:
    if got is None:
        return ""
    return "it is not valid" if got == f"{definition} NOT VALID" else f"expected {definition}"
