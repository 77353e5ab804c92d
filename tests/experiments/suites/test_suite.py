"""What a suite's YAML may say, and that every row of every shipped suite can be trained."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from avsgn_pyg.config import Config, ConfigError
from avsgn_pyg.experiments.suites.suite import Suite, load_suite
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.layers.convs import CONVS
from avsgn_pyg.zoo import Shape, build_model, build_objective, text_nodes

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SHIPPED = sorted((CONFIGS / "suites").glob("*.yaml"))
B, T, C, WIDTH = 3, 10, 3, 16


@cache
def shipped(path: Path) -> Suite:
    return load_suite(path)


def suite(name: str) -> Suite:
    return shipped(CONFIGS / "suites" / f"{name}.yaml")


def rewritten(written: Path, tmp_path: Path, old: str, new: str) -> Path:
    for path in written.parent.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    text = written.read_text()
    assert old in text
    (tmp_path / written.name).write_text(text.replace(old, new))
    return tmp_path / written.name


# --- Shipped suites ------------------------------------------------------------------------------


def train_a_batch(config: Config) -> None:
    """Forward and backward on a made batch; some parameter must learn."""
    torch.manual_seed(0)
    bank = SimpleNamespace(audio=torch.randn(C, WIDTH), visual=torch.randn(C, WIDTH))
    relevance = (torch.rand(B, T) < 0.6).float()
    relevance[1] = 0
    category, shape = torch.tensor([0, NO_EVENT, 2]), Shape(WIDTH, WIDTH, T, C)
    batch = build_batch(torch.randn(B, T, WIDTH), torch.randn(B, T, WIDTH), text_nodes=text_nodes(config.model, shape),
                        category=category, relevance=relevance, row=torch.arange(B))
    model = build_model(config.model, shape, bank, config.objective.supervision)
    objective = build_objective(config.objective, config.model.name)
    pasted = {"pasted": (torch.arange(T) < 2).float().expand(B, T)} if "pasted" in objective.names else {}
    total = objective.total(objective(model(batch), category, relevance, **pasted))
    total.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert total.isfinite() and any(gradient.any() for gradient in gradients)


@pytest.mark.slow  # Two of them are.
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_row_of_a_shipped_suite_builds_and_trains_a_batch(path: Path):
    tried: list[tuple] = []
    for cell in shipped(path).cells:
        parts = (cell.config.model, cell.config.objective)
        if parts not in tried:
            train_a_batch(cell.config)
            tried.append(parts)
    assert tried


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_suite_opens_with_what_it_is_and_its_command(path: Path):
    head = "".join(line for line in path.read_text().splitlines(True)[:8] if line.startswith("#"))
    assert head.startswith("# ") and f"tools/reproduce.py configs/suites/{path.name}" in head


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_no_two_rows_of_a_shipped_suite_are_one(path: Path):
    cells = shipped(path).cells
    for number, cell in enumerate(cells):
        twins = [other.row.name for other in cells[:number]
                 if other.supervision == cell.supervision and _recipe(other.config) == _recipe(cell.config)]
        assert not twins, cell.row.name


def test_rows_of_one_name_are_one_recipe_in_every_shipped_suite():
    seen: dict[tuple[str, str], Config] = {}
    for path in SHIPPED:
        for cell in shipped(path).cells:
            known = seen.setdefault((cell.supervision, cell.row.name), cell.config)
            assert _recipe(known) == _recipe(cell.config), (path.name, cell.row.name)


def _recipe(config: Config) -> Config:
    return config.model_copy(update={"name": ""})


def test_every_layer_of_the_table_has_a_row():
    convs = {cell.config.model.cmgi.conv for cell in suite("layers").cells}
    assert convs == set(CONVS)


# The paper's tables as the spec prints them: row -> (full, weak).
TABLES = {
    "table2_cmsa": {"ours": (83.1, 78.8), "no_intra": (82.8, 78.5), "no_inter_visual": (80.4, 76.0),
                    "no_inter_audio": (81.8, 77.2), "no_inter_text": (82.3, 77.8), "no_inter": (79.5, 75.4),
                    "no_cmsa": (79.0, 74.5)},
    "table3_cmgi": {"ours": (83.1, 78.8), "no_av": (80.3, 75.9), "no_vt": (81.7, 76.6), "no_at": (82.5, 78.0),
                    "no_cmgi": (79.6, 74.8)},
    "table4_losses": {"ours": (83.1,), "no_category_no_relevance": (79.5,), "no_gate": (81.7,),
                      "no_consistency": (82.0,), "no_gate_no_consistency": (80.2,)},
}


@pytest.mark.parametrize("name", TABLES)
def test_the_paper_s_numbers_stand_beside_their_rows(name: str):
    found = {row.name: tuple(row.paper.values()) for row in suite(name).file.rows}
    assert found == TABLES[name]


def test_table1_has_every_method_of_the_paper():
    full = {"AVEL": 72.7, "AVSDN": 72.6, "CMAN": 73.3, "DAM": 74.5, "AVRB": 74.8, "AVIN": 75.2, "CSA": 76.5,
            "AVT": 76.8,
            "CMRAN": 77.4, "PSP": 77.8, "CMBS": 79.3, "DMIN": 79.6, "VSCG": 79.7, "CSS-Net": 80.5, "LAVISH": 78.6,
            "DG-SCT": 82.2}
    weak = {"AVEL": 66.7, "AVSDN": 67.3, "CMAN": 70.4, "AVRB": 68.9, "AVIN": 69.4, "CSA": 70.2, "AVT": 70.2,
            "CMRAN": 72.9, "PSP": 73.5, "CMBS": 74.2, "DMIN": 74.3, "VSCG": 74.8, "CSS-Net": 76.8}
    for supervision, paper in (("full", full), ("weak", weak)):
        file = suite(f"table1_{supervision}").file
        found = {row.label: row.paper.get(supervision) for row in (*file.published, *file.rows)}
        assert {label: found.get(label) for label in paper} == paper
        assert found["AVSGN (ours)"] == {"full": 83.1, "weak": 78.8}[supervision]


def test_table1_trains_every_method_that_there_is():
    for supervision in ("full", "weak"):
        end = f"_{supervision}.yaml"
        there = {path.name.removesuffix(end) for path in CONFIGS.glob(f"baselines/*{end}")}
        assert len(there) == 9 and there <= {row.name for row in suite(f"table1_{supervision}").file.rows}


def test_the_manual_counts_the_rows_of_every_suite():
    manual = (CONFIGS.parent / "docs" / "suites.md").read_text()
    lines = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|.*\|(.*)\|$", manual, re.MULTILINE)
    said = {name: counts for names, counts in lines for name in re.findall(r"`(\w+)`", names)}
    for path in SHIPPED:
        for supervision in shipped(path).supervisions:
            rows = sum(cell.supervision == supervision for cell in shipped(path).cells)
            assert f"{rows} {supervision}" in said[path.stem], path.stem


def test_tables_2_to_4_switch_what_the_paper_switches():
    def of(name: str, row: str) -> Config:
        return next(cell.config for cell in suite(name).cells if cell.row.name == row)

    cmsa = of("table2_cmsa", "no_intra").model.cmsa
    assert (cmsa.intra_clip, cmsa.intra_clap, cmsa.inter_visual) == (False, False, True)
    assert of("table3_cmgi", "no_av").model.cmgi.subgraphs == ("vt", "at")
    assert of("table4_losses", "no_gate").objective.losses == ("category", "relevance", "consistency")
    printed = next(row for row in suite("table4_losses").file.rows if row.name == "no_category_no_relevance")
    config = of("table4_losses", printed.name)
    assert config.objective.losses == ("segment", "gate", "consistency") and config.model.head.segment_scores
    assert "Cannot be trained as printed" in printed.note


# --- What a suite may say ------------------------------------------------------------------------


def test_a_row_is_its_config_with_its_changes_and_the_command_line_s(written: Path):
    found = load_suite(written, ["train.epochs=7"])
    assert [(cell.supervision, cell.row.name) for cell in found.cells] == [
        ("full", "ours"), ("full", "no_av"), ("weak", "ours"), ("weak", "no_av")]
    assert [cell.config.model.cmgi.subgraphs for cell in found.cells[:2]] == [("av", "vt", "at"), ("vt", "at")]
    assert {cell.config.train.epochs for cell in found.cells} == {7}
    assert [cell.config.objective.supervision for cell in found.cells] == ["full", "full", "weak", "weak"]


def test_the_command_line_goes_before_the_suite_s_own_changes(written: Path, tmp_path: Path):
    path = rewritten(written, tmp_path, "reference: ours", "change: {train.epochs: 3, model.dim: 8}\nreference: ours")
    config = load_suite(path, ["train.epochs=4"]).cells[0].config
    assert (config.train.epochs, config.model.dim) == (4, 8)


def test_chosen_rows_bring_ours_along(written: Path):
    found = load_suite(written, rows=["no_av"], supervisions=["weak"])
    assert [(cell.supervision, cell.row.name) for cell in found.cells] == [("weak", "ours"), ("weak", "no_av")]
    assert [row.name for row in load_suite(written, rows=["ours"]).file.rows] == ["ours"]


def test_a_row_may_be_of_one_supervision_and_have_a_config_of_its_own(written: Path, tmp_path: Path):
    row = "- {name: own, config: own.yaml, supervision: [weak]}"
    path = rewritten(written, tmp_path, "published:", f"{row}\npublished:")
    (tmp_path / "own.yaml").write_text("base: weak.yaml\nmodel: {dim: 32}\n")
    own = [cell for cell in load_suite(path).cells if cell.row.name == "own"]
    assert [(cell.supervision, cell.config.model.dim) for cell in own] == [("weak", 32)]


def test_splits_are_the_suite_s_or_the_command_line_s_or_the_config_s(written: Path, tmp_path: Path):
    path = rewritten(written, tmp_path, "reference: ours", "splits: [val, test]\nreference: ours")
    for found, splits in ((load_suite(written), ("test",)), (load_suite(path), ("val", "test")),
                          (load_suite(path, ["evaluate.split=train"]), ("train",))):
        assert found.splits(found.cells[0].config) == splits


@pytest.mark.parametrize(("old", "new", "says"), [
    ("reference: ours", "reference: absent", "reference: absent is none of the rows ours, no_av"),
    ("name: no_av", "name: ours", "ours stands there twice"),
    ("name: no_av", "name: No AV", "rows.1.name"),
    ("label: \"✓", "lable: \"✓", "rows.0.lable: no such setting; there are: name, label, config"),
    ("subgraphs: [vt, at]", "subgraph: [vt]", "row no_av .full.: .*did you mean model.cmgi.subgraphs"),
    ("model.cmgi.subgraphs: [vt, at]", "train.seed: 3", "train.seed is the suite's own"),
    ("full: tiny.yaml", "full: tony.yaml", "did you mean .*tiny.yaml"),
    ("weak: weak.yaml", "weak: tiny.yaml", "objective.supervision=full, but stands under weak"),
    ("full: 83.1", "full: 831", "rows.0.paper.full"),
    ("note: not a_word", "supervision: [weak], config: {full: tiny.yaml}", "row no_av: config: none for weak"),
])
def test_what_cannot_be_meant_is_refused_by_name(written: Path, tmp_path: Path, old: str, new: str, says: str):
    path = rewritten(written, tmp_path, old, new)
    with pytest.raises(ConfigError, match=says):
        load_suite(path)


@pytest.mark.parametrize(("override", "says"), [
    ("model.cmgi.subgraphs=[av]", "is what row no_av"),
    ("model.cmgi={}", "is what row no_av"),
    ("train.seeds=[1]", "--seeds"),
    ("name=x", "--out"),
])
def test_an_override_of_what_a_row_is_about_is_refused(written: Path, override: str, says: str):
    with pytest.raises(ConfigError, match=says):
        load_suite(written, [override])


def test_an_override_of_a_row_that_is_not_wanted_is_taken(written: Path):
    found = load_suite(written, ["model.cmgi.subgraphs=[av]"], rows=["ours"], supervisions=["full"])
    assert found.cells[0].config.model.cmgi.subgraphs == ("av",)


@pytest.mark.parametrize(("asked", "says"), [
    ({"rows": ["absent"]}, "row absent: no such one; there are ours, no_av"),
    ({"supervisions": ["half"]}, "supervision half: no such one; there are full, weak"),
])
def test_a_row_that_is_not_there_is_refused(written: Path, asked: dict, says: str):
    with pytest.raises(ConfigError, match=says):
        load_suite(written, **asked)
