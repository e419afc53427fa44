"""Opening a store: its URL, its file, its owner, its version; and `watchstander migrate`."""

import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect
from sqlmodel import SQLModel
from store_samples import DAY, NOW, decision, event, finding, gauges, incident

from agent.cli.commands import migrate
from agent.store import connect, schema
from agent.store.rows import Retention
from agent.store.store import Store, open_store
from agent.watch import Changes
from collectors.errors import FixConfiguration


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("", "not a URL", id="empty"),
        pytest.param("/var/lib/store.db", "not a URL", id="a-path"),
        pytest.param("sqlite://", "names no file", id="sqlite-in-memory"),
        pytest.param("sqlite:///:memory:", "names no file", id="sqlite-in-memory-by-name"),
        pytest.param("sqlite://var/lib/store.db", "names no file", id="two-slashes"),
        pytest.param("mysql://root:secret@host/db", "cannot be kept in mysql", id="another-database"),
        pytest.param("postgresql://ann:secret@host:port/db", "not a URL", id="a-port-that-is-none"),
    ],
)
def test_a_url_that_is_none_of_ours_is_refused(url: str, said: str) -> None:
    """One line says what to write, and shows no password."""
    with pytest.raises(FixConfiguration, match=said) as caught:
        open_store(url)

    assert "sqlite:///path" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_name_for_people_shows_no_password() -> None:
    """Logs and errors use it."""
    assert connect.place("postgresql://ann:secret@host/db").name == "postgresql://ann:***@host/db"


def test_no_server_at_the_url_is_worth_another_try(tmp_path: Path) -> None:
    """The agent may be up before its database."""
    from collectors.errors import RetryLater

    with pytest.raises(RetryLater, match="the server cannot be reached") as caught:
        open_store(f"postgresql://ann:secret@/db?host={tmp_path}")

    assert "secret" not in str(caught.value)


@pytest.mark.postgres
@pytest.mark.xdist_group("postgres")
def test_a_database_that_does_not_exist_wants_a_person(postgres_server: Any) -> None:
    """Trying again would not make it."""
    with pytest.raises(FixConfiguration, match=r"database \"nobody\" does not exist"):
        open_store(postgres_server.url("nobody"))


def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    """Nor the log and the lock beside it; a file that others may read is closed to them."""
    folder = tmp_path / "made" / "for it"
    old = os.umask(0)
    try:
        store = open_store(f"sqlite:///{folder}/store.db")
        store.save(Changes([finding()]))
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
        store.close()
        (folder / "store.db").chmod(0o644)
        open_store(f"sqlite:///{folder}/store.db").close()
    finally:
        os.umask(old)

    assert dict.fromkeys(["store.db", "store.db-wal", "store.db-shm", "store.db.lock"], 0o600) == modes
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "store.db").stat().st_mode & 0o777 == 0o600


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands where a folder should."""
    (tmp_path / "file").touch()

    with pytest.raises(FixConfiguration, match=f"{tmp_path}/file/store.db: cannot be made"):
        open_store(f"sqlite:///{tmp_path}/file/store.db")


def test_a_second_agent_is_kept_off_and_told_who_holds_the_store(sqlite_url: str) -> None:
    """A command beside the agent may read; after the first has closed, the second may have it."""
    first = open_store(sqlite_url)

    with pytest.raises(FixConfiguration, match=f"store.db is in use by process {os.getpid()} on "):
        open_store(sqlite_url)
    beside = open_store(sqlite_url, create=False)
    assert beside.open_findings() == []
    beside.close()
    first.close()

    open_store(sqlite_url).close()


@pytest.mark.slow
def test_the_lock_of_a_killed_agent_holds_nobody_off(sqlite_url: str) -> None:
    """The kernel drops it with its holder."""
    program = (
        f"from agent.store.store import open_store; s = open_store({sqlite_url!r}); print('up', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1) as holder:
        assert holder.stdout and holder.stdout.readline() == b"up\n"
        with pytest.raises(FixConfiguration, match=f"process {holder.pid} "):
            open_store(sqlite_url)
        holder.kill()

    open_store(sqlite_url).close()


def test_a_store_that_is_not_there_is_not_made_by_a_reader(tmp_path: Path) -> None:
    """A mistyped path would otherwise show an empty store."""
    with pytest.raises(FixConfiguration, match="there is no store at"):
        open_store(f"sqlite:///{tmp_path}/store.db", create=False)

    assert list(tmp_path.iterdir()) == []


def test_a_reader_does_not_make_tables(store_url: str) -> None:
    """An empty database is of an older version."""
    if store_url.startswith("sqlite"):
        Path(store_url.removeprefix("sqlite:///")).touch()

    with pytest.raises(FixConfiguration, match=r"older version .empty, not .*watchstander migrate"):
        open_store(store_url, create=False)


def test_a_store_of_a_newer_version_is_left_alone(store_url: str, execute: Callable[[str], list[Any]]) -> None:
    """A downgrade of the agent must not write into what it does not know."""
    open_store(store_url).close()
    execute("UPDATE alembic_version SET version_num = '9999'")

    for create in (True, False):
        with pytest.raises(FixConfiguration, match=f"newer Watchstander .revision 9999, this one knows {schema.HEAD}"):
            open_store(store_url, create=create)


def test_the_database_of_another_program_is_left_alone(sqlite_url: str, tmp_path: Path) -> None:
    """A mistyped path may hit one."""
    import sqlite3

    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()

    with pytest.raises(FixConfiguration, match=r"belongs to another program .it has a table bookmarks"):
        open_store(sqlite_url)


def engine_of(url: str) -> Any:
    return connect.engines(connect.place(url), 1.0)[0]


def test_migrations_from_nothing_give_what_the_code_declares(store: Store, store_url: str) -> None:
    """Nothing is left for alembic to generate."""
    from alembic.autogenerate import compare_metadata

    engine = create_engine(connect.place(store_url).url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_every_revision_is_listed_in_the_schema() -> None:
    """The version is checked without alembic, so the list must be right."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)

    assert list(schema.REVISIONS) == [script.revision for script in reversed(list(scripts.walk_revisions()))]
    assert scripts.get_heads() == [schema.HEAD]


