"""Profiles: codes of files, the income rule, and figures of the history against a count by hand."""

import math

import numpy as np
import pytest

from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.item_words import ItemWords, read_item_words
from jaxrec.data.prepared import load_dataset
from jaxrec.data.profiles import behaviour
from jaxrec.data.profiles.build import build_profiles
from jaxrec.data.profiles.demographics import read_demographics
from jaxrec.data.profiles.files import read_profiles, write_profiles
from jaxrec.data.profiles.income import income_field, read_income_table
from jaxrec.data.profiles.table import UNKNOWN, field_of, join
from jaxrec.data.sample import make_sample
from jaxrec.data.sample.vocabulary import DEMOGRAPHICS
from jaxrec.errors import UserError
from tests.data.making import interactions

RAW = (["7", "8", "9", "10"], ["a", "b", "c", "d"])
TRAIN = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 0), (2, 0), (2, 1)]
WORDS = ItemWords(("A", "B", "C", "D"), (("drama",), ("drama", "war"), ("comedy",), ()))


def world(train=TRAIN):
    """Four users, of whom the last has no training interaction."""
    parts = [interactions(pairs, raw=RAW) for pairs in (train, [(3, 0), (1, 2)], [(3, 1), (2, 3)])]
    return Dataset("tiny", "path", *parts, sha256="0" * 64, provenance={})


def test_figures_of_the_history_are_those_counted_by_hand():
    dataset = world()
    np.testing.assert_array_equal(behaviour.activity(dataset), [4, 1, 2, np.nan])
    # Training users of a, b, c, d: 3, 2, 1, 1.
    log = [math.log(1 + count) for count in (3, 2, 1, 1)]
    wanted = [sum(log) / 4, log[0], (log[0] + log[1]) / 2, np.nan]
    np.testing.assert_allclose(behaviour.popularity_affinity(dataset), wanted)

    def entropy(*parts):
        return -sum(part * math.log(part) for part in parts)

    # User 7: drama 1 + 1/2, war 1/2, comedy 1. User 9: drama 1 + 1/2, war 1/2.
    wanted = [entropy(0.5, 1 / 6, 1 / 3), 0.0, entropy(0.75, 0.25), np.nan]
    np.testing.assert_allclose(behaviour.category_entropy(dataset, WORDS), wanted, atol=1e-7)


def test_nothing_but_the_training_part_is_read():
    fields = behaviour.behaviour_fields(world(), WORDS)
    other = world()
    other = Dataset("tiny", "path", other.train, *(interactions([(0, 3), (1, 1)], raw=RAW),) * 2, "0" * 64, {})
    for (field, codes), (same, others) in zip(fields, behaviour.behaviour_fields(other, WORDS), strict=True):
        assert field == same
        np.testing.assert_array_equal(codes, others)
        assert codes[3] == 0  # in the held-out parts only
    assert [field.name for field, _ in fields] == ["activity", "popularity_affinity", "acceptance_of_new_items"]
    assert fields[0][1].tolist() == [3, 1, 2, 0]
    assert len(behaviour.behaviour_fields(world(), ItemWords(("",) * 4, ((),) * 4))) == 2


def test_thirds_are_equal_in_number_and_keep_equals_together():
    values = np.random.default_rng(0).permutation(300).astype(float)
    assert np.bincount(behaviour.thirds(values)).tolist() == [100, 100, 100]
    tied = np.repeat([1.0, 2.0, 3.0, np.nan], 50)
    assert behaviour.thirds(tied).tolist() == [0] * 50 + [1] * 50 + [2] * 50 + [-1] * 50
    assert behaviour.thirds(np.array([np.nan])).tolist() == [-1]


DAT = "7::F::25::11::10001\n8::M::1::10::\n9::M::56::0::V6B1A1\n99::F::18::4::90210-1234\n"


