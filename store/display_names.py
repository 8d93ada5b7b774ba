"""Names of methods, datasets and measures as papers print them."""

import re

METHODS = {
    "ast": "AST",
    "dinomaly": "Dinomaly",
    "efficient_ad": "EfficientAD",
    "feature_variance": "Feature Variance",
    "rd": "RD",
    "rd_plus_plus": "RD++",
    "simple_student": "Simple Student",
    "stfpm": "STFPM",
    "uninformed_students": "Uninformed Students",
}
DATASETS = {
    "mvtec_ad": "MVTec AD",
    "mvtec_ad_2": "MVTec AD 2",
    "mvtec_3d": "MVTec 3D-AD",
    "visa": "VisA",
    "btad": "BTAD",
    "mpdd": "MPDD",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
}
MEASURES = {
    "image_auroc": "I-AUROC",
    "pixel_auroc": "P-AUROC",
    "pro": "PRO",
    "image_ap": "I-AP",
    "pixel_ap": "P-AP",
    "image_f1": "I-F1",
}
"""Short names of measures, for the headings of narrow columns."""


def method_name(label: str) -> str:
    """Return a method's label, or a text that begins with one, with the name that papers print.

    A method that this project does not know keeps its name.

    Examples
    --------
    >>> method_name("rd"), method_name("ast (mode=rgbd)"), method_name("my_method")
    ('RD', 'AST (mode=rgbd)', 'my_method')
    """
    return re.sub(r"^\w+", lambda match: METHODS.get(match[0], match[0]), label)


def dataset_name(name: str) -> str:
    """Return a dataset's name as papers print it.

    Examples
    --------
    >>> dataset_name("mvtec_ad"), dataset_name("screws")
    ('MVTec AD', 'screws')
    """
    return DATASETS.get(name, name)
