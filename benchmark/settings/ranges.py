"""Numbers that several groups have: types with the ranges that they accept.

Upper bounds lie far above what any run needs; they refuse what cannot be meant and would fill the memory.
"""

from typing import Annotated

from methods.ranges import SEED, Range

Seed = Annotated[int, SEED]
BatchSize = Annotated[int, Range(at_least=1, at_most=65_536)]
Side = Annotated[int, Range(at_least=8, at_most=8192, note="pixels")]
Gigabytes = Annotated[float, Range(at_least=0)]
