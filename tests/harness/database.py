"""Short questions to PostgreSQL, each in a session of its own, so that a restart between two of them does not matter."""

import contextlib
import urllib.parse

import psycopg2

SHAPE = """SELECT 'column', table_name, column_name || ' ' || data_type FROM information_schema.columns
           WHERE table_schema = 'interlock'
           UNION SELECT 'constraint', conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid)
           FROM pg_constraint WHERE connamespace = 'interlock'::regnamespace
           UNION SELECT 'index', tablename, indexdef FROM pg_indexes WHERE schemaname = 'interlock'
           UNION SELECT 'trigger', event_object_table, trigger_name FROM information_schema.triggers
           WHERE trigger_schema = 'interlock' ORDER BY 1, 2, 3"""


def url_as(world, role):
    parts = urllib.parse.urlparse(world.database.url)
    return parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}").geturl()


@contextlib.contextmanager
def session(url, autocommit=True):
    connection = psycopg2.connect(url, connect_timeout=10, application_name="system-tests", client_encoding="UTF8")
    connection.autocommit = autocommit
    try:
        yield connection
    finally:
        connection.close()


class Database:
    def __init__(self, url):
        self.url = url

    def rows(self, query, *parameters):
        with session(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchall()

    def row(self, query, *parameters):
        rows = self.rows(query, *parameters)
        return rows[0] if rows else None

    def value(self, query, *parameters):
        row = self.row(query, *parameters)
        return row[0] if row else None

    def execute(self, statement, *parameters):
        with session(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.rowcount

    def count(self, table):
        return self.value(f"SELECT count(*) FROM interlock.{table}")

    @contextlib.contextmanager
    def holding(self, statement, *parameters):
        """A session that ran a statement and forgot to end its transaction."""
        with session(self.url, autocommit=False) as connection:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
            yield connection
            connection.rollback()

    def fingerprint(self, *tables):
        """Changes if any row of any of the tables does."""
        return {table: self.row(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) "
                                f"FROM interlock.{table} t") for table in tables}

    def shape(self):
        """Every column, constraint, index and trigger of the schema."""
        return self.rows(SHAPE)

    def end_sessions(self):
        """Ends everybody else's session on this database."""
        return self.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                          "WHERE datname = current_database() AND pid <> pg_backend_pid()")
