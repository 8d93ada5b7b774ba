"""The one command: `python run_benchmark.py -m method=rd,stfpm`. See README.md."""

import atexit
import contextlib
import gc
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

import benchmark.cores  # noqa: F401 - what other processes do is watched from here on
from benchmark.command_line import CommandLine, read_command_line
from benchmark.error_messages import explain, print_error
from benchmark.errors import SweepEnded
from benchmark.orphans import end_with_parent
from benchmark.signals import EXIT_CODES, INTERRUPTED, handle_signals, keep_interruption, signals_held
from benchmark.sweep import Stop, Sweep, current_sweep
from store.garbage import importing
from store.passwords import hide_from_process_list
from store.text import counted

if TYPE_CHECKING:
    from reports.summary import SweepSummary

PROJECT_ROOT = Path(__file__).resolve().parent

# Hydra checks the overrides of a sweep against one configuration, from which the groups that are swept are
# absent: `-m method=rd,stfpm method.training.epochs=5` would be refused. So these groups are open there, and
# `benchmark.settings.values` refuses what a method or dataset does not know.
OPEN = {group: OmegaConf.create({}, flags={"struct": False}) for group in ("method", "dataset", "backbone")}
ConfigStore.instance().store(
    group="hydra/open", name="groups", node=OmegaConf.create(OPEN), package="_global_"
)

OmegaConf.register_new_resolver("project_root", lambda: str(PROJECT_ROOT), replace=True)

codes: list[int] = []
"""Exit codes of the jobs of this process that have failed; the others run all the same."""


@hydra.main(version_base="1.3", config_path=str(PROJECT_ROOT / "conf"), config_name="config")
def job(config: DictConfig) -> None:
    """Run one Hydra job; of several, each reports its own error."""
    is_worker = current_sweep() is None  # of a launcher, which takes errors to the process of the command
    if is_worker:
        handle_signals()
        end_with_parent()
    try:
        with keep_interruption():
            _import_job()(config)
    except Exception as error:
        code = _report(error)
        if is_worker:
            raise
        if isinstance(error, SweepEnded):
            raise Stop(error) from error
        codes.append(code)


def _import_job() -> Callable[[DictConfig], None]:
    """Import the code that runs a job, which searches for garbage would make a third slower; they begin afterwards."""
    is_known = "benchmark.job" in sys.modules  # then, what an earlier job has left may be garbage
    with contextlib.nullcontext() if is_known else importing():
        from benchmark.job import run_job
    gc.enable()
    return run_job


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code.

    0: every cell finished. 1: a cell failed. 2: a mistake on the command line or in the data. 130, 143, 129:
    interrupted, terminated, its terminal was closed.
    """
    try:
        command = read_command_line(arguments[1:])
        if command.source is not None:
            from benchmark.recorded_config import with_recorded

            command = with_recorded(command)
    except Exception as error:
        return _report(error)
    sys.argv = [arguments[0], *command.arguments]
    for folder in filter(None, (PROJECT_ROOT, command.config_dir)):
        _extend_path(folder)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, to be explained
    # waiting threads spin for a quarter of a millisecond, which saves a training step a thousand wake-ups, then leave
    # their core to other processes: if they kept spinning, two runs side by side would take five times as long
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    handle_signals()
    codes.clear()
    gc.disable()  # while Hydra and the store are imported: see `_import_job`
    code = _exit_code(job)
    gc.enable()
    sweep = current_sweep()
    code = max([code, *codes])
    return max(code, _exit_code(lambda: _finish(sweep, code, command))) if sweep else code


def _exit_code(work: Callable[[], int | None]) -> int:
    """Do some work and return its exit code; report a user's mistake in one line."""
    try:
        return work() or 0
    except KeyboardInterrupt:
        print("interrupted: finished cells are kept", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    except Stop as stop:
        return _report(stop.error)
    except Exception as error:
        return _report(error)


def _report(error: Exception) -> int:
    """Print an error, unless that has been done, and return the exit code: 2 for a user's mistake, else 1."""
    message = explain(error)
    if message is None and isinstance(error, ValueError) and current_sweep() is None:
        message = str(error)  # Hydra's own flags contradict each other
    if not getattr(error, "is_reported", False):
        print_error(error, message)
        error.is_reported = True  # type: ignore[attr-defined]  # also when a launcher has brought it here
    return 1 if message is None else 2


def _finish(sweep: Sweep, code: int, command: CommandLine) -> int:
    """Show the tables, close the parent run, write the report, and return 1 if a cell or a part of these failed."""
    interrupted = code in EXIT_CODES
    summary, tracking = _close(sweep, code), sweep.settings.tracking
    if not summary.cells:
        return 0
    print(f"sweep {sweep.name}: {counted(summary.cells, 'cell')} in {tracking.uri}")
    if tracking.register and not interrupted:
        _register(sweep, tracking.register)
    if code or summary.failed:
        print(f"to run what failed or is missing: {command.again}")
    complete = not summary.failures
    if tracking.report and not interrupted:
        complete &= _write_report(sweep)  # last, so that the path of its page ends what is printed
    return int(summary.failed > 0 or not complete)


def _write_report(sweep: Sweep) -> bool:
    """Write the report, and return whether nothing of it is missing."""
    from reports.summary import attach_report

    print("writing the report", file=sys.stderr)
    settings = sweep.settings
    report = attach_report(settings.tracking.uri, sweep.name, settings.results_dir / "reports" / sweep.name)
    if report is None:
        print("no report: no cell has finished")
        return True
    print(f"report, also among the parent run's artifacts: {report.page}")
    return not report.failures


def _register(sweep: Sweep, measure: str) -> None:
    """Make the best cell of each category a version of a registered model."""
    from store.register import register_best

    for line in register_best(sweep.tracker, sweep.name, measure):
        print(line)


def _close(sweep: Sweep, code: int) -> "SweepSummary":
    """Show the tables, and give the parent run its status and means, whatever happens meanwhile."""
    from reports.summary import SweepSummary, summarize

    summary, status = SweepSummary(0, 0, {}, {}), "KILLED"
    try:
        summary = summarize(sweep.settings.tracking.uri, sweep.name, sweep.settings.tables)
        if code not in EXIT_CODES:
            status = "FAILED" if code or summary.failed else "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        with signals_held():
            sweep.close(status, summary.means, summary.tags)
    if not summary.cells:
        sweep.parent.delete()
    return summary


def _extend_path(folder: Path) -> None:
    """Let this process and the workers of a launcher import what lies in a folder."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def _leave(code: int) -> NoReturn:
    """End the process as Python does, but for taking the libraries apart object by object, which takes seconds."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    hide_from_process_list()
    _leave(main(sys.argv))
