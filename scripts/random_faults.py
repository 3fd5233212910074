"""Random faults of the miniature PhysioNet, for the heavy checks."""

from __future__ import annotations

import random
from collections import Counter
from http import HTTPStatus

from cxrsync.demo.server import faults
from cxrsync.demo.server.faults import Fault

SHARE_OF_FAULTS = 0.1
# What a run needs to see them through in reasonable time.
PATIENCE = ("--stall-timeout", "2", "--connect-timeout", "5", "--retries", "5")


class RandomFaults:
    """A script of faults: one request in ten gets a random fault.

    Requests for the manifest get only faults that the protocol shows: only TLS protects its bytes.
    ``final``: with answers, too, after which a run gives the file up.
    """

    def __init__(self, rng: random.Random, *, final: bool = True) -> None:
        self._chance = rng
        self._has_final = final
        self.met: Counter[str] = Counter()

    def __call__(self, path: str, _attempt: int) -> Fault | None:
        if self._chance.random() >= SHARE_OF_FAULTS:
            return None
        at = self._chance.choice((0, 1, self._chance.randrange(80_000)))
        visible: dict[str, Fault] = {
            "closed": faults.closes(at),
            "reset": faults.resets(at),
            "silent": faults.stalls(at),
            "dripping": faults.drips(at, 20_000),
            "length too long": faults.misjudged(9_000),
            "200 for a range": faults.whole,
            "another range": faults.shifted(7),
            "another total": faults.retotalled(7),
            "compressed": faults.gzipped,
            "another tag": faults.retagged(),
            "408": faults.says(HTTPStatus.REQUEST_TIMEOUT),
            "429": faults.says(HTTPStatus.TOO_MANY_REQUESTS, ("Retry-After", "1")),
            "503": faults.says(HTTPStatus.SERVICE_UNAVAILABLE, ("Retry-After", "0")),
            "500": faults.says(HTTPStatus.INTERNAL_SERVER_ERROR),
            "a sign-in page": faults.signs_in,
            "pointed elsewhere": faults.redirects("https://localhost:9/"),
        }
        more: dict[str, Fault] = {
            "no length, cut short": faults.unsized(at),
            "length too short": faults.misjudged(-1 - at // 8),
            "416": faults.unsatisfied(self._chance.choice((None, "0", str(at)))),
            "a byte flipped": faults.flips(at),
        }
        if self._has_final:
            more["404"] = faults.says(HTTPStatus.NOT_FOUND)
            more["403"] = faults.says(HTTPStatus.FORBIDDEN)
        choices = visible if path.endswith("SHA256SUMS.txt") else visible | more
        name = self._chance.choice(sorted(choices))
        self.met[name] += 1
        return choices[name]
