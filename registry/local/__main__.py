"""`python -m registry.local`: the whole site on one computer.

    up                 everything, then the demonstration, then stay until Ctrl-C
    up --check         everything and the demonstration, then stop
    db [-- COMMAND…]   the database alone: for COMMAND, or until Ctrl-C
    prepare            secret, keys, tables, queue and static files, and end (for servers)
    keys               Django's secret key, if there is none
    test [ARGS…]       all tests

Not a stage; see `processes` and `postgres` for what it trusts.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from registry.local import broker, env, processes, roles, secret
from registry.local.postgres import Server
from registry.local.problems import Problem
from registry.local.processes import ROOT, Supervisor, manage

PAGES = (
    ("Site / サイト", "/"),
    ("Agency / 事務所", "/agency/"),
    ("Talent / 本人", "/my/"),
    ("Photographer / 撮影者", "/requests/"),
    ("Check a LoRA / 確認", "/verify"),
    ("Ledger / 台帳", "/ledger"),
    ("API", "/api/docs"),
)


def say(line: str = "") -> None:
    """One line of progress."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 a problem that is explained, 130 interrupted."""
    options, rest = _parser().parse_known_args(argv)
    if rest and options.run is not _test:
        _parser().parse_args(argv)  # says what it does not know, and exits
    options.rest = rest
    os.umask(0o077)  # what any program here writes is ours alone, unless it says otherwise
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sent, _interrupt)
    env.load_dotenv(ROOT / ".env")
    try:
        return int(options.run(options))
    except (Problem, ImproperlyConfigured) as problem:
        sys.stderr.write(f"\nKyodaku cannot start: {problem}\n")
        return 1
    except KeyboardInterrupt:
        say("Stopped.")
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m registry.local", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up")
    up.set_defaults(run=_up)
    up.add_argument("--check", action="store_true", help="stop after the demonstration")
    up.add_argument("--photos", type=Path, metavar="DIR", help="your own pictures of one person")
    up.add_argument("--references", type=Path, metavar="DIR", help="3 or more portraits of them")
    up.add_argument("--no-demo", action="store_true", help="only start the site")
    db = commands.add_parser("db")
    db.set_defaults(run=_db)
    db.add_argument("command", nargs=argparse.REMAINDER)
    commands.add_parser("prepare").set_defaults(run=_prepare_only)
    commands.add_parser("keys").set_defaults(run=_keys)
    test = commands.add_parser("test", add_help=False)
    test.set_defaults(run=_test)
    return parser


def home() -> Path:
    """Where everything that this computer keeps lies."""
    return env.path("KYODAKU_HOME", ROOT / "var")


@contextmanager
def database() -> Iterator[str]:
    """The address of the database: DATABASE_URL, or an embedded server for as long as this."""
    given = os.environ.get("DATABASE_URL", "").strip()
    if given:
        env.database(given)  # a wrong one is named now, not by the tenth program
        yield given
        return
    with Server(home()) as server:
        note = home() / "database.url"  # for `manage.py` by hand
        _write_secret(note, server.url)
        try:
            yield server.url
        finally:
            note.unlink(missing_ok=True)


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(f"{text}\n")


def _environment(url: str, port: int | None = None) -> dict[str, str]:
    """What the programs get: our own environment, the database, the public address."""
    found = {
        **os.environ,
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "registry.settings",
        "KYODAKU_HOME": str(home()),
        "PYTHONUNBUFFERED": "1",
    }
    found.setdefault("OMP_NUM_THREADS", "1")
    found["ORT_DISABLE_TELEMETRY"] = "1"  # nothing about the pictures' engine leaves this machine
    if port is not None:
        found.setdefault("KYODAKU_PUBLIC_URL", f"http://localhost:{port}")
    return found


def _prepare(supervisor: Supervisor, url: str, *extra: str) -> None:
    """Secret, keys, tables, checks, static files, queue: each is done once or does no harm."""
    secret.create(env.path("KYODAKU_KEYS_DIR", home() / "keys"))
    supervisor.once("prepare", [sys.executable, "-m", "registry.local.prepare", *extra])
    if not os.environ.get("CELERY_BROKER_URL"):
        broker.install(url)


