"""Whether the gateway of this container is ready: exit 0, or 1 and the reason. For images without curl.

Only the standard library, and not urllib, which would go through the proxy of `HTTP_PROXY`.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

#: Seconds: less than the timeout of the health check that starts this.
_PATIENCE = 3.0


def trouble(port: int) -> str | None:
    """Why the gateway on this port is not ready; None when it is."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/health/ready")
        status = connection.getresponse().status
    except (OSError, HTTPException) as exc:
        return f"no answer on port {port}: {exc or type(exc).__name__}"
    finally:
        connection.close()
    return None if status == 200 else f"port {port} answers {status}"


if __name__ == "__main__":
    sys.exit(trouble(int(os.environ.get("STEELYARD_PORT") or 8000)))
