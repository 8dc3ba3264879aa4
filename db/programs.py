"""What the programs of PostgreSQL (psql, pg_dump, pg_restore) are told so that they find a database."""

from sqlalchemy import make_url


def environment(database_url: str) -> dict[str, str]:
    """The variables of libpq that say what the URL says."""
    url = make_url(database_url)
    told = {
        "PGHOST": url.query.get("host", url.host),
        "PGPORT": url.query.get("port", url.port),
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "PGSSLMODE": url.query.get("sslmode"),
    }
    return {name: str(value) for name, value in told.items() if value is not None}
