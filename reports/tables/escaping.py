"""Text from names and files, escaped for LaTeX and Markdown."""

import re
import unicodedata

# signs with a meaning in Markdown; "_" inside a word and most "]" have none
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
}
# Latin letters with accents that LaTeX's default font encoding has; pdflatex reads them in UTF-8
_LETTERS = re.compile("(?![ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲų])[À-ÖØ-öø-ž]")


def escape_markdown(text: str) -> str:
    """Return text escaped for Markdown, on one line."""
    return _MARKDOWN.sub(lambda match: f"\\{match[0]}", " ".join(text.split()))


def escape_latex(text: str) -> str:
    """Return text escaped for LaTeX, whatever it contains."""
    apart = text.replace("--", "-\0-").replace("--", "-\0-")  # two hyphens would become a dash
    return "".join(_latex_character(c) for c in unicodedata.normalize("NFC", apart))


def spelled_out(text: str) -> str:
    """Return text on one line in which characters that LaTeX's standard fonts lack are written as their code.

    Examples
    --------
    >>> spelled_out("né 中")
    'né [U+4E2D]'
    """
    line = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(c if c.isascii() or c in _LATEX else _latex_character(c) for c in line)


def latex_comment(text: str) -> str:
    """Return text for a comment in LaTeX: on one line, and without signs that need packages."""
    return "".join(c if c.isascii() else _latex_character(c) for c in " ".join(text.split()))


def _latex_character(c: str) -> str:
    if c in _LATEX:
        return _LATEX[c]
    if c.isascii():
        return c if c.isprintable() else " "
    return c if _LETTERS.fullmatch(c) else f"[U+{ord(c):04X}]"