def test_a_migration_keeps_what_is_there(store_url: str) -> None:
    """A store of the first revision, with data, brought up to date."""
    if store_url.startswith("sqlite"):
        connect.make_file(Path(store_url.removeprefix("sqlite:///")))
    engine = engine_of(store_url)
    with engine.begin() as connection:
        schema.upgrade(connection, "0001")
        from agent.store.tables import audit, decisions, events, findings, incidents

        findings.save(connection, [finding()], {"f1": "INC-aaaa1111"})
        incidents.save(connection, [incident()])
        decisions.save(connection, [decision()])
        events.save(connection, [event()])
        audit.append(connection, time_ns=NOW, actor="ann", what="test", about="", detail="{}")
    engine.dispose()

    store = open_store(store_url)

    assert store.revision_before == "0001"
    assert [finding()] == store.open_findings()
    assert [incident()] == store.open_incidents()
    assert [decision()] == store.decisions("INC-aaaa1111")
    assert [event()] == store.events(since_ns=0, until_ns=NOW + 1)
    assert store.verify_audit() is None
    store.keep_readings([gauges()])
    store.close()


def test_migrations_can_be_taken_back(store_url: str) -> None:
    """Down to nothing and up again."""
    open_store(store_url).close()
    engine = engine_of(store_url)
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))

    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()

    open_store(store_url).close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(store_url: str, execute: Callable[[str], list[Any]]) -> None:
    """All pending migrations or none: here the second meets a table that is in its way."""
    open_store(store_url).close()
    execute("UPDATE alembic_version SET version_num = '0001'")
    execute("DROP TABLE reading_chunks")

    with pytest.raises(FixConfiguration, match="reading_layouts"):
        open_store(store_url)

    assert execute("SELECT version_num FROM alembic_version") == [("0001",)]
    with pytest.raises(Exception, match="reading_chunks"):
        execute("SELECT * FROM reading_chunks")


def test_new_scripts_import_what_our_columns_need() -> None:
    """The template of a new migration names SQLModel, the tables and Text: without them it fails when it is run."""
    template = (schema.MIGRATIONS / "script.py.mako").read_text()

    assert [
        line
        for line in ("import sqlmodel", "import agent.store.tables", "from sqlalchemy import Text")
        if line not in template
    ] == []


def run_migrate(*arguments: str) -> int:
    parser = ArgumentParser()
    migrate.add_arguments(parser)
    return migrate.run(parser.parse_args(arguments))


def test_the_migrate_command_says_what_it_did(store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """First it makes the tables, then there is nothing to do."""
    assert run_migrate(store_url) == 0
    assert f"brought from empty to {schema.HEAD}\n" in capsys.readouterr().out

    assert run_migrate("--check", store_url) == 0
    assert "nothing to do\n" in capsys.readouterr().out


def test_the_migrate_command_checks_without_changing(tmp_path: Path) -> None:
    """A missing store stays missing."""
    with pytest.raises(FixConfiguration, match="there is no store"):
        run_migrate("--check", f"sqlite:///{tmp_path}/store.db")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_opening_a_store_of_our_version_imports_no_alembic(sqlite_url: str) -> None:
    """It takes 48 MiB, which only a migration needs; and the row types take no SQL packages at all."""
    open_store(sqlite_url).close()
    program = f"""
import sys
import agent.store, agent.store.rows, agent.store.chunks
assert not {{"sqlalchemy", "sqlmodel", "psycopg"}} & set(sys.modules), "SQL for row types"
from agent.store.store import open_store
open_store({sqlite_url!r}).close()
assert "alembic" not in sys.modules, "alembic without a migration"
assert "psycopg" not in sys.modules, "PostgreSQL's driver for SQLite"
"""

    subprocess.run([sys.executable, "-c", program], check=True)


def test_retention_is_what_the_documentation_says() -> None:
    """docs/store.md states the defaults."""
    text = (Path(__file__).parents[3] / "docs" / "store.md").read_text()
    kept = Retention()

    assert (kept.readings_days, kept.events_days, kept.history_days, 86_400 * 10**9) == (14.0, 30.0, 400.0, DAY)
    for words in ("readings | 14 days", "events | 30 days", "400 days"):
        assert words in text
