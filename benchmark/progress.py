"""How far a training is: a bar on a terminal, some lines elsewhere."""

import logging
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

LINES = 5  # per stage, where there is no terminal


class StageProgress:
    """Shows epoch, loss and time left of one training stage."""

    def __init__(self, title: str, epochs: int, enabled: bool) -> None:
        self.title, self.epochs = title, epochs
        self.started = time.perf_counter()
        console = Console()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("epoch"),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (enabled and console.is_terminal),
        )
        self.task = self.bar.add_task(title, total=epochs, loss="-")

    def __enter__(self) -> "StageProgress":
        """Start drawing."""
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self.bar.stop()

    def epoch_done(self, epoch: int, loss: float) -> None:
        """Show that `epoch` (from 1) ended with a mean loss."""
        self.bar.update(self.task, completed=epoch, loss=f"{loss:.4g}")
        if self.bar.disable and epoch * LINES // self.epochs > (epoch - 1) * LINES // self.epochs:
            left = (time.perf_counter() - self.started) / epoch * (self.epochs - epoch)
            log.info("%s: epoch %d/%d, loss %.4g, %.0f s left", self.title, epoch, self.epochs, loss, left)
