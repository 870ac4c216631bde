"""A run's page: complete, self-contained, and loaded by a real browser without a word on its console."""

import io
import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from qcaan.cli import app
from qcaan.config import Config
from qcaan.learn.report import write_report
from qcaan.learn.report.charts import Chart
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.train import train

SECTIONS = ("scores", "digits", "training", "circuit", "device", "provenance")


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = {
        "prior": {"n_qubits": 3, "n_layers": 3, "bases": ["Z", "Y"], "gradient": "spsa", "shots": 200}
        | {"refresh_every": 4, "updates": 2, "target_images": 64},
        "gan": {"channels": 2},
        "train": {"max_steps": 8, "batch_size": 8, "log_every": 1, "evaluate_every": 4, "evaluation_images": 100},
    }
    return train(Config.load(config), tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture
def page_of(parse):
    def page_of(path: Path, out: Path):
        with RunDirectory.open(path) as run:
            html = write_report(run, out).read_text(encoding="utf-8")
        return html, parse(html)

    return page_of


def test_the_page_holds_every_section_and_every_picture(run_path: Path, tmp_path: Path, page_of) -> None:
    html, page = page_of(run_path, tmp_path / "report.html")
    assert set(SECTIONS) <= page.ids
    assert [Image.open(io.BytesIO(image)).size for image in page.images] == [(582, 582)] * 2
    assert page.tags.count("svg") >= 6
    assert "after 4 steps" in html
    assert "200" in html


def test_the_page_asks_the_network_for_nothing_and_runs_no_script(run_path: Path, tmp_path: Path, page_of) -> None:
    html, page = page_of(run_path, tmp_path / "report.html")
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "script" not in page.tags
    assert not re.search(r"url\((?!#)|@import", html)


def test_numbers_are_the_runs(run_path: Path, tmp_path: Path, page_of) -> None:
    html, _ = page_of(run_path, tmp_path / "report.html")
    last = json.loads((run_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"{last['eval/fid']:,.3f}" in html
    assert f"{last['eval/real']['inception_score']:,.3f}" in html
    # two refits of two SPSA updates of two settings in two bases, and two draws of each basis
    assert "4,000" in html


def test_the_same_run_gives_the_same_page(run_path: Path, tmp_path: Path, page_of) -> None:
    assert page_of(run_path, tmp_path / "a.html")[0] == page_of(run_path, tmp_path / "b.html")[0]


def test_what_a_run_holds_is_text_not_markup(run_path: Path, tmp_path: Path, page_of) -> None:
    named = tmp_path / "<script>alert(1)<"
    shutil.copytree(run_path, named)
    html, page = page_of(named, tmp_path / "report.html")
    assert "script" not in page.tags
    assert "&lt;script&gt;" in html


def test_a_run_that_has_only_begun_has_a_page(run_path: Path, tmp_path: Path, page_of) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(run_path, begun)
    for name in ("metrics.jsonl", "store.sqlite"):
        (begun / name).unlink()
    shutil.rmtree(begun / "samples")
    html, page = page_of(begun, tmp_path / "report.html")
    assert "No numbers yet" in html
    assert "No pictures yet" in html
    assert {"device", "provenance"} <= page.ids


def test_the_command_writes_it_beside_the_run(run_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(run_path)])
    assert result.exit_code == 0
    assert Path(result.stdout.strip()) == run_path / "report.html"
    assert (run_path / "report.html").read_text().startswith("<!doctype html>")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 1


def test_charts_take_the_pages_colour_and_are_reproducible() -> None:
    chart = Chart("t", {"a": [(0, 1.0), (1, 2.0)]}, {"real": 1.5})
    assert "currentColor" in chart.svg()
    assert "#010203" not in chart.svg()
    assert chart.svg() == chart.svg()


def test_a_browser_shows_it_without_a_word(run_path: Path, tmp_path: Path, check_page) -> None:
    with RunDirectory.open(run_path) as run:
        check_page(write_report(run, tmp_path / "report.html"), SECTIONS, 2)
