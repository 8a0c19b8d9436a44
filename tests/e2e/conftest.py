"""Fixtures: one stack for the session, one installation (schema, topics, group) for a module or test."""

import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from harness.kafka import Kafka
from harness.program import BINARY
from harness.site import Site
from harness.stack import REPOSITORY, Stack, stack_from_environment

LOGS = REPOSITORY / "build" / "test-logs" / "e2e"


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    assert BINARY.is_file(), f"{BINARY} is not built: cmake --preset dev && cmake --build --preset dev"
    running = stack_from_environment(REPOSITORY / "build" / "e2e-stack")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def kafka(stack: Stack) -> Kafka:
    return Kafka(stack.servers)


def _name(request: pytest.FixtureRequest) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removesuffix(".py"))
    return f"{words.removeprefix('test-')[:24].strip('-')}-{uuid4().hex[:8]}"


def _sites(request: pytest.FixtureRequest, stack: Stack, kafka: Kafka) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**options: int) -> Site:
        suffix = f"-{len(made)}" if made else ""
        site = Site(_name(request) + suffix, stack, kafka, Path(LOGS), **options)
        made.append(site)
        return site.create()

    yield make
    failed = getattr(request.node, "failed", False)
    for site in made:
        if failed:
            site.abandon()
        else:
            try:
                site.close()
            finally:
                site.abandon()


@pytest.fixture
def new_site(request: pytest.FixtureRequest, stack: Stack, kafka: Kafka) -> Iterator[Callable[..., Site]]:
    yield from _sites(request, stack, kafka)


@pytest.fixture(scope="module")
def new_module_site(
    request: pytest.FixtureRequest, stack: Stack, kafka: Kafka
) -> Iterator[Callable[..., Site]]:
    yield from _sites(request, stack, kafka)


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    return new_site()


@pytest.fixture
def narrow(new_site: Callable[..., Site]) -> Site:
    """One partition a topic: commands in exactly the order of publication."""
    return new_site(partitions=1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.failed = True  # type: ignore[attr-defined]
    return report
