"""What the miniature PhysioNet did, counted."""

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
    """What one path was asked for, and what of it was sent."""

    requests: int = 0
    bytes_sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


@dataclass
class Counts:
    """Counts of requests, of bytes of bodies handed to a connection, and of connections.

    Paths are decoded and relative to /files/; what lies elsewhere keeps its leading slash.
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
        """Return the counts as values that JSON knows, where statuses become strings."""
        # Not dataclasses.asdict: it takes Counters apart wrongly.
        plain = {f.name: getattr(self, f.name) for f in fields(Counts)}
        by_path = {path: vars(count) for path, count in self.by_path.items()}
        return {**plain, "by_path": by_path, "user_agents": sorted(self.user_agents)}


class RequestLog(Counts):
    """Counts that the server's thread keeps and any thread may read.

    Whatever a client can have noticed is in here already: the server counts before it writes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def snapshot(self) -> Counts:
        """Return a copy that changes no more."""
        with self._lock:
            return Counts(**{f.name: copy.deepcopy(getattr(self, f.name)) for f in fields(Counts)})

    def reset(self) -> None:
        """Forget everything but the connections that are open now."""
        with self._lock:
            still_open = self.open_connections
            super().__init__()
            self.open_connections = self.peak_connections = still_open

    def asked(self, path: str, agent: str) -> None:
        """Count a request as it comes in."""
        with self._lock:
            self.requests += 1
            self.user_agents.add(agent)
            self.by_path.setdefault(path, PathCount()).requests += 1

    def answered(self, entry: Logged) -> None:
        """Count a response as its headers go out."""
        with self._lock:
            self.statuses[entry.status] += 1
            self.by_path.setdefault(entry.path, PathCount()).statuses[entry.status] += 1
            self.log.append(entry)

    def sent(self, path: str, nbytes: int) -> None:
        """Count bytes of a body as they are written; negative takes them back."""
        with self._lock:
            self.bytes_sent += nbytes
            self.by_path.setdefault(path, PathCount()).bytes_sent += nbytes

    def checked_password(self) -> None:
        """Count a password check, right or wrong."""
        with self._lock:
            self.password_checks += 1

    def connected(self) -> None:
        """Count a connection that was let in."""
        with self._lock:
            self.connections += 1
            self.open_connections += 1
            self.peak_connections = max(self.peak_connections, self.open_connections)

    def disconnected(self) -> None:
        """Count a connection as gone."""
        with self._lock:
            self.open_connections -= 1

    def refused(self) -> None:
        """Count a connection that was one too many."""
        with self._lock:
            self.refused_connections += 1
