"""Ask a service whether it lives, is ready, and lets nobody in without a secret; exit with 1 if not."""

import sys
from urllib.error import HTTPError
from urllib.request import urlopen


def status_of(url: str, body: bytes | None = None) -> int:
    """Ask once; whatever is answered, the status is returned, and 0 where nothing is."""
    try:
        with urlopen(url, body, timeout=10) as answer:  # noqa: S310 - the chart's own addresses
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except OSError as error:
        sys.stdout.write(f"{url}: {error}\n")
        return 0


intake, admin, *doors = sys.argv[1:]
wanted = {f"{admin}/healthz": 200, f"{admin}/readyz": 200}
wanted |= {
    f"{intake}/v1/{name}": int(status) for name, status in (door.split("=") for door in doors)
}
got = {url: status_of(url, b"{}" if "/v1/" in url else None) for url in wanted}
for url, status in got.items():
    judged = "as it should be" if status == wanted[url] else f"and not {wanted[url]}"
    sys.stdout.write(f"{url}: {status}, {judged}\n")
sys.exit(got != wanted)
