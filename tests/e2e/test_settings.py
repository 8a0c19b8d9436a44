"""Settings: what is refused, with the reason, all of it at once, and before anything is touched."""

import re
from pathlib import Path

import pytest

from harness import program
from harness.program import EXIT_CONFIG, EXIT_OK, EXIT_UNAVAILABLE, EXIT_USAGE, run
from harness.site import Site

# Setting, value, and the word that the complaint must hold.
REFUSED = [
    ("CATALYST_LANES", "0", "lanes"),
    ("CATALYST_LANES", "many", "lanes"),
    ("CATALYST_BATCH_MAX_MESSAGES", "0", "batch"),
    ("CATALYST_BATCH_MAX_MESSAGES", "-5", "batch"),
    ("CATALYST_BATCH_MAX_BYTES", "1 potato", "batch"),
    ("CATALYST_LOG_LEVEL", "loud", "level"),
    ("CATALYST_LOG_FORMAT", "xml", "format"),
    ("CATALYST_HTTP_LISTEN", "everywhere", "listen"),
    ("CATALYST_STARTUP_DEADLINE", "soon", "deadline"),
    ("CATALYST_COMMAND_TOPICS", "", "topics"),
    ("CATALYST_COMMAND_TOPICS", "a,,b", "topics"),
    ("CATALYST_COMMAND_TOPICS", "a,a", "topics"),
    ("CATALYST_AUDIT_TOPIC", "not a topic!", "topic"),
    ("CATALYST_GROUP_ID", "", "group"),
    ("CATALYST_DATABASE_URL_FILE", "/nonexistent/secret", "DATABASE_URL_FILE"),
    ("CATALYST_KAFKA_SASL_PASSWORD_FILE", "/nonexistent/secret", "SASL_PASSWORD_FILE"),
    ("CATALYST_KAFKA_ENABLE_AUTO_COMMIT", "true", "enable.auto.commit"),
    ("CATALYST_KAFKA_ENABLE_AUTO_OFFSET_STORE", "true", "enable.auto.offset.store"),
    ("CATALYST_KAFKA_ISOLATION_LEVEL", "read_uncommitted", "isolation.level"),
    ("CATALYST_KAFKA_ENABLE_IDEMPOTENCE", "false", "enable.idempotence"),
    ("CATALYST_KAFKA_TRANSACTIONAL_ID", "mine", "transactional.id"),
    ("CATALYST_KAFKA_GROUP_ID", "other", "group.id"),
    ("CATALYST_KAFKA_ACKS", "1", "acks"),
    ("CATALYST_KAFKA_AUTO_OFFSET_RESET", "latest", "auto.offset.reset"),
    ("CATALYST_KAFKA_NO_SUCH_PROPERTY", "1", "no.such.property"),
    ("CATALYST_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:99999", "port"),
    ("CATALYST_KAFKA_BOOTSTRAP_SERVERS", "a:9092,b:port", "port"),
    ("CATALYST_NO_SUCH_SETTING", "1", "CATALYST_NO_SUCH_SETTING"),
]


@pytest.mark.parametrize(("setting", "value", "word"), REFUSED)
@pytest.mark.parametrize("verb", ["run", "check"])
def test_is_refused(site: Site, verb: str, setting: str, value: str, word: str) -> None:
    env = {name: v for name, v in site.env.items() if f"{name}_FILE" != setting}

    done = run(verb, env=env | {setting: value}, timeout_s=30)

    assert done.returncode == EXIT_CONFIG, done.stderr
    assert word in done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(new_module_site) -> Site:  # type: ignore[no-untyped-def]
    return new_module_site(partitions=1)


