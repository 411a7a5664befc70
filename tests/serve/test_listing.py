"""What was told of a user stands below their list with titles and sentiments, and in JSON."""

import dataclasses
import io

from rich.console import Console

from jaxrec.serve.listing import Listed, Told, as_json, print_list
from tests.eval.given import build_dataset

DATASET = dataclasses.replace(
    build_dataset(2, 3, ([(0, 0)], [], [])), item_text=("Red [b]lamp. It shines.", "Blue lamp " * 20, "Green lamp")
)
LISTED = Listed(
    "new user 1",
    [("i1", 2.0), ("i2", 1.0)],
    None,
    Told((("i0", "Strong Positive"), ("i2", None)), {"i2": 1, "i1": 2}, 1),
)


def printed(dataset):
    out = io.StringIO()
    print_list(Console(file=out, width=70, highlight=False), dataset, LISTED)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_table_says_what_the_model_was_told_with_titles():
    lines = printed(DATASET)
    assert lines[0] == "new user 1"
    assert lines[-3:] == [
        "because the model was told:",
        "  i0  Strong Positive  Red [b]lamp. It shines.",
        "  i2  Green lamp",
    ]
    assert any("Blue lamp" in line and "…" in line for line in lines)
    plain = printed(dataclasses.replace(DATASET, item_text=None))
    assert plain[-2:] == ["  i0  Strong Positive", "  i2"]


def test_json_says_the_same():
    record = as_json(DATASET, LISTED)
    assert record["told"][0] == {"item": "i0", "text": "Red [b]lamp. It shines.", "sentiment": "Strong Positive"}
    first, second = record["items"]
    assert (first["item"], first["retriever_place"], first["placed_by_model"]) == ("i1", 2, True)
    assert (second["item"], second["retriever_place"], second["placed_by_model"]) == ("i2", 1, False)
    assert len(first["text"]) == 60
