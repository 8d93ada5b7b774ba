"""The one command: `python run_benchmark.py -m method=rd,stfpm`. See README.md."""

import atexit
import contextlib
import gc
import os
import secrets
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from benchmark.error_messages import NO_METHOD, explain
from benchmark.sweep import Sweep, current_sweep
from store.passwords import hide_password, with_password

PROJECT_ROOT = Path(__file__).resolve().parent
INTERRUPTED, TERMINATED = 130, 143

# Hydra checks the overrides of a sweep against one configuration, from which the groups that are swept are
# absent: `-m method=rd,stfpm method.training.epochs=5` would be refused. So these groups are open there, and
# `benchmark.settings.values` refuses what a method or dataset does not know.
OPEN = {group: OmegaConf.create({}, flags={"struct": False}) for group in ("method", "dataset", "backbone")}
ConfigStore.instance().store(
    group="hydra/open", name="groups", node=OmegaConf.create(OPEN), package="_global_"
)
# A sweep is composed once before its methods are known, and a protocol's values for each method must be composed
# with it: then the method is this empty choice.
ConfigStore.instance().store(group="method", name=NO_METHOD, node={})

reported: list[Exception] = []

OmegaConf.register_new_resolver("project_root", lambda: str(PROJECT_ROOT), replace=True)


@hydra.main(version_base="1.3", config_path=str(PROJECT_ROOT / "conf"), config_name="config")
def job(config: DictConfig) -> None:
    """Run one Hydra job; of several, each reports its own mistake."""
    run_job = _import_job()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)  # a launcher's worker has no handler, or one that waits
    try:
        run_job(config)
    except Exception as error:
        message = explain(error)
        if message is not None:
            print(f"error: {message}", file=sys.stderr)
            reported.append(error)
        raise


def _import_job() -> Callable[[DictConfig], None]:
    """Import the code that runs a job: seconds, which a mistyped option need not wait for.

    Modules are never garbage: looking for some among hundreds of thousands of new objects, again and again, would
    take a third of that time.
    """
    gc.disable()
    from benchmark.job import run_job

    gc.enable()
    return run_job


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code.

    0: every cell finished. 1: a cell failed. 2: a mistake on the command line or in the data. 130, 143:
    interrupted, terminated.
    """
    sys.argv = [hide_password(argument) for argument in _with_defaults(arguments)]
    _extend_path(PROJECT_ROOT)
    _add_plugins(arguments)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, to be explained
    # waiting threads spin for a quarter of a millisecond, which saves a training step a thousand wake-ups, then leave
    # their core to other processes: if they kept spinning, two runs side by side would take five times as long
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    signal.signal(signal.SIGTERM, _terminate)
    gc.disable()  # while Hydra and the store are imported: see `_import_job`
    code = _exit_code(job)
    gc.enable()
    sweep = current_sweep()
    return max(code, _exit_code(lambda: _finish(sweep, code))) if sweep else code


def _exit_code(work: Callable[[], int | None]) -> int:
    """Do some work and return its exit code; report a user's mistake in one line."""
    try:
        return work() or 0
    except KeyboardInterrupt:
        print("interrupted: finished cells are kept", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    except Exception as error:
        message = explain(error)
        if message is None and isinstance(error, ValueError) and current_sweep() is None:
            message = str(error)  # Hydra's own flags contradict each other
        if message is None:
            traceback.print_exc()
            return 1
        if error not in reported:
            print(f"error: {message}", file=sys.stderr)
        return 2


def _finish(sweep: Sweep, code: int) -> int:
    """Show the tables, close the parent run with its means, write the report, and return 1 if a cell failed."""
    from reports.summary import attach_report, summarize

    uri = with_password(sweep.tracking.uri)
    summary = summarize(uri, sweep.name, sweep.tables)
    if not summary.cells:
        sweep.discard()
        return 0
    interrupted = code in (INTERRUPTED, TERMINATED)
    failed = code or summary.failed
    status = "KILLED" if interrupted else "FAILED" if failed else "FINISHED"
    sweep.close(status, summary.means, summary.tags)
    print(f"sweep {sweep.name}: {summary.cells} cells in {sweep.tracking.uri}")
    if sweep.tracking.report and not interrupted:
        page = attach_report(uri, sweep.name, sweep.tracker.results_dir / "reports" / sweep.name)
        print(
            f"report, also among the parent run's artifacts: {page}"
            if page
            else "no report: no cell has finished"
        )
    if failed:
        print(f"to run what failed or is missing: {_again()}")
    return int(summary.failed > 0)


def _again() -> str:
    """Return the command that resumes this sweep: cells that have finished are not run again."""
    kept = [argument for argument in sys.argv[1:] if not argument.lstrip("+").startswith("jobs.force=")]
    return shlex.join(["python", "run_benchmark.py", *kept])


def _with_defaults(arguments: list[str]) -> list[str]:
    """Name the sweep for all its jobs, unless the user has."""
    is_override = ["=" in argument and not argument.startswith("-") for argument in arguments]
    given = {
        argument.partition("=")[0] for argument, flag in zip(arguments, is_override, strict=True) if flag
    }
    added = []
    if "sweep" not in given:
        added.append(f"sweep={datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(2)}")
    # Hydra's parser wants all overrides in one place
    place = is_override.index(True) if any(is_override) else 1
    return [*arguments[:place], *added, *arguments[place:]]


def _add_plugins(arguments: list[str]) -> None:
    """Let the classes of a user's own methods lie beside their YAMLs, in the folder of --config-dir."""
    for i, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag in ("--config-dir", "-cd"):
            _extend_path(Path(value or arguments[min(i + 1, len(arguments) - 1)]).resolve())


def _extend_path(folder: Path) -> None:
    """Let this process and the workers of a launcher import what lies in a folder."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)


def _leave(code: int) -> NoReturn:
    """End the process as Python does, but for taking the libraries apart object by object, which takes seconds."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main(sys.argv))
