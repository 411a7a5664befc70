"""Events of a small shop: views, carts and purchases."""

from tests.data.making import interactions

NAMES = ("buy", "cart", "view")
SHOP = ("click=view", "favor=cart+buy")


def events(rows, names=NAMES):
    """Of (user, item, behaviour, time)."""
    users, items, behaviors, times = zip(*rows, strict=True)
    index = [names.index(behavior) for behavior in behaviors]
    return interactions(list(zip(users, items, strict=True)), times=times, behaviors=index, behavior_names=tuple(names))


def rows_of(data):
    names = [data.behavior_names[index] for index in data.behaviors]
    return list(zip(data.user_ids.tolist(), data.item_ids.tolist(), names, data.timestamps.tolist(), strict=True))


def write_events(path, rows):
    lines = [f"{user},{item},{behavior},{time}" for user, item, behavior, time in rows]
    path.write_text("user,item,behavior,timestamp\n" + "\n".join(lines) + "\n")
    return path


def many(users=4):
    """Each user views and buys items 0 to 4; the view comes first, the cart between the two."""
    return [
        (f"u{user}", f"i{item}", behavior, 100 * item + place)
        for user in range(users)
        for item in range(5)
        for place, behavior in enumerate(("view", "cart", "buy"))
    ]
