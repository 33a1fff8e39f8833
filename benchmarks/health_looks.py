"""Look at a service's health again and again: a line `STATUS SECONDS` each, until the process is ended.

    python benchmarks/health_looks.py URL EVERY

In a process of its own: threads of the one that sends the load would wait for each other, and not for the service.
"""

import sys
import time

import httpx2


def main() -> None:
    """Look and print."""
    url, pause = sys.argv[1], float(sys.argv[2])
    with httpx2.Client(base_url=url, timeout=180.0) as client:
        while True:
            for path in ("/healthz/live", "/healthz/ready"):
                before = time.perf_counter()
                status = client.get(path).status_code
                print(status, time.perf_counter() - before, flush=True)
            time.sleep(pause)


if __name__ == "__main__":
    main()
