"""Health, metrics and version over HTTP."""

import contextlib
import json
import re
import signal
import socket
import urllib.error
import urllib.request

import pytest

from harness import make
from harness.malformed import CASES
from harness.program import run
from harness.site import Site
from harness.wait import wait_until
from harness.wire import IDENTITY


def test_health_of_a_worker_at_work(site: Site) -> None:
    worker = site.start()

    assert worker.get("/health/started")[0] == 200
    assert worker.get("/health/live")[0] == 200
    assert worker.get("/health/ready")[0] == 200


def test_version(site: Site) -> None:
    status, body = site.start().get("/version")

    assert status == 200
    assert re.search(r"\d+\.\d+\.\d+", body)
    json.loads(body)


@pytest.mark.parametrize("path", ["/", "/health", "/metrics/", "/../etc/passwd", "/health/ready?x=%00"])
def test_other_paths(site: Site, path: str) -> None:
    status, _ = site.start().get(path)
    assert status == (200 if path.startswith("/health/ready?") else 404)


def test_other_methods_are_refused(site: Site) -> None:
    worker = site.start()
    request = urllib.request.Request(f"http://127.0.0.1:{worker.port}/metrics", data=b"x", method="POST")

    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)

    assert error.value.code == 405


def test_http_can_be_switched_off(site: Site) -> None:
    worker = site.start(http=False)

    site.process([make.user("u")])
    assert site.table("auth_users").keys() == {"u"}
    assert worker.get("/health/live")[0] == 0


def test_a_port_that_is_taken_is_exit_78_or_69(site: Site) -> None:
    first = site.start("first")

    env = site.env | {"CATALYST_HTTP_LISTEN": f"127.0.0.1:{first.port}"}
    done = run("run", env=env, timeout_s=30)

    assert done.returncode in (69, 78), done.stderr
    assert "listen" in done.stderr


def test_slow_connections_keep_no_probe_out(site: Site) -> None:
    """Each sends a byte of a header now and then, so that none of them is ever idle."""
    worker = site.start("slow")
    slow = [socket.create_connection(("127.0.0.1", worker.port)) for _ in range(200)]
    try:
        for each in slow:
            each.sendall(b"GET /health/live HTTP/1.1\r\nX: ")
        for _ in range(20):
            for each in slow:
                with contextlib.suppress(OSError):  # the server has closed it
                    each.sendall(b"x")
            for page in ("/health/live", "/health/ready", "/metrics"):
                assert worker.get(page)[0] == 200
    finally:
        for each in slow:
            each.close()


def test_sighup_ends_nothing(site: Site) -> None:
    worker = site.start("hup")

    for _ in range(3):
        worker.process.send_signal(signal.SIGHUP)
    wait_until("the log tells of the signal", lambda: "SIGHUP does nothing" in worker.log, 10)
    site.process([make.user("u-after-sighup")])

    assert worker.alive()
    assert "u-after-sighup" in site.table("auth_users")


def test_metrics_count_what_happened(narrow: Site) -> None:
    worker = narrow.start()
    again = make.user("u")
    commands = [
        again,
        again,
        again.with_data(displayName="conflict"),
        make.issue("k"),
        make.use("k"),
        make.use("nobody"),
    ]
    garbage = [case.record for case in CASES if case.record.topic == IDENTITY][:5]
    narrow.process([*commands, *garbage])

    assert worker.metric("catalyst_commands_total", outcome="applied") == 3
    assert worker.metric("catalyst_commands_total", outcome="rejected") == 1
    assert worker.metric("catalyst_duplicates_total") == 1
    assert worker.metric("catalyst_id_conflicts_total") == 1
    assert worker.metric("catalyst_dead_letters_total") == 5
    wait_until("no lag", lambda: worker.metric("catalyst_consumer_lag_messages") == 0, 20)


def test_metrics_are_prometheus_text(narrow: Site) -> None:
    worker = narrow.start()
    narrow.process([make.user("u-very-particular")])

    _, body = worker.get("/metrics")

    sample = re.compile(
        r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_]\w*="[^"\n]*"(,[a-zA-Z_]\w*="[^"\n]*")*\})? '
        r"(-?\d+(\.\d+)?(e[+-]?\d+)?|[+-]Inf|NaN)"
    )
    typed = set()
    seen = set()
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif line and not line.startswith("#"):
            assert sample.fullmatch(line), line
            name = re.match(r"[\w:]+", line)[0]  # type: ignore[index]
            assert name in typed or re.sub(r"_(bucket|sum|count)$", "", name) in typed, line
            series = line.rpartition(" ")[0]
            assert series not in seen, f"twice: {series}"
            seen.add(series)
    assert seen and "u-very-particular" not in body
    assert body.endswith("\n")
