"""The Python of `docs/adapters.md` runs as it stands, in one session; what the page shows is what is printed."""

import contextlib
import io
import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    out = ""
    assert [kind for kind, _ in BLOCKS].count("python") >= 8
    for kind, block in BLOCKS:
        if kind == "sh":
            continue  # PennyLane's suite takes minutes; its plugin is tested by test_pennylane_plugin.py
        if kind == "text":
            assert out == block
            continue
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            exec(block, names)
        out = stream.getvalue()