def test_movielens_users_by_their_code_lists(tmp_path):
    (tmp_path / "users.dat").write_text(DAT)
    table = join(read_demographics(str(tmp_path / "users.dat"), DataConfig(), world()), 4)
    assert table.described(0) == {
        "gender": "female",
        "age": "25-34",
        "occupation": "lawyer",
        "location": "New York, Pennsylvania and Delaware",
    }
    assert table.described(1) == {"gender": "male", "age": "under 18", "occupation": "K-12 student"}
    # A foreign zip code tells no place; a user without a line is unknown in all.
    assert table.described(2) == {"gender": "male", "age": "56 and over", "occupation": "other"}
    assert table.described(3) == {}
    assert table.codes[3].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7::F::25::11\n", "line 1: found 4 fields"),
        ("7::F::25::11::1\n8::X::25::11::1\n", "line 2: gender 'X'"),
        ("7::F::25::77::1\n", "occupation '77'"),
        ("7::F::25::1::1\n7::F::25::1::1\n", "line 2: user '7'"),
        ("1::F::25::1::1\n", "none of its 1 users"),
        ("", "line 1"),
    ],
)
def test_a_damaged_users_file_is_named(tmp_path, text, said):
    (tmp_path / "users.dat").write_text(text)
    with pytest.raises(UserError, match=said):
        read_demographics(str(tmp_path / "users.dat"), DataConfig(), world())


def test_a_table_of_the_users_own(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('city,user,plan\n"Bonn, ""am Rhein""",7,free\n,9,\nUlm,8,"pro\u2028plan"\n', encoding="utf-8")
    table = join(read_demographics(str(path), DataConfig(), world()), 4)
    assert [table.described(user) for user in range(4)] == [
        {"city": 'Bonn, "am Rhein"', "plan": "free"},
        {"city": "Ulm", "plan": "pro plan"},
        {},
        {},
    ]
    for text, said in [
        ("user\n7\n", "line 1"),
        ("user,a\n7\n", "line 2: found 1 fields"),
        ("user,a\n7,1\n7,2\n", "line 3"),
        ('user,a\n7,"x', "no CSV"),
        ("user,a,a\n", "each once"),
    ]:
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read_demographics(str(path), DataConfig(), world())
    path.write_bytes(b"user,a\n7,\xff\n")
    with pytest.raises(UserError, match="UTF-8"):
        read_demographics(str(path), DataConfig(), world())
    with pytest.raises(UserError, match="no file"):
        read_demographics(str(tmp_path / "nowhere"), DataConfig(), world())


def test_income_is_what_the_rules_say(tmp_path):
    (tmp_path / "rules.toml").write_text(
        'levels = ["low", "middle", "high"]\n[occupation]\nlawyer = 2\nwriter = 0\n[place]\ncapital = 1\nvillage = -1\n'
    )
    table = read_income_table(str(tmp_path / "rules.toml"))
    assert table.level("lawyer", "capital") == "high"  # already the highest
    assert table.level("lawyer", "village") == "middle"
    assert table.level("writer", "capital") == "middle"
    assert table.level("writer", None) == "low"
    assert table.level("poet", "capital") is None
    assert table.level(None, "capital") is None
    said = [
        field_of("occupation", "", ["writer", None, "poet"]),
        field_of("location", "", ["capital", "capital", None]),
    ]
    field, codes = income_field(table, join(said, 3))
    assert [field.categories[code] for code in codes] == ["middle", UNKNOWN, UNKNOWN]
    assert income_field(table, join([], 3)) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("levels = ['a']\n[occupation]", "at least two"),
        ("levels = ['a', 'a']\n[occupation]", "once"),
        ("levels = ['a', 'b']", "occupation: found None"),
        ("levels = ['a', 'b']\n[occupation]\nx = 2", "occupation.x: found 2"),
        ("levels = ['a', 'b']\n[occupation]\nx = true", "found True"),
        ("levels = ['a', 'b']\n[occupation]\n[places]", "'places'"),
        ("levels = ", "TOML"),
    ],
)
def test_a_table_of_rules_that_does_not_fit_is_named(tmp_path, text, said):
    (tmp_path / "rules.toml").write_text(text)
    with pytest.raises(UserError, match=said):
        read_income_table(str(tmp_path / "rules.toml"))


def test_shipped_tables_know_the_names_of_their_data_sets():
    from jaxrec.data.profiles.demographics import OCCUPATIONS, REGIONS

    ml1m, sample = read_income_table("ml1m"), read_income_table("sample")
    assert set(ml1m.occupation) == set(OCCUPATIONS.values()) - {"other", "retired"}
    assert set(ml1m.place) <= set(REGIONS.values())
    assert set(sample.occupation) <= set(DEMOGRAPHICS["occupation"])
    assert set(sample.place) <= set(DEMOGRAPHICS["region"])


