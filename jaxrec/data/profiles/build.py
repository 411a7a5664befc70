"""All fields of users out of what they say and out of their training history."""

from __future__ import annotations

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.item_words import read_item_words
from jaxrec.data.profiles.behaviour import behaviour_fields
from jaxrec.data.profiles.demographics import read_demographics
from jaxrec.data.profiles.income import IncomeTable, income_field, read_income_table
from jaxrec.data.profiles.table import Columns, Profiles, join
from jaxrec.errors import UserError

_SHIPPED_FOR = {"users.dat": "ml1m", "sample": "sample"}


def build_profiles(
    data: DataConfig, dataset: Dataset, demographics: str | None = None, income_table: str | None = "auto"
) -> Profiles:
    """Demographics, income (UiM Eq. 2), behaviour (Eq. 3), the latter from the training part alone.

    demographics: a file, None for what lies beside the data or the sample has. income_table: a shipped one, a TOML
    file, `auto` for the one shipped for these demographics, None for no income.
    Raises: UserError from the files that it reads, and for an income table where no occupation is known.
    """
    columns = read_demographics(demographics, data, dataset)
    table = income_table_for(income_table, columns)
    if table is not None:
        income = income_field(table, join(columns, dataset.num_users))
        if income is None:
            raise UserError(
                f"profiles.income_table: found {income_table}, but no demographics with an occupation; "
                "allowed: --profiles.demographics FILE, or --profiles.income-table None"
            )
        columns.append(income)
    columns += behaviour_fields(dataset, read_item_words(data, dataset))
    return join(columns, dataset.num_users)


def income_table_for(name: str | None, columns: Columns) -> IncomeTable | None:
    """The table of that name; of `auto`, the one shipped for the source of these demographics."""
    if name == "auto":
        name = _SHIPPED_FOR.get(columns[0][0].source if columns else "none")
    return None if name is None else read_income_table(name)
