"""The least time of a training: its multiply-adds at the machine's peak."""

from dataclasses import dataclass

import torch

from benchmark.settings.values import typed
from methods.backbone import FeatureBackbone
from tests.speed.inputs import LAYERS
from tests.speed.steps import configuration, multiply_adds, steps_of


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one image with ResNet-18: of a training step, forward and backward, and of each network."""

    step: float
    teacher: float
    student: float

    def epoch(self, trained: int, held_out: int) -> float:
        """Return those of an epoch, after which held-out images are scored; the teacher's features are kept."""
        return trained * self.step + held_out * self.student

    def process(self, epochs: int, trained: int, held_out: int, tested: int) -> float:
        """Return those of a training with its test: the teacher sees every image once."""
        seen = trained + held_out + tested
        return epochs * self.epoch(trained, held_out) + seen * self.teacher + tested * self.student


def work_of(method: str, image_size: int, batch_size: int, inference: float) -> Work:
    """Count a training step of a method and a forward pass of its teacher.

    `inference` is the number of an image's multiply-adds with teacher and student together.
    """
    sizes = (f"method.training.image_size={image_size}", f"method.training.batch_size={batch_size}")
    config = configuration(method, "paper", "backbone=resnet18", *sizes)
    (step,) = steps_of(config)
    network = typed(FeatureBackbone, config["backbone"], "backbone").teacher(LAYERS)
    with torch.no_grad():
        teacher = multiply_adds(lambda: network(torch.zeros(1, 3, image_size, image_size)))
    return Work(multiply_adds(step.run) / step.batch, teacher, inference - teacher)
