"""The requests to the miniature PhysioNet, counted and logged."""

import copy
import threading
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple


class Logged(NamedTuple):
    """One answered request; `range` is its Range header, if it had one."""

    method: str
    path: str
    status: int
    range: str | None


@dataclass
class PathCount:
    """The requests for one path, and the bytes sent."""

    requests: int = 0
    bytes_sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


@dataclass
class Counts:
    """Counts of requests, of bytes of bodies handed to a connection, and of connections.

    Paths are decoded and relative to /files/; other paths keep their leading slash.
    ``peak_connections``: how many were open at most when a request arrived. When a connection is
    accepted, the end of the one that it follows may not have been seen yet.
    """

    requests: int = 0
    bytes_sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    by_path: dict[str, PathCount] = field(default_factory=dict)
    password_checks: int = 0
    connections: int = 0
    refused_connections: int = 0
    open_connections: int = 0
    peak_connections: int = 0
    user_agents: set[str] = field(default_factory=set)
    log: list[Logged] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON values; statuses become strings."""
        # Not dataclasses.asdict, which converts Counters wrongly.
        plain = {f.name: getattr(self, f.name) for f in fields(Counts)}
        by_path = {path: vars(count) for path, count in self.by_path.items()}
        return {**plain, "by_path": by_path, "user_agents": sorted(self.user_agents)}


class RequestLog(Counts):
    """Counts that the server's thread updates and any thread may read.

    Everything that a client can have received is counted: the server counts before it writes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def snapshot(self) -> Counts:
        """Return a copy that does not change."""
        with self._lock:
            return Counts(**{f.name: copy.deepcopy(getattr(self, f.name)) for f in fields(Counts)})

    def reset(self) -> None:
        """Forget everything except the connections that are open now."""
        with self._lock:
            still_open = self.open_connections
            super().__init__()
            self.open_connections = self.peak_connections = still_open

    def asked(self, path: str, agent: str) -> None:
        """Count a request when it arrives."""
        with self._lock:
            self.requests += 1
            self.peak_connections = max(self.peak_connections, self.open_connections)
            self.user_agents.add(agent)
            self.by_path.setdefault(path, PathCount()).requests += 1

    def answered(self, entry: Logged) -> None:
        """Count a response when its headers are sent."""
        with self._lock:
            self.statuses[entry.status] += 1
            self.by_path.setdefault(entry.path, PathCount()).statuses[entry.status] += 1
            self.log.append(entry)

    def sent(self, path: str, nbytes: int) -> None:
        """Count bytes of a body when they are written; a negative number subtracts."""
        with self._lock:
            self.bytes_sent += nbytes
            self.by_path.setdefault(path, PathCount()).bytes_sent += nbytes

    def checked_password(self) -> None:
        """Count a password check, right or wrong."""
        with self._lock:
            self.password_checks += 1

    def connected(self) -> None:
        """Count an accepted connection."""
        with self._lock:
            self.connections += 1
            self.open_connections += 1

    def disconnected(self) -> None:
        """Count a connection that has ended."""
        with self._lock:
            self.open_connections -= 1

    def refused(self) -> None:
        """Count a connection beyond the limit."""
        with self._lock:
            self.refused_connections += 1
