"""What the YAML of a suite may contain, and that every row of every shipped suite can be trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from avsgn_pyg.common.config import Config, ConfigError
from avsgn_pyg.common.settings import DenseConfig, ModelConfig, ObjectiveConfig
from avsgn_pyg.engine.zoo import Shape, build_model, build_objective, text_nodes
from avsgn_pyg.experiments.suites.suite import Cell, Suite, load_suite
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.layers.convs import CONVS

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SHIPPED = sorted((CONFIGS / "suites").glob("*.yaml"))
B, T, C, WIDTH = 3, 10, 3, 16


@cache
def shipped(path: Path) -> Suite:
    return load_suite(path)


def suite(name: str) -> Suite:
    return shipped(CONFIGS / "suites" / f"{name}.yaml")


# --- Shipped suites ------------------------------------------------------------------------------


def train_a_batch(model: ModelConfig, objective: ObjectiveConfig, dense: DenseConfig | None) -> None:
    """Forward and backward of a narrow model on a synthetic batch; some parameter must get a gradient."""
    torch.manual_seed(0)
    model = model.model_copy(update={"dim": 16})
    bank = SimpleNamespace(audio=torch.randn(C, WIDTH), visual=torch.randn(C, WIDTH))
    relevance = (torch.rand(B, T) < 0.6).float()
    relevance[1] = 0
    category, shape = torch.tensor([0, NO_EVENT, 2]), Shape(WIDTH, WIDTH, T, C)
    batch = build_batch(torch.randn(B, T, WIDTH), torch.randn(B, T, WIDTH), text_nodes=text_nodes(model, shape),
                        category=category, relevance=relevance, row=torch.arange(B))
    built = build_model(model, shape, bank, objective.supervision, dense)
    losses = build_objective(dense or objective, model.name)
    pasted = {"pasted": (torch.arange(T) < 2).float().expand(B, T)} if "pasted" in losses.names else {}
    labels = (category, relevance) if dense is None else (torch.tensor([[[0, 1.5, 4.0]], [[2, 0.0, 9.5]]] * 2)[:B],)
    total = losses.total(losses(built(batch), *labels, **pasted))
    total.backward()
    assert total.isfinite() and any(p.grad.any() for p in built.parameters() if p.grad is not None)


@pytest.mark.slow
def test_every_row_of_the_shipped_suites_trains_a_batch():
    tried = {cell.config.model.model_dump_json() + cell.config.objective.model_dump_json(): cell.config
             for path in SHIPPED for cell in shipped(path).cells}
    for config in tried.values():
        train_a_batch(config.model, config.objective, config.events)


def test_rows_are_one_recipe_for_each_name_and_one_name_for_each_recipe_of_a_suite():
    """Shipped suites share an output folder, in which a name is a folder."""
    seen: dict[tuple[str, str], Config] = {}
    for path in SHIPPED:
        own: list[Config] = []
        for cell in shipped(path).cells:
            recipe = cell.config.model_copy(update={"name": ""})
            assert recipe not in own, (path.name, cell.row.name)
            own.append(recipe)
            assert seen.setdefault((cell.supervision, cell.row.name), recipe) == recipe, (path.name, cell.row.name)


def test_every_layer_has_a_row():
    assert {cell.config.model.cmgi.conv for cell in suite("layers").cells} == set(CONVS)


# The paper's tables: row -> (full, weak).
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
def test_the_paper_s_numbers_are_in_their_rows(name: str):
    found = {row.name: tuple(row.paper.values()) for row in suite(name).file.rows}
    assert found == TABLES[name]


#: Table 1: method -> (full, weak).
TABLE1 = {
    "AVEL": (72.7, 66.7), "AVSDN": (72.6, 67.3), "CMAN": (73.3, 70.4), "DAM": (74.5, None), "AVRB": (74.8, 68.9),
    "AVIN": (75.2, 69.4), "CSA": (76.5, 70.2), "AVT": (76.8, 70.2), "CMRAN": (77.4, 72.9), "PSP": (77.8, 73.5),
    "CMBS": (79.3, 74.2), "DMIN": (79.6, 74.3), "VSCG": (79.7, 74.8), "CSS-Net": (80.5, 76.8), "LAVISH": (78.6, None),
    "DG-SCT": (82.2, None), "AVSGN (ours)": (83.1, 78.8),
}


@pytest.mark.parametrize(("supervision", "place"), [("full", 0), ("weak", 1)])
def test_table1_has_every_method_of_the_paper(supervision: str, place: int):
    file = suite(f"table1_{supervision}").file
    found = {row.label: row.paper.get(supervision) for row in (*file.published, *file.rows)}
    expected = {label: paper[place] for label, paper in TABLE1.items() if paper[place]}
    assert {label: found.get(label) for label in expected} == expected


def test_table1_trains_every_baseline():
    for supervision in ("full", "weak"):
        end = f"_{supervision}.yaml"
        found = {path.name.removesuffix(end) for path in CONFIGS.glob(f"baselines/*{end}")}
        assert len(found) == 9 and found <= {row.name for row in suite(f"table1_{supervision}").file.rows}


def test_tables_2_to_4_switch_what_the_paper_switches():
    def of(name: str, row: str) -> Cell:
        return next(cell for cell in suite(name).cells if cell.row.name == row)

    cmsa = of("table2_cmsa", "no_intra").config.model.cmsa
    assert (cmsa.intra_clip, cmsa.intra_clap, cmsa.inter_visual) == (False, False, True)
    assert of("table3_cmgi", "no_av").config.model.cmgi.subgraphs == ("vt", "at")
    assert of("table4_losses", "no_gate").config.objective.losses == ("category", "relevance", "consistency")
    changed = of("table4_losses", "no_category_no_relevance")
    assert changed.config.objective.losses == ("segment", "gate", "consistency")
    assert changed.config.model.head.segment_scores and "Cannot be trained as printed" in changed.row.note


# --- What a YAML may contain ---------------------------------------------------------------------


def test_a_row_is_its_config_with_its_changes_and_those_of_the_command_line(written: Path):
    found = load_suite(written, ["train.epochs=7"])
    assert [(cell.supervision, cell.row.name) for cell in found.cells] == [
        ("full", "ours"), ("full", "no_av"), ("weak", "ours"), ("weak", "no_av")]
    assert [cell.config.model.cmgi.subgraphs for cell in found.cells[:2]] == [("av", "vt", "at"), ("vt", "at")]
    assert {cell.config.train.epochs for cell in found.cells} == {7}
    assert [cell.config.objective.supervision for cell in found.cells] == ["full", "full", "weak", "weak"]


def test_the_command_line_and_the_row_override_the_changes_of_the_suite(rewritten: Callable):
    changes = "change: {train.epochs: 3, model.dim: 8, model.cmgi.subgraphs: [av]}"
    ours, other = (cell.config for cell in load_suite(
        rewritten("reference: ours", f"{changes}\nreference: ours"), ["train.epochs=4"], supervisions=["full"]).cells)
    assert (ours.train.epochs, ours.model.dim, ours.model.cmgi.subgraphs) == (4, 8, ("av",))
    assert other.model.cmgi.subgraphs == ("vt", "at")


def test_the_reference_is_always_kept(written: Path):
    found = load_suite(written, rows=["no_av"], supervisions=["weak"])
    assert [(cell.supervision, cell.row.name) for cell in found.cells] == [("weak", "ours"), ("weak", "no_av")]
    assert [cell.row.name for cell in load_suite(written, rows=["ours"], supervisions=["full"]).cells] == ["ours"]


def test_a_row_may_have_a_supervision_and_a_config_of_its_own(rewritten: Callable):
    path = rewritten("published:", "- {name: own, config: own.yaml, supervision: [weak]}\npublished:")
    (path.parent / "own.yaml").write_text("base: weak.yaml\nmodel: {dim: 32}\n")
    own = [cell for cell in load_suite(path).cells if cell.row.name == "own"]
    assert [(cell.supervision, cell.config.model.dim) for cell in own] == [("weak", 32)]


def test_splits_are_those_of_the_command_line_then_of_the_suite_then_of_the_config(written: Path, rewritten: Callable):
    path = rewritten("reference: ours", "splits: [val, test]\nreference: ours")
    for found, splits in ((load_suite(written), ("test",)), (load_suite(path), ("val", "test")),
                          (load_suite(path, ["evaluate.split=train"]), ("train",))):
        assert found.cells[0].splits == splits


@pytest.mark.parametrize(("old", "new", "says"), [
    ("reference: ours", "reference: absent", "reference: absent is none of the rows ours, no_av"),
    ("name: no_av", "name: ours", "duplicate name ours"),
    ("reference: ours", "splits: [val, test]\nchange: {train.select: test}\nreference: ours", "select=test .* alone"),
    ("name: no_av", "name: No AV", "rows.1.name"),
    ("label: \"✓", "lable: \"✓", "rows.0.lable: no such setting; there are: name, label, config"),
    ("subgraphs: [vt, at]", "subgraph: [vt]", "row no_av .full.: .*did you mean model.cmgi.subgraphs"),
    ("model.cmgi.subgraphs: [vt, at]", "train.seed: 3", "train.seed is set by the suite"),
    ("full: tiny.yaml", "full: tony.yaml", "did you mean .*tiny.yaml"),
    ("weak: weak.yaml", "weak: tiny.yaml", "supervision=weak, got full"),
    ("full: 83.1", "full: 831", "rows.0.paper.full"),
    ("note: not a_word", "supervision: [weak], config: {full: tiny.yaml}", "row no_av: config: none for weak"),
    ("note: not a_word", "supervision: [half]", "rows.1.supervision"),
])
def test_a_mistake_in_the_yaml_is_refused(rewritten: Callable, old: str, new: str, says: str):
    with pytest.raises(ConfigError, match=says):
        load_suite(rewritten(old, new))


@pytest.mark.parametrize(("override", "says"), [
    ("model.cmgi.subgraphs=[av]", "row no_av"), ("model.cmgi={}", "row no_av"), ("train.seeds=[1]", "--seeds"),
    ("name=x", "--out"),
])
def test_an_override_of_what_distinguishes_rows_is_refused(written: Path, override: str, says: str):
    with pytest.raises(ConfigError, match=says):
        load_suite(written, [override])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_row_of_a_shipped_suite_has_a_smoke_run(path: Path):
    found = load_suite(path, smoke=True)
    kind = "dense" if found.dense else "synthetic"
    assert {(cell.config.train.epochs, cell.config.data.limit, cell.config.data.kind) for cell in found.cells} == {
        (1, 32, kind)}
    assert len(found.cells) == len(shipped(path).cells) and "smoke" in found.file.notes[0]


def test_a_smoke_run_takes_the_data_that_are_given(written: Path, tmp_path: Path):
    found = load_suite(written, [f"data.root={tmp_path}", "data.kind=ave"], smoke=True)
    assert {(cell.config.data.kind, cell.config.data.root) for cell in found.cells} == {("ave", tmp_path)}


@pytest.mark.parametrize(("asked", "says"), [
    ({"rows": ["absent"]}, "row absent: .*ours, no_av"), ({"supervisions": ["half"]}, "supervision half: .*full, weak"),
])
def test_an_unknown_row_is_refused(written: Path, asked: dict, says: str):
    with pytest.raises(ConfigError, match=says):
        load_suite(written, **asked)
