"""`make faults`: what may go wrong does, and what must hold all the same is looked at.

A line a fault; the last line counts, and the exit code is 1 when it does not end in "ok". `ONLY=`
names some faults, `SEED=` chooses the moments of an earlier run, `KILLS=` says how many kill -9
there are at random (200).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import django

from faults.installation import find_absent, installation

KILLS = 200


def main(only: list[str]) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    absent = find_absent()
    if absent and os.environ.get("CI") == "true":
        print(f"Not run: {'; '.join(absent)}.")
        return 1
    seed = int(os.environ.get("SEED") or secrets.randbelow(1_000_000))
    kills = int(os.environ.get("KILLS") or KILLS)
    folder = Path(tempfile.mkdtemp(prefix="mailroom-faults-"))
    code = 0
    try:
        with installation(folder) as made:
            print(f"On {made.words}, SEED={seed}.", flush=True)
            django.setup()
            # It imports models, which is possible only now.
            from faults.suite import run_suite

            code = run_suite(made, only, seed=seed, kills=kills)
    except KeyboardInterrupt:
        print("Interrupted.")
        code = 130
    finally:
        if code == 1:
            print(f"The logs are in {folder}.")
        else:
            shutil.rmtree(folder)
    return code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
