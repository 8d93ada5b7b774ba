"""A user's own method, in a folder outside the repository, run with the unchanged command."""

from pathlib import Path

from tests.end_to_end.command import TINY, run

CODE = '''
"""The distance of one layer's features to those of the student, at that layer."""

from methods.maps import squared_distance
from methods.method import Method, Stage


class OneLayer(Method):
    def __init__(self, backbone, stride: int, gain: float = 1.0) -> None:
        layers = backbone.layers_at([stride])
        super().__init__(layers)
        self.student = backbone.new_student(layers)
        self.gain = gain

    def stages(self):
        yield Stage("student", self.student, self.loss)

    def loss(self, batch):
        return self.anomaly_map(batch).mean()

    def anomaly_map(self, batch):
        (layer,) = self.teacher_layers
        return self.gain * squared_distance(batch.features[layer], self.student(batch.image)[layer])
'''
YAML = """
_target_: one_layer.OneLayer
stride: 8
training:
  image_size: 256
  batch_size: 8
  epochs: 10
  validation_fraction: 0.0
  validation_seed: 0
  optimizer: {_target_: torch.optim.Adam, lr: 0.001}
"""


def write_plugin(folder: Path) -> Path:
    (folder / "method").mkdir(parents=True)
    (folder / "one_layer.py").write_text(CODE)
    (folder / "method" / "one_layer.yaml").write_text(YAML)
    return folder


def test_a_method_outside_the_repository_runs_in_a_sweep_with_others(tmp_path: Path) -> None:
    mine = write_plugin(tmp_path / "mine")
    outcome = run(
        tmp_path / "results",
        "--config-dir",
        str(mine),
        "-m",
        "method=one_layer,stfpm",
        "dataset.categories=[washer]",
        *TINY,
        cwd=tmp_path,
    )
    assert outcome.code == 0, outcome.stderr
    assert {run.data.tags["method"]: run.info.status for run in outcome.runs("cell")} == {
        "one_layer": "FINISHED",
        "stfpm": "FINISHED",
    }
    assert "one_layer" in outcome.stdout


def test_its_options_are_set_and_swept_and_checked_like_any_other(tmp_path: Path) -> None:
    mine = write_plugin(tmp_path / "mine")
    arguments = [f"--config-dir={mine}", "-m", "method=one_layer", "dataset.categories=[washer]", *TINY]
    swept = run(tmp_path / "results", *arguments, "method.stride=4,8")
    assert swept.code == 0, swept.stderr
    assert "one_layer (stride=4)" in swept.stdout
    assert "one_layer (stride=8)" in swept.stdout
    wrong = run(tmp_path / "results", *arguments, "method.gain=high")
    assert wrong.code == 2
    assert "method.gain=high: expected a number" in wrong.stderr
