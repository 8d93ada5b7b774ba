"""MVTec 3D-AD (Bergmann et al., VISAPP 2022): ten objects with images and point clouds, with an optional download."""

from datasets.folder_3d import Folder3D
from datasets.official import Official

CATEGORIES = (
    "bagel",
    "cable_gland",
    "carrot",
    "cookie",
    "dowel",
    "foam",
    "peach",
    "potato",
    "rope",
    "tire",
)


class MVTec3D(Official, Folder3D):
    """The official dataset below `root`."""

    own_name = "mvtec_3d"
    title = "MVTec 3D-AD"
    names = CATEGORIES
    homepage = "https://www.mvtec.com/company/research/datasets/mvtec-3d-ad"
    any_folder = "folder_3d"
    has_validation = True
