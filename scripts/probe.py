"""Ask a health page: `probe.py http://127.0.0.1:8000/readyz`; fails unless it answers 200.

Plain Python, for images without curl. A proxy in the environment is not for this address.
"""

import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit


def main(url: str) -> int:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        print(response.status, response.read(2000).decode(errors="replace").strip())
    except (OSError, HTTPException) as problem:
        print(f"No answer from {url}: {problem}")
        return 1
    return 0 if response.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
