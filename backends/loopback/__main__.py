"""`python -m backends.loopback VENDOR OPTIONS`: the service as `Loopback` starts it; OPTIONS are JSON."""

import json
import sys
from importlib import import_module
from pathlib import Path

from qcaan.errors import QcaanError


def announce(url: str, environment: dict[str, str], _: tuple[str, ...]) -> None:
    """Tell the parent process, in one line."""
    sys.stdout.write(json.dumps({"url": url, "environment": environment}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    vendor, text = sys.argv[1:]
    options = json.loads(text)
    try:
        import_module(f"backends.loopback.{vendor}").serve(
            **options | {"state": Path(options["state"])}, announce=announce
        )
    except QcaanError as error:
        sys.exit(str(error))
