"""The network between the worker and its servers: Toxiproxy on loopback, one proxy a server."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from harness.stack import REPOSITORY

from .processes import Process, Servers, answers, free_port, wait_until

CACHE = Path(os.environ.get("CATALYST_CACHE", REPOSITORY / "build"))
SERVER = CACHE / "toxiproxy" / "toxiproxy-server"

# What a toxic without attributes of its own does. Times in ms, rates in kB/s.
KINDS: dict[str, dict[str, int]] = {
    "latency": {"latency": 100, "jitter": 50},
    "bandwidth": {"rate": 64},
    "slow_close": {"delay": 1000},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "slicer": {"average_size": 64, "size_variation": 32, "delay": 10},
    "limit_data": {"bytes": 100_000},
}
DIRECTIONS = ("upstream", "downstream")


class NetworkError(AssertionError):
    pass


class Network(Servers):
    """Names of proxies are their owners': "kafka-1", "postgres-a". A name that ends in * means
    every proxy that begins so, in every method that takes a name."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.process = Process("toxiproxy", directory / "logs" / "toxiproxy.log")
        self.api_port = 0
        self.proxies: dict[str, int] = {}
        self._down: set[str] = set()
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def start(self) -> None:
        assert SERVER.is_file(), f"{SERVER} is missing: run deploy/local/install.sh test"
        self.api_port = free_port()
        self.process.start(
            [SERVER, "-host", "127.0.0.1", "-port", str(self.api_port)], env={"LOG_LEVEL": "error"}
        )
        wait_until("Toxiproxy answers", lambda: self._alive() and answers(self.api_port))

    def destroy(self) -> None:
        self.process.kill()
        self.proxies = {}
        self._down = set()

    def proxy(self, name: str, upstream_port: int) -> int:
        """The loopback port that leads to upstream_port from now on."""
        if name in self.proxies:
            self._call("DELETE", f"/proxies/{name}")
        port = free_port()
        self._call(
            "POST",
            "/proxies",
            {
                "name": name,
                "listen": f"127.0.0.1:{port}",
                "upstream": f"127.0.0.1:{upstream_port}",
                "enabled": True,
            },
        )
        self.proxies[name] = port
        return port

    def upstream(self, name: str, up: bool) -> None:
        """Told by whoever starts and ends the server. The port of one that is down refuses, as its
        own would: accepted and closed, a connection makes libpq give up its list of hosts."""
        self._down.discard(name)
        if not up:
            self._down.add(name)
        self._enable(name, up)

    # --- faults --------------------------------------------------------------------------------

    def toxic(
        self,
        name: str,
        kind: str,
        direction: str = "downstream",
        toxicity: float = 1.0,
        **attributes: int,
    ) -> None:
        """Adds one until restore(). downstream: what the server sends; toxicity: the share of
        connections that have it."""
        for proxy in self._named(name):
            self._call(
                "POST",
                f"/proxies/{proxy}/toxics",
                {
                    "name": f"{kind}_{direction}",
                    "type": kind,
                    "stream": direction,
                    "toxicity": toxicity,
                    "attributes": KINDS[kind] | attributes,
                },
            )

    def latency(self, name: str, latency_ms: int, jitter_ms: int = 0) -> None:
        """Either way, so that a round trip takes twice as much longer."""
        for direction in DIRECTIONS:
            self.toxic(name, "latency", direction, latency=latency_ms, jitter=jitter_ms)

    def bandwidth(self, name: str, rate_kb: int) -> None:
        for direction in DIRECTIONS:
            self.toxic(name, "bandwidth", direction, rate=rate_kb)

    def half_open(self, name: str, direction: str | None = None) -> None:
        """Connections stay open, are even accepted, and nothing arrives: neither a byte nor an end.
        With one direction, the other still works: a request is carried out and its answer lost."""
        for each in DIRECTIONS if direction is None else (direction,):
            self.toxic(name, "timeout", each, timeout=0)

    def reset_peers(self, name: str, after_ms: int = 0) -> None:
        """Until restore(), every connection that carries data ends with a TCP reset."""
        for direction in DIRECTIONS:
            self.toxic(name, "reset_peer", direction, timeout=after_ms)

    def reset(self, name: str) -> None:
        """Ends the connections that there are, once; new ones are as healthy as before."""
        for proxy in self._named(name):
            was = self._call("GET", f"/proxies/{proxy}")["enabled"]
            self._enable(proxy, False)
            if was:
                self._enable(proxy, True)

    def cut(self, name: str) -> None:
        """A partition that is noticed: connections end, and new ones are refused."""
        for proxy in self._named(name):
            self._enable(proxy, False)

    def restore(self, name: str = "*") -> None:
        """Heals whatever was done. Connections that were half open end: what they lost is lost."""
        for proxy in self._named(name):
            state = self._call("GET", f"/proxies/{proxy}")
            for toxic in state["toxics"]:
                self._call("DELETE", f"/proxies/{proxy}/toxics/{toxic['name']}")
            self._enable(proxy, proxy not in self._down)

    def healthy(self, name: str = "*") -> bool:
        states = [self._call("GET", f"/proxies/{proxy}") for proxy in self._named(name)]
        return all(state["enabled"] and not state["toxics"] for state in states)

    # --- Toxiproxy's API -----------------------------------------------------------------------

    def _named(self, name: str) -> list[str]:
        if not name.endswith("*"):
            assert name in self.proxies, f"no proxy {name} among {sorted(self.proxies)}"
            return [name]
        return [proxy for proxy in self.proxies if proxy.startswith(name[:-1])]

    def _enable(self, proxy: str, enabled: bool) -> None:
        self._call("POST", f"/proxies/{proxy}", {"enabled": enabled})

    def _alive(self) -> bool:
        assert self.process.alive(), f"Toxiproxy ended; see {self.process.log_path}"
        return True

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            reason = error.read().decode(errors="replace").strip()
            raise NetworkError(f"{method} {path}: {error.code} {reason}") from error
        return json.loads(text) if text else None
