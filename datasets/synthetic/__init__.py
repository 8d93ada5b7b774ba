"""Small generated datasets with defects and pixel masks, for tests, examples and a first look.

They stand in for the real datasets where those are too large or must not be shipped. The same arguments give the
same images everywhere; nothing is downloaded.
"""

from datasets.synthetic.loaders import Synthetic, Synthetic3D
from datasets.synthetic.rgb import RGBGenerator
from datasets.synthetic.rgbd import RGBDGenerator

generate = RGBGenerator().generate
generate_3d = RGBDGenerator().generate

__all__ = ["RGBDGenerator", "RGBGenerator", "Synthetic", "Synthetic3D", "generate", "generate_3d"]
