"""Lists under a mask, against all lists that can be written: never outside the pool, never an entry twice."""

import functools
import random

import numpy as np
import pytest

from jaxrec.llm.generate import TokenMask
from jaxrec.llm.list_mask import ListMask, longest_list

STOP, COMMA = 0, 1
DIGITS = {digit: 2 + digit for digit in range(10)}


def spelled(number):
    return tuple(DIGITS[int(digit)] for digit in str(number))


def mask_of(numbers, count, stop_tokens=(STOP,)):
    firsts = [spelled(number) for number in numbers]
    return ListMask(firsts, [(COMMA, *tokens) for tokens in firsts], count, stop_tokens)


def read(tokens):
    """The numbers of an answer, by splitting its text: nothing of the mask is used."""
    text = "".join({STOP: "", COMMA: ","}.get(token, str(token - 2)) for token in tokens)
    return [int(number) for number in text.rstrip(",").split(",")]


def may_follow(before, numbers, count):
    """What may follow, from the text alone: every list of `count` numbers is written out."""
    count = min(count, len(numbers))
    done, current = read_done(before)
    rest = [number for number in numbers if number not in done]
    found = {
        spelled(number)[len(current)]
        for number in rest
        if spelled(number)[: len(current)] == current and len(spelled(number)) > len(current)
    }
    whole = [number for number in rest if spelled(number) == current]
    if whole and len(rest) > 1:
        found.add(COMMA)
    if whole and len(done) == count - 1:
        found.add(STOP)
    return found


def read_done(before):
    """The numbers that a comma follows, and the digits behind the last comma."""
    *done, current = "".join("," if token == COMMA else str(token - 2) for token in before).split(",")
    return [int(number) for number in done], tuple(DIGITS[int(digit)] for digit in current)


def ids_of(may):
    return np.flatnonzero(may).tolist()


def test_over_ten_thousand_random_states_no_list_leaves_the_pool_or_repeats():
    rng = random.Random(7)
    states = 0
    while states < 10_000:
        # Few digits, so that many numbers begin with others.
        drawn = (int("".join(rng.choices("123", k=rng.randint(1, 4)))) for _ in range(30))
        pool = list(dict.fromkeys(drawn))[: rng.randint(1, 20)]
        count = rng.randint(1, 12)
        mask, tokens = mask_of(pool, count), []
        while not mask.finished:
            may = ids_of(mask.allowed())
            assert set(may) == may_follow(tokens, pool, count)
            states += 1
            tokens.append(rng.choice(may))
            if tokens[-1] == STOP:
                break
            mask.take(tokens[-1])
        numbers = read(tokens)
        assert [pool[place] for place in mask.chosen] == numbers
        assert len(numbers) == len(set(numbers)) == min(count, len(pool))
        assert set(numbers) <= set(pool)
        firsts = [spelled(number) for number in pool]
        assert len(tokens) <= longest_list(firsts, [(COMMA, *one) for one in firsts], count)


def test_every_list_of_the_pool_can_come_out():
    pool, found = [1, 12, 121, 2], set()

    def go(tokens):
        mask = mask_of(pool, 3)
        for token in tokens:
            mask.take(token)
        if mask.finished:
            found.add(tuple(pool[place] for place in mask.chosen))
            return
        for token in ids_of(mask.allowed()):
            if token == STOP:
                found.add(tuple(pool[place] for place in mask.chosen))
            else:
                go([*tokens, token])

    go([])
    assert len(found) == 4 * 3 * 2


def test_a_number_that_begins_another_ends_by_what_is_said_next():
    one, end = spelled(1)[0], functools.partial(mask_of, [1, 12, 7], 1)
    mask = end()
    mask.take(one)
    assert ids_of(mask.allowed()) == [STOP, COMMA, spelled(2)[0]]
    assert mask.chosen == [0]
    mask.take(COMMA)
    assert mask.finished
    assert mask.chosen == [0]
    # Without a stop token the separator alone says that it goes no further.
    mask = end(stop_tokens=())
    mask.take(one)
    assert ids_of(mask.allowed()) == [COMMA, spelled(2)[0]]
    mask.take(spelled(2)[0])
    assert mask.finished
    assert mask.chosen == [1]


def test_an_entry_may_contain_what_stands_between_entries():
    first, second = (5, COMMA, 6), (5,)
    mask = ListMask([first, second], [(COMMA, *first), (COMMA, *second)], 2)
    for token in (5, COMMA):
        mask.take(token)
    # Of both readings the longer entry is taken, and it can be finished.
    assert ids_of(mask.allowed()) == [6]
    for token in (6, COMMA, 5):
        mask.take(token)
    assert mask.finished
    assert mask.chosen == [0, 1]


def test_entries_may_be_spelled_otherwise_behind_another():
    mask: TokenMask = ListMask([(4,), (5, 6)], [(COMMA, 9), (8, 5)], 2)
    assert ids_of(mask.allowed()) == [4, 5]
    mask.take(4)
    assert ids_of(mask.allowed()) == [8]
    mask.take(8)
    mask.take(5)
    assert mask.finished


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="nothing to choose from"):
        ListMask([], [], 3)
    with pytest.raises(ValueError, match="nothing to choose from"):
        mask_of([1], 0)
    with pytest.raises(ValueError, match="entry 1: found the same tokens as entry 0"):
        mask_of([7, 7], 2)
    with pytest.raises(ValueError, match="entry 1: found no tokens"):
        ListMask([(3,), ()], [(1, 3), (1,)], 1)
    mask = mask_of([7, 8], 2)
    with pytest.raises(ValueError, match="token 1: not allowed here"):
        mask.take(COMMA)
    for token in (*spelled(7), COMMA, *spelled(8)):
        mask.take(token)
    with pytest.raises(ValueError, match="the list is finished"):
        mask.take(COMMA)
