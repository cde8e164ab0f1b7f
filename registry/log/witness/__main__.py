"""`python -m registry.log.witness`: a witness of somebody else's log, on a machine of its own.

    init FOLDER --name NAME --log FILE    new keys, in an empty folder; prints what to pin
    vkeys FOLDER                          print what to pin
    serve FOLDER [--host H] [--port P]    answer until SIGTERM

NAME is a schema-less URL such as `witness.example/w1`; FILE holds the log's verifier keys, which
`manage.py sequencer --vkeys` prints on the log's machine and which come by a way you trust.
"""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from registry.log.core.errors import Error
from registry.log.witness.server import Server
from registry.log.witness.state import Witness, create


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 a problem that is explained."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except (Error, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m registry.log.witness", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run in (("init", _init), ("vkeys", _vkeys), ("serve", _serve)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("folder", type=Path)
        if name == "init":
            command.add_argument("--name", required=True)
            command.add_argument("--log", type=Path, required=True, metavar="FILE")
        if name == "serve":
            command.add_argument("--host", default="127.0.0.1")
            command.add_argument("--port", type=int, default=8470)
    return parser


def _init(options: argparse.Namespace) -> int:
    create(options.folder, options.name, options.log.read_text(encoding="utf-8").split())
    return _vkeys(options)


def _vkeys(options: argparse.Namespace) -> int:
    found = Witness(options.folder)
    sys.stdout.write("".join(f"{key}\n" for key in found.vkeys()))
    found.close()
    return 0


def _serve(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    server = Server((options.host, options.port), Witness(options.folder))
    for sent in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sent, lambda *_: threading.Thread(target=server.shutdown).start())
    host, port = server.server_address[:2]
    sys.stdout.write(f"serving http://{host!s}:{port}/add-checkpoint\n")
    sys.stdout.flush()
    server.serve_forever()
    server.witness.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
