"""PostgreSQL and Redis: tables, queries, migrations, cache, and the servers that SmartFin runs itself."""
