"""Feature vectors variance: solution 1 of the thesis (Polidori, 2022, Politecnico di Milano)."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

from torch import Tensor

from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.ensemble import Ensemble, check_students, error_and_variance
from methods.maps import check_pair, multiply, normalised, resize_map, squared_distance
from methods.method import Method, Stage
from methods.students import StudentKind, build_student


class FeatureVariance(Method):
    """Students trained on the same normal images disagree on anomalies.

    M students as in STFPM, with different initial weights, learn the teacher's normalised features (eq. 5). On
    an anomaly their mean misses the teacher (e, eq. 8), and as nothing has constrained their outputs there,
    the variance of their features is large too (v, eq. 7). Both are added at each depth, and the depths
    multiplied.

    The thesis trains the students separately. Here they share their batches and one loss, the sum of
    theirs: no parameter belongs to two students, so each takes exactly the steps it would take alone.

    Use it where STFPM misses defects and a multiple of its time is acceptable: in the thesis it improves the
    Dice score of almost every category. With `score: e` and one student it is STFPM as the thesis defines it.

    Parameters
    ----------
    backbone
        The teacher's network.
    layers
        The depths that are compared; None: the deepest layers at strides 4, 8 and 16.
    students
        M.
    score
        `e+v`; `e`, the error of the mean student, or `v`, the variance of the students, alone. The training
        and the choice of the epoch do not depend on it.
    student, width
        Their network, as in STFPM: `copy` as in the thesis, or `decoupled`.

    Raises
    ------
    MethodError
        If there is no student, the score needs the variance of a single one, or the width is out of range.
    """

    keeps_best_epoch = True

    def __init__(
        self,
        backbone: FeatureBackbone,
        layers: Sequence[str] | None = None,
        students: int = 3,
        score: Literal["e+v", "e", "v"] = "e+v",
        student: StudentKind = "copy",
        width: float = 0.5,
    ) -> None:
        check_students(students, score)
        super().__init__(backbone.pyramid if layers is None else layers)
        self.students = Ensemble(
            partial(build_student, backbone, self.teacher_layers, student, width), students
        )
        self.score = score

    def stages(self) -> Iterator[Stage]:
        """Train all students together."""
        yield Stage("students", self.students, self.loss)

    def loss(self, batch: Batch) -> Tensor:
        """Eq. 5 averaged over batch and locations, summed over layers and students."""
        students = self.students(batch.image)
        total = batch.image.new_zeros(())
        for k in self.teacher_layers:
            distance = squared_distance(batch.features[k][:, None], students[k]) / 2  # (B, M, h_k, w_k)
            total = total + distance.mean((0, 2, 3)).sum()
        return total

    def validation_score(self, stage: Stage, batch: Batch) -> Tensor:
        """Mean of the e+v map, whatever the score: (B,)."""
        return self.product(batch, "e+v").mean((1, 2))

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Product over layers of e_k + v_k, or of one of them, at image size: (B, H, W)."""
        return self.product(batch, self.score)

    def product(self, batch: Batch, score: str) -> Tensor:
        """Resize the score of each layer to the image and multiply them: (B, H, W)."""
        size = (batch.image.shape[-2], batch.image.shape[-1])
        students = self.students(batch.image)
        maps = []
        for k in self.teacher_layers:
            # eq. 6 to 8; the thesis halves e, not v
            check_pair(batch.features[k], students[k])
            error, v = error_and_variance(normalised(batch.features[k]), normalised(students[k]))
            e = error / 2
            maps.append(resize_map({"e+v": e + v, "e": e, "v": v}[score], size))
        return multiply(maps)
