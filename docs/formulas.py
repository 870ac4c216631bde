"""Formulas as MathML, made when the site is built: no page needs a script or a network to show them.

Pages hold them as GitHub renders them: a block fenced as `math`, or $`inline`$.
"""

import re
from typing import Any

from latex2mathml.converter import convert

_BLOCK = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"\$`(.+?)`\$")


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401 - what MkDocs passes to a hook
    """The page with its formulas as MathML."""
    blocks = _BLOCK.sub(lambda found: f'<div class="formula">{convert(found[1], display="block")}</div>', markdown)
    return _INLINE.sub(lambda found: f'<span class="formula">{convert(found[1])}</span>', blocks)
