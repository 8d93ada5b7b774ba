"""Pages of one file: templates, embedded pictures, and the digests of their own styles and scripts."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def templates(folder: Path) -> Environment:
    """Return the templates of a folder, which escape whatever is filled in."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_uri(content: bytes, kind: str) -> str:
    """Return a file, such as `image/png`, as an address that contains it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def policy_digest(text: str) -> str:
    """Return the digest by which a Content-Security-Policy allows an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
