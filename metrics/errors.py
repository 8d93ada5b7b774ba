"""The one exception of the measures."""


class MetricError(ValueError):
    """Input that cannot be measured.

    Raised for shapes that do not fit, NaN or infinity in maps or scores, masks or labels that are not binary, and
    unknown names. The message names the argument, what was found and what is expected. A measure that is merely
    undefined on valid input (no anomalous pixel, one class only) is NaN instead.
    """
