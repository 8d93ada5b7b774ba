"""Background processes and Debian packages for the checks of this folder."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

STOP = 10  # seconds that a process has to end by itself


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install(packages: Mapping[str, str | Path]) -> None:
    """Install Debian packages whose programs are missing.

    Parameters
    ----------
    packages
        {package: program that it brings}, a name or a path.

    Raises
    ------
    SystemExit
        If something is missing and cannot be installed here.
    """
    missing = [package for package, program in packages.items() if shutil.which(program) is None]
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0:
        raise SystemExit(f"missing: {names}; root may install them: apt-get install {names}")
    if shutil.which("apt-get") is None:
        raise SystemExit(f"missing: {names}, Debian packages, and there is no apt-get here")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print(f"installing {names}")
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
        check=True,
        env=quiet,
        stdout=subprocess.DEVNULL,
    )


def end_at_sigterm() -> None:
    """Let SIGTERM end this program as Ctrl-C does, so that what it has started is stopped."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the background, its output in a file, and stop it with all its children at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP)
            os.killpg(process.pid, signal.SIGKILL)  # what is left of its session
        process.wait()


def wait_for(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 60
) -> None:
    """Wait until a background process serves.

    Raises
    ------
    SystemExit
        If it ends or does not answer in time, with the end of its log.
    """
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise SystemExit(f"{log.stem} does not answer\n{tail}")
        time.sleep(0.2)