def test_all_problems_at_once_with_file_and_line(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "worker.ini"
    file.write_text(
        "[worker]\n"
        "lanes = none\n"
        "batch_max_messages = 0\n"
        "no_such_key = 1\n"
        "\n"
        "[kafka]\n"
        "enable.auto.commit = true\n"
        "[log]\n"
        "level = loud\n"
    )
    env = {name: value for name, value in site.env.items() if name != "CATALYST_LANES"}

    done = run("check", "--config", str(file), env=env | {"CATALYST_LOG_FORMAT": "xml"})

    told = done.stdout + done.stderr
    assert done.returncode == EXIT_CONFIG
    for line in (2, 3, 4, 7, 9):
        assert f"worker.ini:{line}" in told, told
    assert "CATALYST_LOG_FORMAT" in told


def test_session_must_outlast_the_transaction(site: Site) -> None:
    env = site.env | {
        "CATALYST_KAFKA_SESSION_TIMEOUT_MS": "6000",
        "CATALYST_KAFKA_TRANSACTION_TIMEOUT_MS": "6000",
    }

    done = run("check", env=env)

    assert done.returncode == EXIT_CONFIG
    assert "session.timeout.ms" in done.stdout + done.stderr


def test_no_secret_is_shown(site: Site) -> None:
    secret = "hunter2-of-the-database"
    env = site.env | {
        "CATALYST_DATABASE_URL": f"postgresql://catalyst:{secret}@127.0.0.1:1/catalyst",
        "CATALYST_KAFKA_SASL_PASSWORD": secret,
        "CATALYST_LANES": "none",
        "CATALYST_STARTUP_DEADLINE": "1",
    }
    for verb in (["check"], ["run"], ["check", "--online"]):
        done = run(*verb, env=env, timeout_s=30)
        assert done.returncode == EXIT_CONFIG
        assert secret not in done.stdout + done.stderr
    env["CATALYST_LANES"] = "1"
    del env["CATALYST_KAFKA_SASL_PASSWORD"]

    done = run("run", env=env, timeout_s=30)

    assert done.returncode == EXIT_UNAVAILABLE
    assert secret not in done.stdout + done.stderr


def test_check_of_good_settings(site: Site) -> None:
    assert run("check", env=site.env).returncode == EXIT_OK


def test_check_online_of_a_good_site(site: Site) -> None:
    done = run("check", "--online", env=site.env)
    assert done.returncode == EXIT_OK, done.stdout + done.stderr


def test_check_online_names_what_is_missing(site: Site) -> None:
    env = site.env | {
        "CATALYST_AUDIT_TOPIC": "no-such-topic",
        "CATALYST_COMMAND_TOPICS": "no-such-commands",
        "CATALYST_DATABASE_SCHEMA": "no_such_schema",
    }

    done = run("check", "--online", env=env)

    told = done.stdout + done.stderr
    assert done.returncode == EXIT_CONFIG, told
    for word in ("no-such-topic", "no-such-commands", "migrate"):
        assert word in told


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_check_names_a_library_whose_scram_brokers_refuse(site: Site, mechanism: str) -> None:
    env = site.env | {
        "CATALYST_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "CATALYST_KAFKA_SASL_MECHANISM": mechanism,
        "CATALYST_KAFKA_SASL_USERNAME": "u",
        "CATALYST_KAFKA_SASL_PASSWORD": "p",
    }
    shown = run("version", env=env).stdout
    version = re.search(r"librdkafka\D*(\d+)\.(\d+)\.(\d+)", shown)
    assert version, shown
    old = tuple(map(int, version.groups())) < (2, 6, 1)

    done = run("check", env=env)

    assert done.returncode == EXIT_OK, done.stdout + done.stderr
    assert ("SCRAM login" in done.stdout) == (old and mechanism != "PLAIN"), done.stdout


def test_check_online_without_servers(site: Site) -> None:
    nowhere = f"127.0.0.1:{program.free_port()}"
    env = site.env | {
        "CATALYST_KAFKA_BOOTSTRAP_SERVERS": nowhere,
        "CATALYST_DATABASE_URL": f"postgresql://catalyst@{nowhere}/catalyst",
    }
    done = run("check", "--online", env=env, timeout_s=60)
    assert done.returncode == EXIT_UNAVAILABLE, done.stdout + done.stderr


def test_run_without_topics_says_how_to_make_them(site: Site) -> None:
    done = run("run", env=site.env | {"CATALYST_COMMAND_TOPICS": "no-such-commands"}, timeout_s=30)

    assert done.returncode == EXIT_CONFIG, done.stderr
    assert "no-such-commands" in done.stderr and "migrate up --topics" in done.stderr


def test_run_on_an_empty_schema_says_what_to_do(site: Site) -> None:
    site.sql("CREATE SCHEMA IF NOT EXISTS nothing_in_it")

    done = run("run", env=site.env | {"CATALYST_DATABASE_SCHEMA": "nothing_in_it"}, timeout_s=30)

    assert done.returncode == EXIT_CONFIG, done.stderr
    assert "migrate" in done.stderr


def test_flag_beats_environment_beats_file(site: Site, tmp_path: Path) -> None:
    """Seen from outside by which schema is looked into."""
    file = tmp_path / "worker.ini"
    file.write_text("[database]\nschema = named_in_the_file\n")
    bare = {name: value for name, value in site.env.items() if name != "CATALYST_DATABASE_SCHEMA"}
    check = ("check", "--online", "--config", str(file))

    assert run(*check, env=bare).returncode == EXIT_CONFIG
    assert run(*check, env=site.env).returncode == EXIT_OK
    by_flag = run(*check, "--set", "database.schema=named_by_the_flag", env=site.env)
    assert by_flag.returncode == EXIT_CONFIG
    assert run(*check, "--set", f"database.schema={site.schema}", env=bare).returncode == EXIT_OK


def test_a_mistake_is_reported_even_where_it_is_overridden(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "worker.ini"
    file.write_text("[log]\nlevel = from-file\n")

    done = run("check", "--config", str(file), env=site.env | {"CATALYST_LOG_LEVEL": "warn"})

    assert done.returncode == EXIT_CONFIG
    assert "worker.ini:2" in done.stdout + done.stderr


def test_a_mistake_on_the_command_line_names_the_flag(site: Site) -> None:
    done = run("check", "--set", "log.level=loud", env=site.env)

    assert done.returncode == EXIT_CONFIG
    assert "--set log.level" in done.stdout + done.stderr


def test_a_secret_from_a_file(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text(site.env["CATALYST_DATABASE_URL"] + "\n")
    env = {name: value for name, value in site.env.items() if name != "CATALYST_DATABASE_URL"}

    done = run("check", "--online", env=env | {"CATALYST_DATABASE_URL_FILE": str(secret)})

    assert done.returncode == EXIT_OK, done.stdout + done.stderr


def test_a_config_file_that_is_not_there(site: Site) -> None:
    done = run("check", "--config", "/nonexistent/worker.ini", env=site.env)
    assert done.returncode == EXIT_CONFIG
    assert "/nonexistent/worker.ini" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-verb"],
        ["run", "--no-such-flag"],
        ["run", "surplus"],
        ["show"],
        ["show", "user"],
        ["show", "planet", "x"],
        ["show", "keys"],
        ["show", "keys", "--owner", "nokind"],
        ["migrate", "sideways"],
        ["tail", "--count", "x"],
        ["tail", "--from", "yesterday"],
        ["seed", "--users", "-1"],
        ["check", "--config"],
        ["show", "user", "u", "--output", "xml"],
    ],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_usage_mistakes_are_exit_64(site: Site, arguments: list[str]) -> None:
    done = run(*arguments, env=site.env, timeout_s=30)

    assert done.returncode == EXIT_USAGE, done.stderr
    assert done.stderr.strip() and not done.stdout
