"""Student-teacher feature pyramid matching (Wang et al., 2021, arXiv:2103.04257)."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.maps import multiply, resize_map, squared_distance
from methods.method import Method, Stage
from methods.ranges import SIDE, check_option
from methods.students import StudentKind, build_student


class STFPM(Method):
    """The student copies the teacher's normalised features at three depths.

    On anomalies it fails at all of them, so the product of the distances is large; no depth alone raises an
    alarm. As published, the student is the teacher's network with random weights.

    Parameters
    ----------
    backbone
        The teacher's network.
    layers
        The depths that are compared; None: the deepest layers at strides 4, 8 and 16.
    half
        Whether the squared distance is halved: the thesis does (eq. 5), the released code does not.
    map_size
        Side at which the maps of the layers are multiplied, as in the released code; None: the side of the
        image, as in the thesis.
    student
        `copy` of the teacher's network, as published; `decoupled`: `methods.students.DecoupledStudent`, faster
        where the teacher's network trains slowly.
    width
        Channels of a decoupled student's stages, per channel of ResNet-18's.

    Raises
    ------
    MethodError
        If the side of the map or the width is out of range.
    """

    keeps_best_epoch = True

    def __init__(
        self,
        backbone: FeatureBackbone,
        layers: Sequence[str] | None = None,
        half: bool = False,
        map_size: int | None = 64,
        student: StudentKind = "copy",
        width: float = 0.5,
    ) -> None:
        check_option("map_size", map_size, SIDE)
        super().__init__(backbone.pyramid if layers is None else layers)
        self.student = build_student(backbone, self.teacher_layers, student, width)
        self.factor = 0.5 if half else 1.0
        self.map_size = map_size

    def stages(self) -> Iterator[Stage]:
        """Train the student."""
        yield Stage("student", self.student, self.loss)

    def distances(self, batch: Batch) -> list[Tensor]:
        """Squared distances of normalised features (thesis eq. 5, halved on request): (B, h_k, w_k) each."""
        student = self.student(batch.image)
        return [self.factor * squared_distance(batch.features[k], student[k]) for k in self.teacher_layers]

    def loss(self, batch: Batch) -> Tensor:
        """Sum over layers of the mean distance over batch and locations."""
        return sum((distance.mean() for distance in self.distances(batch)), start=batch.image.new_zeros(()))

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Product over layers of the distances: (B, map_size, map_size), or (B, H, W)."""
        height, width = batch.image.shape[-2:]
        size = (height, width) if self.map_size is None else (self.map_size, self.map_size)
        return multiply(resize_map(distance, size) for distance in self.distances(batch))