def test_the_table_survives_the_disk_in_any_order_of_users(tmp_path):
    dataset = world()
    columns = [
        field_of("age", "x", ["old", None, "young", "old"], ["young"]),
        *behaviour.behaviour_fields(dataset, WORDS),
    ]
    table = join(columns, 4)
    write_profiles(tmp_path, table, dataset.users)
    again = read_profiles(tmp_path, dataset.users)
    assert again.fields == table.fields
    np.testing.assert_array_equal(again.codes, table.codes)
    turned = interactions([(0, 0)], raw=(["10", "new", "7"], ["a"])).users
    np.testing.assert_array_equal(read_profiles(tmp_path, turned).codes, table.codes[[3, 0, 0]] * [[1], [0], [1]])
    strangers = interactions([(0, 0)], raw=(["x"], ["a"])).users
    with pytest.raises(UserError, match="none of its 4 users"):
        read_profiles(tmp_path, strangers)
    (tmp_path / "fields.json").write_text("[]")
    with pytest.raises(UserError, match="columns"):
        read_profiles(tmp_path, dataset.users)
    (tmp_path / "profiles.parquet").write_bytes(b"no")
    with pytest.raises(UserError, match="not a whole table"):
        read_profiles(tmp_path, dataset.users)


def test_names_twice_and_numbers_in_place_of_groups_are_refused():
    column = field_of("age", "x", ["old"])
    with pytest.raises(UserError, match="age is given by two"):
        join([column, column], 1)
    with pytest.raises(UserError, match="put numbers into groups"):
        field_of("height", "x", [str(number) for number in range(1000)])


def test_the_sample_gives_its_planted_traits_and_tags():
    dataset = load_dataset(DataConfig())
    table = join(read_demographics(None, DataConfig(), dataset), dataset.num_users)
    sample = make_sample()
    assert [field.name for field in table.fields] == ["gender", "age", "occupation", "location"]
    for user in (0, 17, 400):
        place = sample.interactions.users.encode([dataset.users.raw[user]])[0]
        wanted = {trait: values[sample.demographics[trait][place]] for trait, values in DEMOGRAPHICS.items()}
        assert table.described(user) == {
            {"age_group": "age", "region": "location"}.get(trait, trait): value for trait, value in wanted.items()
        }
    words = read_item_words(DataConfig(), dataset)
    names, shares = words.shares()
    assert {"cozy", "ranked", "space", "farming"} <= set(names)
    assert len(names) == 34
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert all(words.titles)


@pytest.mark.real_data
def test_movielens_1m_profiles(real_data):
    from jaxrec.data.profiles.demographics import OCCUPATIONS

    lines = (real_data / "ml-1m" / "users.dat").read_text().splitlines()
    raw = [line.split("::")[0] for line in lines]
    part = interactions([(user, 0) for user in range(len(raw))], raw=(raw, ["1"]))
    dataset = Dataset("ml1m", "path", part, part, part, "0" * 64, {})
    table = join(read_demographics(str(real_data / "ml-1m" / "users.dat"), DataConfig(), dataset), len(raw))
    assert len(table.codes) == 6040
    # 1709 women and 4331 men, as every description of the set has it; all of the README's occupations occur.
    assert np.bincount(table.column("gender")).tolist() == [0, 1709, 4331]
    assert (np.bincount(table.column("occupation"), minlength=22)[1:] > 0).all()
    assert set(table.fields[2].categories[1:]) == set(OCCUPATIONS.values())
    # Zip codes of six and of seven digits: 11 and 3 of them.
    assert (table.column("location") == 0).sum() == 14
    _, codes = income_field(read_income_table("ml1m"), table)
    assert np.bincount(codes, minlength=5).min() > 300


@pytest.mark.real_data
@pytest.mark.parametrize(("min_rating", "counts"), [(None, (999_112, 6_040, 3_342)), (3.0, (835_604, 6_038, 3_277))])
def test_movielens_1m_by_the_table_and_by_the_text_of_uim(real_data, tmp_path, min_rating, counts):
    # The copy lacks the films of fewer than 10 ratings: by Table I there are 999,611, 6,040 and 3,416.
    kept = FilterConfig(min_rating=min_rating, user_core=5, item_core=5)
    config = DataConfig(
        name="ml-1m", path=str(real_data / "ml-1m"), filter=kept, ratio=(8.0, 1.0, 1.0), order="temporal",
        cache=str(tmp_path),
    )  # fmt: skip
    dataset = load_dataset(config)
    assert (dataset.num_events, dataset.num_users, dataset.num_items) == counts
    table = build_profiles(config, dataset)
    assert [field.name for field in table.fields][:5] == ["gender", "age", "occupation", "location", "income"]
    assert (table.codes[:, :3] > 0).all()
