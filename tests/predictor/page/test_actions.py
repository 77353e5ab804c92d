"""Actions of the page, without a browser."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.graph.detection import Detection
from avsgn_pyg.predictor.page.actions import Page
from avsgn_pyg.predictor.predictor import Predictor


def send(page, path, name="mine.mp4"):
    with page.uploads.receive(name) as place:
        place.write_bytes(path.read_bytes() if hasattr(path, "read_bytes") else path)
    return place.parent.name


def test_the_result_of_a_clip_has_scores_pictures_and_sound(page, movie, trained) -> None:
    *progress, found = page.analyse({"token": send(page, movie), "runs": ["tiny"]}, "one")
    assert {message["kind"] for message in progress} <= {"progress"} and found["kind"] == "clip"
    [result] = found["results"]
    prediction = trained(movie)
    assert result["relevance"] == prediction.relevance.tolist() and found["duration"] == prediction.duration
    assert len(found["frames"]) == 10 and found["frames"][0][1].startswith("data:image/jpeg;base64,")
    assert max(high for _, high in found["sound"]) > 50 and found["name"] == "mine.mp4" and found["windows"] == [0]


def test_the_page_has_the_events_of_a_dense_model_below_its_threshold_too(page, movie, monkeypatch) -> None:
    localize, events = Predictor.localize_encoded, (Detection(0, 1.25, 4.5, 0.9), Detection(2, 3.0, 6.0, 0.2))
    monkeypatch.setattr(Predictor, "localize_encoded", lambda self, *args, tau=None: replace(
        localize(self, *args, tau=tau), found=tuple(each for each in events if each.score > self.check_tau(tau))))
    monkeypatch.setattr(Predictor, "finds_several", True)
    *_, found = page.analyse({"token": send(page, movie), "runs": ["tiny"]}, "one")
    [result] = found["results"]
    assert [each["start"] for each in result["events"]] == [1.25, 3.0] and result["tau"] > 0.2


def test_a_second_analysis_encodes_nothing_again(page, analysed, monkeypatch) -> None:
    monkeypatch.setattr(Predictor, "encode", None)
    assert list(page.analyse({"token": analysed["token"], "runs": ["tiny"]}, "two"))[-1]["kind"] == "clip"


def test_two_people_get_their_own_clips(page, movie) -> None:
    tokens = [send(page, movie, f"{who}.mp4") for who in ("ann", "bob")]
    names = [list(page.analyse({"token": token, "runs": ["tiny"]}, who))[-1]["name"]
             for token, who in zip(tokens, ("ann", "bob"), strict=True)]
    assert names == ["ann.mp4", "bob.mp4"]
    with pytest.raises(DataError, match="another session"):
        list(page.analyse({"token": tokens[0], "runs": ["tiny"]}, "bob"))


def test_an_error_names_a_broken_file_by_its_own_name(page) -> None:
    token = send(page, b"no video at all" * 50, "broken.mp4")
    with pytest.raises(DataError) as error:
        list(page.analyse({"token": token, "runs": ["tiny"]}, "one"))
    text = page.error_text(error.value, page.uploads.get(token))
    assert "broken.mp4" in text and str(page.uploads.folder) not in text


def test_an_error_shows_no_folder_of_this_machine(page, trained) -> None:
    folders = page.corrections, trained.config.data.root, trained.config.run_dir, trained.source
    for folder in folders:
        assert page.error_text(DataError(f"{folder}/a.h5: cut"), None) in ("a.h5: cut", "tiny/a.h5: cut")


def test_no_more_than_two_models_analyse_at_once(page) -> None:
    request = {"token": page.uploads.examples[0].token, "runs": ["tiny"] * 3}
    assert len(list(page.analyse(request, "one"))[-1]["results"]) == 2


def test_the_graph_of_a_window_is_the_page_of_visualize(page, analysed) -> None:
    [found] = page.graph({"token": analysed["token"], "result": "tiny|", "start": 0}, "one")
    assert found["html"].startswith("<!DOCTYPE html>") and "movie.mp4" in found["html"] and not found["text"]


def test_the_signal_encoders_take_no_labels_and_say_why(page) -> None:
    assert "signal" in page.start_message()["labels_note"]


def test_labels_can_be_typed_where_the_encoders_know_language(trained, movie, page, monkeypatch) -> None:
    """The encoders are mocks of ones with language: signal's codes, declared to have a meaning."""
    encoders = trained.encoders
    for each in (encoders.visual, encoders.audio):
        monkeypatch.setattr(each, "text_has_meaning", True, raising=False)
    page = Page({"mock_language": trained}, page.uploads)
    assert page.start_message()["labels_note"] == ""
    [clip], labels = page.uploads.examples, "thunder, a  horn ,thunder"
    request = {"token": clip.token, "runs": ["mock_language"], "labels": labels}
    [result] = list(page.analyse(request, "one"))[-1]["results"]
    assert result["categories"] == ["thunder", "a  horn"]


def test_a_correction_is_saved_with_the_command_that_trains_on(page, analysed) -> None:
    event = {"label": "dog", "start": 1, "end": 4}
    [saved] = page.save({"token": analysed["token"], "result": "tiny|", "events": [event]}, "one")
    assert "tools/train.py" in saved["command"] and "name=tiny-corrected-1" in saved["command"]
    assert (page.corrections / "tiny" / "annotations.json").is_file()


@pytest.mark.slow
def test_a_model_is_trained_on_with_a_corrected_clip(page, analysed, trained, untrained, movie, tmp_path) -> None:
    page.models["tiny"] = model = untrained(trained.config.data.root, tmp_path / "runs")
    request = {"token": analysed["token"], "result": "tiny|", "events": [{"label": "dog", "start": 2, "end": 7}]}
    with pytest.raises(DataError, match="Save a correction first"):
        list(page.fine_tune(request, "one"))
    page.uploads.examples[0].results["tiny|"] = page.uploads.examples[0].results["tiny|"]._replace(model=model)
    list(page.save(request, "one"))
    *progress, last = page.fine_tune(request, "one")
    assert last["models"] == ["tiny", "tiny-corrected-1"] and last["run"] == "tiny-corrected-1"
    assert {message["kind"] for message in progress} == {"progress"} and progress[-1]["share"] <= 1
    before, after = model(movie), page.models["tiny-corrected-1"](movie)
    dog = before.categories.index("dog")
    # Log-odds, since the scores of so small a model are near 0 or 1.
    assert (after.category[:, dog].logit() - before.category[:, dog].logit()).min() > 1


@pytest.mark.parametrize("result", ["tiny|thunder", "tiny|thunder|"])
def test_events_of_typed_labels_are_not_saved(page, analysed, result) -> None:
    clip = page.uploads.get(analysed["token"])
    clip.results[result] = clip.results["tiny|"]
    with pytest.raises(DataError, match="typed"):
        list(page.save({"token": analysed["token"], "result": result, "events": []}, "one"))


def test_nothing_is_saved_where_others_can_reach_the_page(page, analysed) -> None:
    page.corrections = None
    with pytest.raises(DataError, match="restricted to this machine"):
        list(page.save({"token": analysed["token"], "result": "tiny|", "events": []}, "one"))


@pytest.mark.parametrize("given", [{}, {"token": 3}, {"token": "x" * 22}])
def test_an_unknown_clip_is_refused(page, given) -> None:
    with pytest.raises(DataError, match="no longer available"):
        list(page.analyse(given, "one"))
