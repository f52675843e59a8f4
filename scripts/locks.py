"""The locked requirements: `locks.py check` or `locks.py write`.

`check` asks for nothing newer: what is locked must still be what uv would lock.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements", "requirements-dev", "requirements-bench")
COMPILE = (
    *("pip", "compile", "-q", "--universal", "--python-version", "3.11"),
    # Where packages come from is each machine's own affair.
    *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"),
)
_PIN = re.compile(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)([^\\\n]*)((?:\\\n +\S+)*)")
_NAME = re.compile(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)")


def main(task: str) -> int:
    if task == "write":
        for name in LOCKS:
            compile_lock(name, folder=ROOT)
        return 0
    problems = [problem for name in LOCKS for problem in check_pins(name)]
    problems = problems or [problem for name in LOCKS for problem in check_fresh(name)]
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


def compile_lock(name: str, *, folder: Path) -> None:
    """Compile NAME.in to NAME.txt; versions already in NAME.txt are kept where they fit."""
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), *COMPILE, f"{name}.in", "-o", f"{name}.txt"]
    code = subprocess.call(command, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603
    if code != 0:
        sys.exit(f"uv pip compile {name}.in failed ({code}); see above.")


def check_pins(name: str) -> list[str]:
    """Everything that is asked for is pinned, and every pin has its hashes; no place is named."""
    asked = (ROOT / f"{name}.in").read_text(encoding="utf-8")
    lock = (ROOT / f"{name}.txt").read_text(encoding="utf-8")
    pins = {normal(pin[1]): pin[4] for pin in _PIN.finditer(lock)}
    missing = {normal(n) for n in _NAME.findall(asked)} - pins.keys()
    return [
        *(f"{name}.in asks for {n}, {name}.txt has none: make lock" for n in sorted(missing)),
        *(f"{name}.txt: {n} has no hash: make lock" for n, h in pins.items() if "--hash" not in h),
        *(f"{name}.txt names a place: {word}" for word in re.findall(r"\S+://\S+", lock)),
    ]


def check_fresh(name: str) -> list[str]:
    """Compiling again, from what is locked, changes no pin."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for file in (f"{lock}.{ending}" for lock in LOCKS for ending in ("in", "txt")):
            (copy / file).write_bytes((ROOT / file).read_bytes())
        before = pinned(copy / f"{name}.txt")
        compile_lock(name, folder=copy)
        after = pinned(copy / f"{name}.txt")
    if before == after:
        return []
    changed = ", ".join(sorted(before ^ after))
    return [f"{name}.txt is not what {name}.in compiles to: {changed}. Mend it with: make lock"]


def pinned(lock: Path) -> set[str]:
    """ "name==version ; marker" of every pin. Hashes are left out: a version may gain files."""
    return {
        f"{normal(pin[1])}=={pin[2]}{pin[3].rstrip()}"
        for pin in _PIN.finditer(lock.read_text(encoding="utf-8"))
    }


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "check"))
