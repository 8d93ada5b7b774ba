"""Text that comes from names and files, as LaTeX and Markdown print it."""

import re
import unicodedata

# what would be markup in Markdown; "_" inside words and "]" before nothing are not
_MARKDOWN = re.compile(r"[\\`*|<>~$]|(?<!\w)_|_(?!\w)|\](?=[(\[:])|&(?=#?\w+;)")
_LATEX = {
    **{c: f"\\{c}" for c in "&%#_${}"},
    **{
        "\0": "{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "`": "{`}",
    },
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''"},
    **{"±": r"$\pm$", "−": "$-$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "°": r"$^\circ$"},
    **{"²": "$^2$", "³": "$^3$", "∞": r"$\infty$", "≈": r"$\approx$", "→": r"$\to$", "·": r"$\cdot$"},
    **{"α": r"$\alpha$", "χ": r"$\chi$", "µ": r"$\mu$", "μ": r"$\mu$", "σ": r"$\sigma$", "Δ": r"$\Delta$"},
    **{"–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\dots{}", "\u00a0": "~"},
    **{"ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "ł": r"\l{}"},
}
# combining accents as commands that every font encoding of LaTeX knows
_ACCENTS = {
    **{
        "\u0300": "`",
        "\u0301": "'",
        "\u0302": "^",
        "\u0303": "~",
        "\u0304": "=",
        "\u0306": "u",
        "\u0307": ".",
    },
    **{"\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c"},
}


def escape_markdown(text: str) -> str:
    """Return text as Markdown prints it, on one line."""
    return _MARKDOWN.sub(lambda match: f"\\{match[0]}", " ".join(text.split()))


def escape_latex(text: str) -> str:
    """Return text as LaTeX prints it, whatever it holds."""
    apart = text.replace("--", "-\0-").replace("--", "-\0-")  # two hyphens would become a dash
    return "".join(_latex_character(c) for c in unicodedata.normalize("NFC", apart))


def _latex_character(c: str) -> str:
    if c in _LATEX:
        return _LATEX[c]
    if c.isascii():
        return c if c.isprintable() else " "
    base, *accents = list(unicodedata.normalize("NFD", c))
    if len(accents) == 1 and base.isascii() and base.isalpha() and accents[0] in _ACCENTS:
        return f"\\{_ACCENTS[accents[0]]}{{{base}}}"
    return f"[U+{ord(c):04X}]"
