"""What a reader makes of files, in a form that a test can compare."""

import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.readers import read
from jaxrec.errors import UserError

AUTO = DataConfig()


def message(path, config=AUTO):
    with pytest.raises(UserError) as caught:
        read(config, path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def events_of(data):
    names = [data.behavior_names[index] for index in data.behaviors]
    users, items = data.users.decode(data.user_ids).tolist(), data.items.decode(data.item_ids).tolist()
    return list(zip(users, items, names, data.timestamps.tolist(), strict=True))
