"""Whether the studio of this machine answers: python -m studio.health [port]; exit code 0 or 1."""

import http.client
import sys
from contextlib import suppress

SECONDS = 4.0
ALIVE = (200, 401)  # the page, or the question for the password


def answers(port: int) -> bool:
    """Return whether a studio answers at a port of this machine."""
    with suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status in ALIVE
        finally:
            connection.close()
    return False


if __name__ == "__main__":
    sys.exit(0 if answers(int(sys.argv[1]) if len(sys.argv) > 1 else 7860) else 1)
