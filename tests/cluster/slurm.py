"""A Slurm of one node, for as long as a block lasts: python -m tests.cluster.slurm sinfo.

Everything but the Debian packages lies in a temporary folder, and the ports are free ones, so that neither
`/etc/slurm` nor a Slurm that runs here already is touched.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cluster.accounting import accounting
from tests.cluster.processes import STOP, end_at_sigterm, free_port, install, running, wait_for

PACKAGES = {"munge": "munged", "slurmctld": "slurmctld", "slurmd": "slurmd", "slurm-client": "sbatch"}
CONFIGURATION = """
ClusterName=checks
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
AccountingStoragePass={folder}/munge.socket
JobAcctGatherType=jobacct_gather/none
PartitionName=checks Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """Start a Slurm, yield the environment in which `sbatch` finds it, and stop it.

    Raises
    ------
    SystemExit
        If this is not root, or the packages are missing and cannot be installed, or a daemon does not start.
    """
    if os.geteuid() != 0:
        raise SystemExit("Slurm starts jobs for users: only root can run its daemons")
    install(PACKAGES)
    with TemporaryDirectory(prefix="slurm-") as name, contextlib.ExitStack() as daemons:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("state", "spool"):
            (folder / part).mkdir()
        key = folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        configuration = folder / "slurm.conf"
        accounts = free_port()
        configuration.write_text(_configuration(folder, accounts))
        environment = {**os.environ, "SLURM_CONF": str(configuration)}

        def start(*command: str | Path) -> tuple[subprocess.Popen[bytes], Path]:
            log = folder / f"{command[0]}.log"
            return daemons.enter_context(running(command, log, environment)), log

        files = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        munged = [f"--{option}={folder / f'munge.{ending}'}" for option, ending in files.items()]
        wait_for((folder / "munge.socket").exists, *start("munged", "--foreground", "--force", *munged))
        daemons.enter_context(accounting(folder, accounts, environment))
        subprocess.run(
            ["sacctmgr", "-i", "add", "cluster", "checks"],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        start("slurmctld", "-D")
        wait_for(lambda: _state(environment) == "idle", *start("slurmd", "-D"))
        daemons.callback(_cancel_all, environment)
        yield environment


def _configuration(folder: Path, accounts: int) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return CONFIGURATION.format(
        folder=folder,
        host=socket.gethostname().partition(".")[0],
        controller=free_port(),
        node=free_port(),
        accounting=accounts,
        cpus=os.cpu_count(),
        memory=int(memory * 0.9),
    )


def _cancel_all(environment: dict[str, str]) -> None:
    """End all jobs and wait for it: their steps would outlive the daemons."""
    subprocess.run(["scancel", "--signal=KILL", "--full", "--partition=checks"], env=environment)
    end = time.monotonic() + STOP
    while _asked(environment, "squeue", "--noheader") and time.monotonic() < end:
        time.sleep(0.2)


def _state(environment: dict[str, str]) -> str:
    return _asked(environment, "sinfo", "--noheader", "--format=%T")


def _asked(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    end_at_sigterm()
    with slurm() as outside:
        sys.exit(subprocess.run(sys.argv[1:] or ["sinfo"], env=outside).returncode)
