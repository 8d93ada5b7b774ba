"""Students of one-dimensional teachers, inside and outside the range in which they were trained (AST, figure 2)."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from reports.figures.style import COLOURS, COLUMN, drawing, legend_below
from reports.model import Figure

_TRAINED, _OUTSIDE = "#E3E3E3", "#FBF6C8"
_STUDENTS = {"symmetric": "one hidden layer", "asymmetric": "three hidden layers"}


@dataclass(frozen=True)
class ToyPairs:
    """The outputs of teachers and their students.

    Attributes
    ----------
    inputs
        (N,) inputs, ascending.
    trained
        (N,) bool, those on which the networks were trained.
    teacher
        (S, N) outputs, by seed.
    students
        {`symmetric`, `asymmetric`: (S, N)} outputs of the students of these teachers.
    """

    inputs: NDArray[np.float64]
    trained: NDArray[np.bool_]
    teacher: NDArray[np.float64]
    students: dict[str, NDArray[np.float64]]

    def distance(self, student: str, trained: bool) -> NDArray[np.float64]:
        """Return the mean squared distance between teacher and student inside or outside the range, (S,)."""
        chosen = self.trained if trained else ~self.trained
        squares: NDArray[np.float64] = (self.students[student] - self.teacher)[:, chosen] ** 2
        return squares.mean(1)


def toy_figure(pairs: ToyPairs) -> Figure:
    """Return the figure of the first seed's pairs; its caption has the distances of all seeds."""
    inside, outside = (
        {name: np.median(pairs.distance(name, trained)) for name in _STUDENTS} for trained in (True, False)
    )
    count = len(pairs.teacher)
    larger = np.count_nonzero(pairs.distance("asymmetric", False) > pairs.distance("symmetric", False))
    caption = (
        "Outputs of a teacher and of two students that were trained to match it in the grey range: one with the "
        "teacher's architecture (top), one with more layers (bottom), drawn for the first seed. Squared distance "
        f"outside the range, median of {count} seeds: symmetric {outside['symmetric']:.2g}, asymmetric "
        f"{outside['asymmetric']:.2g}; it is larger for the asymmetric pair with {larger} of {count} seeds. Inside: "
        f"{inside['symmetric']:.1g} and {inside['asymmetric']:.1g}."
    )
    title = "Distance of teacher and student outside the training data"
    return Figure("toy", title, caption, partial(draw_toy, pairs), "results")


def draw_toy(pairs: ToyPairs, width: float = COLUMN) -> Drawing:
    """Draw a panel per student: the first seed's outputs over the input."""
    figure, axes = drawing(width, 3.0, rows=len(_STUDENTS), sharex=True, sharey=True)
    inputs, colours = pairs.inputs, dict(zip(_STUDENTS, COLOURS, strict=False))
    start, end = inputs[pairs.trained][[0, -1]]
    for axis, (name, layers) in zip(axes[:, 0], _STUDENTS.items(), strict=True):
        axis.axvspan(start, end, color=_TRAINED, linewidth=0, label="training range")
        for low, high in ((inputs[0], start), (end, inputs[-1])):
            axis.axvspan(low, high, color=_OUTSIDE, linewidth=0, label="anomalous")
        teacher, student = pairs.teacher[0], pairs.students[name][0]
        axis.fill_between(inputs, teacher, student, color=colours[name], alpha=0.25, linewidth=0)
        axis.plot(inputs, teacher, color="black", label="teacher")
        axis.plot(inputs, student, "--", color=colours[name], label=f"{name} student")
        axis.set_title(f"{name}: student with {layers}")
        axis.set_ylabel("output")
        axis.margins(x=0)
    axes[-1, 0].set_xlabel("input")
    legend_below(figure)
    return figure
