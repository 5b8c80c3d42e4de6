"""Behind tools/catalog: applies schema.sql to a PostgreSQL of its own and writes down what stands
then."""

import json
import tempfile
from pathlib import Path

import psycopg

from hodei.local.embedded_postgres import EmbeddedPostgres
from hodei.store import catalog, schema

PLACE = Path(catalog.__file__).with_name("catalog.json")


def of_fresh_schema(dsn: str) -> str:
    """The catalog as text, of a database that has nothing else in its schema."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        with conn.transaction():
            conn.execute(schema.text().encode())
        found = catalog.read(conn, everything=True)
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hodei-catalog-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedPostgres(Path(folder) / "pg", durable=False) as server:
            found = of_fresh_schema(server.dsn())
    PLACE.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
