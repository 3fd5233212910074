"""A port for a server that cannot be handed a socket."""

import random
import socket

# Below those that Linux and macOS give away by themselves: a client of another test, or of this
# one, must not get it before the server does.
_PORTS = range(15_000, 30_000)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
