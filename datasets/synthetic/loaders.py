"""The generated datasets as the benchmark loads them."""

from pathlib import Path

from datasets.folder_3d import Folder3D
from datasets.mvtec_layout import MVTecLayout
from datasets.synthetic.rgb import RGBGenerator
from datasets.synthetic.rgbd import RGBDGenerator


class Synthetic(MVTecLayout):
    """Generated textures and objects; see `Generator.generate` for the parameters, and `MVTecLayout` for the name."""

    def __init__(
        self,
        cache_dir: Path,
        categories: object = "all",
        image_size: int = 128,
        train: int = 60,
        test_good: int = 12,
        test_defective: int = 8,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        counts = {"train": train, "test_good": test_good, "test_defective": test_defective}
        root = RGBGenerator().generate(Path(cache_dir), categories, image_size, seed, **counts)
        super().__init__(str(root), categories, name="synthetic" if name is None else name)


class Synthetic3D(Folder3D):
    """Generated solids with depth; see `Generator.generate` for the parameters, and `MVTecLayout` for the name."""

    def __init__(
        self,
        cache_dir: Path,
        categories: object = "all",
        image_size: int = 128,
        train: int = 60,
        validation: int = 10,
        test_good: int = 12,
        test_defective: int = 8,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        counts = {"train": train, "test_good": test_good, "test_defective": test_defective}
        root = RGBDGenerator().generate(
            Path(cache_dir), categories, image_size, seed, validation=validation, **counts
        )
        super().__init__(str(root), categories, name="synthetic_3d" if name is None else name)
