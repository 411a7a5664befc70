"""Random numbers that follow from raw ids and a seed alone: neither from row order nor from who else is in the data."""

from __future__ import annotations

import numpy as np

from jaxrec.data.interactions import IdMap, Interactions


def pair_hashes(interactions: Interactions, seed: int) -> np.ndarray:
    """One random number [n] uint64 a row, the same for the same raw user and item."""
    users = user_hashes(interactions, seed)
    return _mix(users[interactions.user_ids] + _hash_raw(interactions.items)[interactions.item_ids])


def user_hashes(interactions: Interactions, seed: int) -> np.ndarray:
    """One random number [U] uint64 a user, from the raw id and the seed."""
    return _mix(_hash_raw(interactions.users) + _mix(np.asarray([seed % 2**64], np.uint64)))


def numbers(seed: int, start: int, count: int) -> np.ndarray:
    """The random numbers start, start + 1, … of the stream of a seed: [count] uint64, however they are asked for."""
    places = np.arange(start, start + count, dtype=np.uint64)
    return _mix(_mix(np.asarray([seed % 2**64], np.uint64)) + places)


def _hash_raw(id_map: IdMap) -> np.ndarray:
    """FNV-1a over the code points of each raw id, mixed: [n] uint64, whatever the width of the array."""
    raw = np.ascontiguousarray(id_map.raw)
    width = raw.dtype.itemsize // 4
    hashes = np.full(len(raw), 0xCBF29CE484222325, np.uint64)
    codes = raw.view(np.uint32).reshape(len(raw), width) if width else np.zeros((len(raw), 0), np.uint32)
    for column in range(width):
        code = codes[:, column].astype(np.uint64)
        hashes = np.where(code > 0, (hashes ^ code) * np.uint64(0x100000001B3), hashes)
    return _mix(hashes)


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection that spreads every bit. uint64."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
