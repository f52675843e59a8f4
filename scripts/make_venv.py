#!/usr/bin/env python3
# Written so that an old Python, even 2.7, can read it to say that it is too old.
# ruff: noqa
"""Make .venv hold what the requirements files say: `make_venv.py requirements.txt ...`.

VENV_FOLDER names another folder than .venv. Does nothing when it does already. What a run that was cut short left behind, the next one mends.
"""

import hashlib
import os
import subprocess
import sys
import time

NEEDED = (3, 11)
NEWEST = (3, 15)  # looked for up to this one, to name one that is there
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.environ.get("VENV_FOLDER") or ".venv"
VENV = os.path.normpath(os.path.join(ROOT, FOLDER))
VENV_PYTHON = os.path.join(VENV, "bin", "python")
# Written last: for each requirements file that is installed, what it was.
STAMP = os.path.join(VENV, "installed.txt")


class CannotMakeError(Exception):
    """The environment cannot be made; the text says what to do."""


def main(files):
    check_python(tuple(sys.version_info[:2]))
    wanted = [describe(name) for name in files]
    if os.access(VENV_PYTHON, os.X_OK) and set(wanted) <= set(read_stamp()):
        return
    check_modules()
    if not is_whole():
        make()
    install(files)
    with open(STAMP, "w") as stamp:
        stamp.write("\n".join(wanted) + "\n")


def check_python(version):
    if version >= NEEDED:
        return
    advice = "Install one and name it: PYTHON=/path/to/python3.12"
    for minor in range(NEWEST[1], NEEDED[1] - 1, -1):
        if is_there("python3.%d" % minor):
            advice = "Choose one that is here: PYTHON=python3.%d" % minor
            break
    raise CannotMakeError(
        "Mailroom needs Python 3.11 or newer, %s is %d.%d. %s"
        % (sys.executable, version[0], version[1], advice)
    )


def is_there(program):
    """Whether a program is found and runs (a version manager's stand-in may not)."""
    try:
        with open(os.devnull, "w") as nothing:
            return subprocess.call([program, "--version"], stdout=nothing, stderr=nothing) == 0
    except EnvironmentError:
        return False


def check_modules():
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise CannotMakeError(
            "%s lacks the module %s. Install it (Debian, Ubuntu: apt install python3-venv) "
            "or choose another Python: PYTHON=/path/to/python3.12" % (sys.executable, error.name)
        )


def describe(name):
    """One line that changes when the file, the Python or the folder does: a venv cannot move."""
    with open(os.path.join(ROOT, name), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return "%s %s python%d.%d %s" % ((name, digest) + tuple(sys.version_info[:2]) + (VENV,))


def read_stamp():
    try:
        with open(STAMP) as stamp:
            return stamp.read().splitlines()
    except EnvironmentError:
        return []


def is_whole():
    """Whether .venv can be installed into: made by this Python, in this folder, with a pip."""
    try:
        with open(os.path.join(VENV, "bin", "pip"), "rb") as pip:
            if VENV.encode() not in pip.read(1000):
                return False  # it was moved or copied: its programs would run elsewhere
        ask = "import pip._internal, sys; print(*sys.version_info[:2])"
        answer = subprocess.check_output([VENV_PYTHON, "-c", ask], stderr=subprocess.DEVNULL)
    except (EnvironmentError, subprocess.CalledProcessError):
        return False
    return answer.decode().strip() == "%d %d" % tuple(sys.version_info[:2])


def make():
    if os.path.islink(VENV):
        # venv --clear would follow it and empty a folder that may be somebody else's.
        raise CannotMakeError(
            "%s is a link to %s, which is left as it is. Remove the link, then try again."
            % (FOLDER, os.path.realpath(VENV))
        )
    # Not sys.executable: in an active .venv that would be the one that is cleared.
    python = getattr(sys, "_base_executable", None) or sys.executable
    if subprocess.call([python, "-m", "venv", "--clear", VENV]) != 0:
        raise CannotMakeError("%s could not make %s; see above." % (python, VENV))


def install(files):
    print("Installing %s into %s (a minute or so, once) ..." % (" and ".join(files), FOLDER))
    sys.stdout.flush()
    began = time.time()
    if os.path.exists(STAMP):
        os.remove(STAMP)
    command = [VENV_PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    command += ["--no-input", "--require-hashes"]
    for name in files:
        command += ["-r", os.path.join(ROOT, name)]
    if subprocess.call(command) != 0:
        raise CannotMakeError("Not everything could be installed; see above, then try again.")
    print("Installed in %d s." % (time.time() - began))
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CannotMakeError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("Interrupted; the next run goes on.")