def _up(options: argparse.Namespace) -> int:
    env.choice("KYODAKU_MODE", {"test", "live"})
    begun = time.monotonic()
    with ExitStack() as stack:
        say("Database …")
        url = stack.enter_context(database())
        port = processes.free_port(env.integer("KYODAKU_PORT", 8000, least=1, most=65535))
        supervisor = Supervisor(home() / "log", _environment(url, port))
        stack.callback(supervisor.stop)
        say("Keys, tables, static files …")
        _prepare(supervisor, url, "--worker")
        say("Sequencer, workers, web …")
        _start(supervisor, port, _bound(supervisor, url))
        address = supervisor.env["KYODAKU_PUBLIC_URL"]
        say(f"Ready after {time.monotonic() - begun:.1f} s: {address}")
        code = 0 if options.no_demo else _demonstration(supervisor, options)
        if options.check:
            say("Stopping …")
            return code
        return _stay(supervisor, address)


def _bound(supervisor: Supervisor, url: str) -> str:
    """Bind our programs to roles of the embedded database; return the sequencer's address.

    A database that somebody else runs has the roles that they gave it.
    """
    if os.environ.get("DATABASE_URL", "").strip():
        return url
    roles.create(url)
    names = (f"--application={roles.APPLICATION}", f"--sequencer={roles.SEQUENCER}")
    supervisor.once("roles", manage("log_roles", *names))
    if not os.environ.get("CELERY_BROKER_URL"):
        roles.lend_queue(url)
    supervisor.env = {**supervisor.env, "DATABASE_URL": roles.taken_on(url, roles.APPLICATION)}
    return roles.taken_on(url, roles.SEQUENCER)


def _start(supervisor: Supervisor, port: int, sequencer_url: str) -> None:
    log = supervisor.log
    supervisor.start(
        processes.sequencer(sequencer_url),
        processes.worker("worker", "default", processes=1, log=log("worker"), beat=True),
        processes.worker("gpu", "gpu", processes=1, log=log("gpu")),
        processes.web(port, host=urlsplit(supervisor.env["KYODAKU_PUBLIC_URL"]).netloc),
    )


def _demonstration(supervisor: Supervisor, options: argparse.Namespace) -> int:
    """Run the demonstration in this terminal, and watch the programs meanwhile."""
    arguments = ["demo"]
    for name in ("photos", "references"):
        folder = getattr(options, name)
        arguments += [f"--{name}", str(folder.resolve())] if folder else []
    command = [str(part) for part in manage(*arguments)]
    with subprocess.Popen(command, env=dict(supervisor.env), cwd=ROOT) as demo:  # noqa: S603
        try:
            while demo.poll() is None:
                supervisor.check()
                time.sleep(0.2)
        except BaseException:
            demo.terminate()
            raise
    return demo.returncode


def _stay(supervisor: Supervisor, address: str) -> int:
    say()
    for title, path in PAGES:
        say(f"  {title:<24}{address}{path}")
    say(f"  {'Logs':<24}{supervisor.logs}")
    say("\nCtrl-C stops everything.")
    try:
        while True:
            supervisor.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("\nStopping …")
        return 0


def _db(options: argparse.Namespace) -> int:
    with database() as url:
        command = [part for part in options.command if part != "--"]
        if command:
            return subprocess.run(command, env=_environment(url), check=False).returncode  # noqa: S603
        say(f"DATABASE_URL={url}")
        signal.pause()
    return 0


def _prepare_only(options: argparse.Namespace) -> int:
    with database() as url:
        supervisor = Supervisor(home() / "log", _environment(url))
        _prepare(supervisor, url)
    say("Prepared.")
    return 0


def _keys(options: argparse.Namespace) -> int:
    made = secret.create(env.path("KYODAKU_KEYS_DIR", home() / "keys"))
    say("A secret key was made." if made else "There is a secret key already.")
    return 0


def _test(options: argparse.Namespace) -> int:
    # The whole suite runs on every core, a file at a time; a chosen part runs as asked.
    parallel = ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile"]
    command = [sys.executable, "-m", "pytest", *(options.rest or parallel)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
