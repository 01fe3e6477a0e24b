"""``manage.py demo``: the whole way of a piece on the built-in corpus, then served."""

import hashlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import CommandError

from studies.command import EarwitnessCommand


def refuse_a_taken_port(port: int) -> None:
    """Say so before the work, not after it, if something else listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CommandError(
                f"port {port} is taken ({error.strerror}); choose another with --port"
            ) from None


def static_files_sha256() -> str:
    """A hash of all styles, scripts and pictures, and of the rules by which they are collected."""
    rules = [settings.BASE_DIR / "studies" / name for name in ("settings.py", "packages.py")]
    files = {name: storage.path(name) for finder in get_finders() for name, storage in finder.list([])}
    digest = hashlib.sha256()
    for path in (*rules, *(Path(path) for _, path in sorted(files.items()))):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def collect_static_files() -> None:
    """Name and compress the static files, unless that was done to exactly these."""
    stamp = Path(settings.STATIC_ROOT) / "collected.sha256"
    wanted = static_files_sha256()
    if not stamp.exists() or stamp.read_text(encoding="ascii") != wanted:
        call_command("collectstatic", interactive=False, clear=True, verbosity=0)
        stamp.write_text(wanted, encoding="ascii")


class Command(EarwitnessCommand):
    """Run the demonstration and serve it."""

    help = (
        "Does the whole way of a piece on the built-in corpus: imports it, trains two models, generates, "
        "reports what was copied, opens a blind study, fills a second one with simulated listeners, and "
        "serves both. Safe to run again: what is there is kept."
    )

    def add_arguments(self, parser):
        """The two options of design.md section 4."""
        parser.add_argument("--no-serve", action="store_true", help="make everything, serve nothing")
        parser.add_argument("--port", type=int, default=8000, help="the port to serve on (default 8000)")

    def handle(self, *, no_serve, port, **options):
        """Take every step that is not done yet, then print the links and serve."""
        if not 1 <= port <= 65535:
            raise CommandError(f"--port must be 1-65535, got {port}")
        if not no_serve:
            refuse_a_taken_port(port)
        from studies.dashboards import demonstration

        started = time.monotonic()
        call_command("migrate", interactive=False, verbosity=0)
        collect_static_files()
        steps = demonstration.steps()
        for number, step in enumerate(steps, start=1):
            kept = step.is_done()
            self.stdout.write(f"[{number}/{len(steps)}] {step.title}{' (there already)' if kept else ''}")
            self.stdout.flush()
            if not kept:
                step.make(self.progress("   "))
        username, password = demonstration.account()
        address = f"http://localhost:{port}"
        self.finish(
            {},
            f"Ready after {time.monotonic() - started:.0f} s. Everything is in {settings.HOME}",
            "",
            f"  Be a listener     {address}/s/short-chorales/",
            f"  Be a researcher   {address}/studio/   user {username}, password {password}",
            f"  See results       {address}/studio/   (study Simulated listeners on chorales)",
            "",
        )
        if not no_serve:
            self.serve(port)

    def serve(self, port: int) -> None:
        """Serve as a lab would, until Ctrl-C."""
        server = subprocess.Popen(  # noqa: S603
            [
                *(sys.executable, "-m", "gunicorn", "studies.wsgi"),
                *("--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4"),
                # Pages of listeners report every two seconds: a connection must not close in between.
                *("--keep-alive", "15", "--access-logfile", "/dev/null", "--log-level", "warning"),
            ]
        )
        self.stdout.write("Serving; Ctrl-C ends it.")
        self.stdout.flush()
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        while True:
            try:
                status = server.wait()
                break
            except KeyboardInterrupt:
                continue  # the server got the same signal and is ending
        if status not in (0, -signal.SIGTERM, -signal.SIGINT):
            raise CommandError(f"the server ended with status {status}; is port {port} in use?")
        self.stdout.write("Stopped.")
