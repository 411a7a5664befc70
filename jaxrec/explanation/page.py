"""One readable page out of an explanation: no script, no file but itself; the pictures of UiM's case study (Fig. 5-7).

Titles, ids and what an agent said are strangers' words: they are escaped, and the page's policy forbids everything but
its own style.
"""

from __future__ import annotations

import html
import importlib.resources
from collections.abc import Sequence
from typing import Any

from jaxrec.figures import COLOURS
from jaxrec.precompute.untrusted_text import clean_text

_MADE_OF = 8
"""Events that an interest's card shows: those with most weight."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_WEIGHTS = {
    "routing": "A bar is the weight with which routing put the item into the interest.",
    "likeness": "This model does not say what its interests are made of: a bar is how like the item's vector is to the "
    "interest (cosine).",
    "none": "This model scores by itself: it has no interests to show.",
}


def as_html(explanation: dict[str, Any]) -> str:
    """The whole page of what `explain_users` gives."""
    style = importlib.resources.files("jaxrec.explanation").joinpath("page.css").read_text(encoding="utf-8")
    title = f"Why these recommendations: {explanation['name']}"
    users = explanation["users"]
    links = [f'<a href="#user-{place}">{_told(user["user"])}</a>' for place, user in enumerate(users)]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(clean_text(title, 200))}</title><style>{style}</style></head><body>",
        f"<header><h1>{_told(title)}</h1>{_heading(explanation)}</header>",
        f"<nav>{''.join(links)}</nav><main>",
        *(_user(place, user, explanation) for place, user in enumerate(users)),
        "</main><footer>Made by jaxrec.explain.</footer></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _heading(explanation: dict[str, Any]) -> str:
    dataset, agent = explanation["dataset"], explanation["refinement"]
    lines = [
        f'<p class="soft">Model {_told(explanation["model"])}, seed {explanation["seed"]}, data '
        f"{_told(dataset['name'])}. Nothing here knows of the test part; what the user chose in it is marked.</p>"
    ]
    if dataset["source"] == "sample":
        lines.append('<p class="note">The data is the built-in sample: synthetic users and items.</p>')
    if agent is not None and agent["simulation"]:
        lines.append(
            '<p class="note">A simulation: this agent reads what is to be predicted. It shows what a good agent could '
            "do, and is no result.</p>"
        )
    return "".join(lines)


def _user(place: int, user: dict[str, Any], explanation: dict[str, Any]) -> str:
    parts = [
        f'<section id="user-{place}"><h2>User {_told(user["user"])}</h2>',
        _profile(user["profile"], explanation["reads_profiles"]),
        "<h3>From what was done to interests, and what each brings</h3>",
        f'<p class="soft">{_WEIGHTS[explanation["weights"]]}</p>',
        f'<div class="columns interests">{_history(user)}',
        *(_interest(interest, user) for interest in user["interests"]),
        "</div>",
        _gates(user["interests"]),
        _recommended(user) if user["agent"] is None else _loop(user),
        "</section>",
    ]
    return "\n".join(parts)


def _profile(profile: dict[str, str], reads: bool) -> str:
    chips = "".join(f"<li>{_told(_words(name))}: <b>{_told(value)}</b></li>" for name, value in profile.items())
    unread = "" if reads else '<p class="soft">The model of this run does not read profiles.</p>'
    return f'<ul class="chips">{chips or "<li>nothing is known of this user</li>"}</ul>{unread}'


def _history(user: dict[str, Any]) -> str:
    """Events in time order, each with its share in every interest (Fig. 6, left)."""
    rows = []
    for place, told in enumerate(user["history"]):
        weights = [max(interest["weights"][place], 0.0) for interest in user["interests"]]
        whole = sum(weights)
        parts = "".join(
            f'<i style="width:{100 * weight / whole:.1f}%;{_colour(interest["interest"])}"></i>'
            for interest, weight in zip(user["interests"], weights, strict=True)
            if whole > 0
        )
        rows.append(f'<li>{_title(told)}<div class="bar">{parts}</div></li>')
    listed = "".join(rows) or "<li>no event before the test part</li>"
    return f'<div class="card history"><h4>What was done, in time order</h4><ol class="long">{listed}</ol></div>'


def _interest(interest: dict[str, Any], user: dict[str, Any]) -> str:
    """One interest: what it is made of, with bars, and what it brings (Fig. 6, right)."""
    pairs = sorted(zip(interest["weights"], user["history"], strict=True), key=lambda pair: -pair[0])[:_MADE_OF]
    most = max((weight for weight, _ in pairs), default=0.0)
    made = "".join(
        f'<li><div class="row"><span class="grow">{_title(told)}</span><span class="figure">{weight:.3f}</span></div>'
        f'<div class="bar"><i style="width:{100 * max(weight, 0.0) / most if most > 0 else 0:.1f}%"></i></div></li>'
        for weight, told in pairs
    )
    brought = [told for told in user["recommendations"] if told["interest"] == interest["interest"]]
    brings = "".join(f"<li>{_ranked(told)}</li>" for told in brought) or '<li class="soft">none of these</li>'
    called = f": {_told(interest['called'])}" if interest["called"] else ""
    return (
        f'<div class="card interest" style="{_colour(interest["interest"])}">'
        f"<h4>Interest {interest['interest'] + 1}{called}</h4>"
        f"<h5>made of</h5><ul>{made or '<li class=soft>no event</li>'}</ul>"
        f"<h5>brings {len(brought)} of {len(user['recommendations'])}</h5><ul>{brings}</ul></div>"
    )


def _gates(interests: Sequence[dict[str, Any]]) -> str:
    """Weights of profile fields for each interest, the darker the more (Fig. 5); nothing where there are none."""
    if not interests or not interests[0]["profile_gates"]:
        return ""
    names = list(interests[0]["profile_gates"])
    header = "".join(f'<th scope="col">{_told(_words(name))}</th>' for name in names)
    rows = ""
    for interest in interests:
        called = f" {_told(interest['called'])}" if interest["called"] else ""
        cells = "".join(_shaded(interest["profile_gates"][name]) for name in names)
        rows += f'<tr><th scope="row">{_dot(interest["interest"])} {interest["interest"] + 1}{called}</th>{cells}</tr>'
    return (
        "<h3>What the profile weighs in each interest</h3>"
        '<p class="soft">0 leaves a field out, 1 takes it whole; the darker, the more.</p>'
        f'<div class="scroll"><table class="gates"><tr><th>interest</th>{header}</tr>{rows}</table></div>'
    )


def _shaded(gate: float | None) -> str:
    if gate is None:
        return "<td>?</td>"
    share = min(max(gate, 0.0), 1.0)
    ink = "#fff" if share > 0.6 else "inherit"
    return f'<td style="background:rgba(0,60,120,{share:.3f});color:{ink}">{gate:.2f}</td>'


def _recommended(user: dict[str, Any]) -> str:
    rows = "".join(f"<li>{_ranked(told)}</li>" for told in user["recommendations"])
    return (
        f"<h3>Recommendations</h3>{_taken_line(user)}"
        f'<div class="card recommended"><ol>{rows or "<li>nothing is left to recommend</li>"}</ol></div>'
    )


def _loop(user: dict[str, Any]) -> str:
    """What was shown, what the simulated user said, what was kept (Fig. 7)."""
    agent = user["agent"]
    shown = "".join(
        f'<li class="{"" if told["kept_at"] else "gone"}">{_ranked(told)}</li>' for told in user["recommendations"]
    )
    before = {told["item"]: told for told in user["recommendations"]}
    kept = "".join(
        f'<li><div class="row"><span class="figure">{place}</span>{_dot(before[told["item"]]["interest"])}'
        f'<span class="grow">{_title(told)}</span>{_mark(before[told["item"]])}'
        f'<span class="figure">{_moved(before[told["item"]]["rank"], place)}</span></div></li>'
        for place, told in enumerate(agent["kept"], start=1)
    )
    who = f"{agent['agent']} ({agent['answered_by']})" if agent["agent"] == "llm" else agent["agent"]
    return (
        f"<h3>The simulated user: {_told(who)}</h3>{_taken_line(user)}"
        f'<div class="columns loop">'
        f'<div class="card"><h4>Shown: {len(user["recommendations"])}</h4><ol>{shown}</ol></div>'
        f'<div class="card said"><h4>Said</h4>{_said(agent)}</div>'
        f'<div class="card kept"><h4>Kept: {len(agent["kept"])}</h4><ol>{kept}</ol></div></div>'
    )


def _said(agent: dict[str, Any]) -> str:
    if agent["said"] is None:
        return "<p>Nothing that could be read: the recommender's order stays.</p>"
    parts = [f"<blockquote>{_told(agent['comments'], 4000)}</blockquote>"] if agent["comments"] else []
    names = "".join(f"<li>{_told(name)}</li>" for name in agent["said"])
    parts.append(f'<h5>{len(agent["said"])} names, the best first</h5><ol class="long">{names}</ol>')
    if agent["unknown"]:
        parts.append(f'<p class="soft">{len(agent["unknown"])} of these are no candidate and were left out.</p>')
    return "".join(parts)


def _taken_line(user: dict[str, Any]) -> str:
    found = sum(told["taken"] for told in user["recommendations"])
    return (
        f'<p class="soft">In the test part this user chose {user["num_taken"]}; {found} of these stand in the list of '
        f"{len(user['recommendations'])}.</p>"
    )


def _ranked(told: dict[str, Any]) -> str:
    return (
        f'<div class="row"><span class="figure">{told["rank"]}</span>{_dot(told["interest"])}'
        f'<span class="grow">{_title(told)}</span>{_mark(told)}</div>'
    )


def _mark(told: dict[str, Any]) -> str:
    return '<span class="taken">chosen</span>' if told["taken"] else ""


def _moved(before: int, after: int) -> str:
    if before == after:
        return "="
    return f"{'▲' if after < before else '▼'} from {before}"


def _dot(interest: int | None) -> str:
    if interest is None:
        return ""
    return f'<span class="dot" style="{_colour(interest)}" title="interest {interest + 1}"></span>'


def _colour(interest: int) -> str:
    return f"--c:{COLOURS[interest % len(COLOURS)]}"


def _title(told: dict[str, Any]) -> str:
    return _told(told["title"], 160)


def _told(text: str, most: int = 200) -> str:
    """A stranger's words as text and nothing else; what runs from right to left stays inside its place."""
    return f"<bdi>{html.escape(clean_text(text, most))}</bdi>"


def _words(name: str) -> str:
    return name.replace("_", " ")
