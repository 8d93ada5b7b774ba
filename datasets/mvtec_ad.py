"""MVTec AD (Bergmann et al., IJCV 2021): 5 textures and 10 objects, with an optional download."""

from datasets.official import Official

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
OBJECTS = (
    "bottle",
    "cable",
    "capsule",
    "hazelnut",
    "metal_nut",
    "pill",
    "screw",
    "toothbrush",
    "transistor",
    "zipper",
)


class MVTecAD(Official):
    """The official dataset below `root`: the groups `textures` and `objects`, in this order."""

    own_name = "mvtec_ad"
    title = "MVTec AD"
    names = TEXTURES + OBJECTS
    homepage = "https://www.mvtec.com/company/research/datasets/mvtec-ad"
    any_folder = "folder"

    def group(self, name: str) -> str:
        """Return `textures` or `objects`."""
        return "textures" if name in TEXTURES else "objects"
