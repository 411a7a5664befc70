"""Names that an agent says, and candidates."""

import numpy as np
import pytest

from jaxrec.precompute.simulated_user.names import names_in_text, order_by_names, unique_names
from tests.precompute.hostile_texts import HOSTILE_TEXTS

NAMES = ("Toy Story (1995)", "Beauty, the Beast and I", "Heat", "Heat (2)", "???")


def test_a_whole_ranking_is_taken_as_it_is():
    order = order_by_names(NAMES, ["???", "Heat (2)", "Heat", "Toy Story (1995)", "Beauty, the Beast and I"])
    assert order.order.tolist() == [4, 3, 2, 0, 1]
    assert (order.named, order.repeated, order.missing, order.unknown) == (5, 0, 0, ())


def test_unknown_repeated_and_missing_names_are_handled_and_counted():
    said = ["3. heat", "Titanic", "  TOY STORY, 1995", "“Heat”", "Toy Story (1995)", "Toy Story 2"]
    order = order_by_names(NAMES, said)
    # Named ones first, then the others in the recommender's order.
    assert order.order.tolist() == [2, 0, 1, 3, 4]
    assert (order.named, order.repeated, order.missing) == (2, 2, 3)
    assert order.unknown == ("Titanic", "Toy Story 2")
    assert order_by_names(NAMES, []).order.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_whatever_is_said_the_result_is_a_permutation(text):
    order = order_by_names(NAMES, [text, "Heat", text])
    assert sorted(order.order.tolist()) == [0, 1, 2, 3, 4]
    assert order.order[0] == 2
    assert all(len(name) <= 200 for name in order.unknown)
    names = unique_names([text, "Heat", text], ["item 1", "item 2", "item 3"])
    assert len(set(names)) == 3
    assert order_by_names(names, reversed(names)).order.tolist() == [2, 1, 0]
    said = names_in_text(NAMES, f"{text} So my ranking as Kim would be Heat, {text[:300]}")
    assert said is not None
    assert sorted(order_by_names(NAMES, said).order.tolist()) == [0, 1, 2, 3, 4]


def test_equal_and_empty_titles_are_told_apart():
    assert unique_names(["Heat", "heat!", "", "Heat"], ["a", "b", "item c", "d"]) == (
        "Heat",
        "heat! (2)",
        "item c",
        "Heat (3)",
    )
    # A title that is like a numbered one does not meet it.
    assert len(set(unique_names(["Heat (2)", "Heat", "Heat"], ["a", "b", "c"]))) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # The end of the paper's own example has arrows between the names.
        (
            "I would… and my ranking as Steve would be Heat → Toy Story (1995) → ???.",
            ["Heat", "Toy Story (1995)", "???"],
        ),
        ("My ranking as Kim would be: 1. Heat\n", ["1. Heat"]),
        (
            'I would accept these recommendations: "Beauty, the Beast and I", Heat and Titanic.',
            ["Beauty, the Beast and I", "Heat", "Titanic"],
        ),
        ("my ranking as A would be Heat. No: my ranking as A would be ???, Heater", ["???", "Heater"]),
        ("I like Heat", None),
    ],
)
def test_plain_answers(text, said):
    found = names_in_text(NAMES, text)
    if said is None:
        assert found is None
    else:
        wanted, got = order_by_names(NAMES, said), order_by_names(NAMES, found)
        np.testing.assert_array_equal(got.order, wanted.order)
        assert (got.named, len(got.unknown)) == (wanted.named, len(wanted.unknown))
