"""The words of the sample: why people play, what games are about, how they felt, who they are."""

from __future__ import annotations

from typing import NamedTuple


class Motivation(NamedTuple):
    """Why somebody plays: tag and title words of such games, how a page promises it, a player praises or misses it."""

    name: str
    tag: str
    titles: tuple[str, ...]
    promises: tuple[str, ...]
    praises: tuple[str, ...]
    complaints: tuple[str, ...]


class Theme(NamedTuple):
    """What a game is about: words for its title and phrases for its description."""

    name: str
    titles: tuple[str, ...]
    phrases: tuple[str, ...]


class Emotion(NamedTuple):
    """An emotion of the GoEmotions inventory, its place among the five sentiments, and how reviews open with it."""

    name: str
    sentiment: str
    openings: tuple[str, ...]


MOTIVATIONS = (
    Motivation(
        "relaxation",
        "cozy",
        ("Haven", "Garden", "Dreams"),
        ("unwind after a long day", "gentle pace without pressure", "calm music and soft colours"),
        ("it lets me unwind in the evening", "half an hour of it and I am calm again"),
        ("I hoped to relax and came away tense", "there is nothing calm about it"),
    ),
    Motivation(
        "competition",
        "ranked",
        ("Arena", "League", "Masters"),
        ("climb the ranked ladder", "outplay rivals in tense duels", "weekly tournaments"),
        ("every win on the ladder feels earned", "beating strong rivals keeps me going"),
        ("the ladder is unfair and nobody fights back", "there is no real opponent to beat"),
    ),
    Motivation(
        "challenge",
        "hardcore",
        ("Trials", "Gauntlet", "Ascent"),
        ("brutally hard encounters that reward patience", "master demanding mechanics", "precise timing"),
        ("I finally mastered the hardest part", "it is hard in exactly the right way"),
        ("far too easy, there is nothing to master", "it never asks anything of my skill"),
    ),
    Motivation(
        "story",
        "narrative",
        ("Tales", "Chronicles", "Memories"),
        ("a moving tale with memorable characters", "choices that change the ending", "rich dialogue"),
        ("the characters stayed with me for weeks", "the ending of the story moved me"),
        ("the plot goes nowhere", "I did not care about a single character"),
    ),
    Motivation(
        "exploration",
        "sandbox",
        ("Horizon", "Odyssey", "Wilds"),
        ("roam a vast open map", "hidden paths behind every hill", "discover forgotten secrets"),
        ("I keep wandering off and finding secrets", "there is always another place to discover"),
        ("the map is empty and walled in", "there is nothing to discover off the main path"),
    ),
    Motivation(
        "creativity",
        "builder",
        ("Workshop", "Studio", "Makers"),
        ("build whatever you imagine", "a deep editor for your own designs", "craft and decorate freely"),
        ("I could build what I had in my head", "the editor lets me design for hours"),
        ("the building tools are too limited", "nothing I design looks like my own"),
    ),
    Motivation(
        "friendship",
        "cooperative",
        ("Party", "Club", "Reunion"),
        ("play together on one couch", "four player teamwork", "join your friends online at any moment"),
        ("we laughed together all night", "it brings my friends back every week"),
        ("my friends could never join the session", "it is lonely although it says multiplayer"),
    ),
    Motivation(
        "collecting",
        "collectible",
        ("Album", "Treasury", "Menagerie"),
        ("hundreds of rare finds to complete", "fill every page of the album", "trade cards and trophies"),
        ("only three pieces missing from my set", "hunting for the rare finds is a joy"),
        ("rare finds are locked behind payment", "completing the set is a dull chore"),
    ),
    Motivation(
        "strategy",
        "tactical",
        ("Empire", "Dynasty", "Gambit"),
        ("plan ten moves ahead", "balance a fragile economy", "every decision has a cost"),
        ("my plan came together after many turns", "every decision had me thinking"),
        ("one plan wins every time", "decisions do not matter at all"),
    ),
    Motivation(
        "thrill",
        "adrenaline",
        ("Rush", "Escape", "Inferno"),
        ("heart pounding speed", "explosive action from the first second", "narrow escapes"),
        ("my heart was racing the whole time", "the action never lets go"),
        ("slow and without any tension", "the action fell flat for me"),
    ),
)

THEMES = (
    Theme("space", ("Orbital", "Stellar", "Nebula"), ("among distant stars", "aboard a drifting starship")),
    Theme("medieval", ("Castle", "Knight's", "Feudal"), ("in a walled kingdom", "with swords and banners")),
    Theme("farming", ("Harvest", "Orchard", "Meadow"), ("on a small farm", "through sowing and harvest")),
    Theme("football", ("Striker", "Stadium", "Derby"), ("on the football pitch", "with your own eleven")),
    Theme("racing", ("Turbo", "Grand Prix", "Asphalt"), ("on the race track", "with finely tuned engines")),
    Theme("pirates", ("Corsair", "Buccaneer", "Tidal"), ("under a black flag", "across a pirate sea")),
    Theme("zombies", ("Undead", "Outbreak", "Infected"), ("among the undead", "in an infected city")),
    Theme("cooking", ("Kitchen", "Saffron", "Bistro"), ("in a busy kitchen", "with recipes of the world")),
    Theme("detective", ("Noir", "Alibi", "Inspector"), ("on a murder case", "with clues and suspects")),
    Theme("dragons", ("Dragon", "Wyrm", "Ember"), ("where dragons rule", "beside a fire breathing wyrm")),
    Theme("trains", ("Railway", "Locomotive", "Junction"), ("along the railway", "with steam locomotives")),
    Theme("ocean", ("Abyss", "Coral", "Submarine"), ("deep under the ocean", "between coral and whales")),
    Theme("western", ("Frontier", "Outlaw", "Canyon"), ("in a dusty western town", "with cowboys and outlaws")),
    Theme("robots", ("Android", "Circuit", "Automaton"), ("in a robot factory", "with thinking machines")),
    Theme("ninjas", ("Shinobi", "Katana", "Shadow"), ("as a silent ninja", "over the roofs of Edo")),
    Theme("music", ("Rhythm", "Melody", "Encore"), ("to the beat of the music", "with a band on stage")),
    Theme("dinosaurs", ("Jurassic", "Raptor", "Fossil"), ("among dinosaurs", "in a park of giant reptiles")),
    Theme("city", ("Metropolis", "Skyline", "Borough"), ("in a growing city", "with roads and districts")),
    Theme("war", ("Frontline", "Battalion", "Siege"), ("on the battlefield", "with tanks and infantry")),
    Theme("magic", ("Arcane", "Wizard's", "Sorcery"), ("at a school of magic", "with spells and potions")),
    Theme("cats", ("Whisker", "Feline", "Purring"), ("in a house full of cats", "as a curious kitten")),
    Theme("vampires", ("Crimson", "Nocturne", "Vampire"), ("in a vampire court", "between blood and moonlight")),
    Theme("mountain", ("Summit", "Alpine", "Avalanche"), ("on a snowy mountain", "with rope and ice axe")),
    Theme("myth", ("Olympus", "Titan's", "Oracle"), ("among the old gods", "through Greek legends")),
)

# Sentiments from worst to best; the order is the class id.
SENTIMENTS = ("strong negative", "negative", "neutral", "positive", "strong positive")

EMOTIONS = (
    Emotion("anger", "strong negative", ("This makes me furious.", "I am angry that I paid for this.")),
    Emotion("disgust", "strong negative", ("Revolting.", "It is disgusting what they sell here.")),
    Emotion("annoyance", "negative", ("It got on my nerves.", "So annoying.")),
    Emotion("disappointment", "negative", ("What a letdown.", "I expected more and am disappointed.")),
    Emotion("disapproval", "negative", ("I cannot recommend this.", "No, not like this.")),
    Emotion("sadness", "negative", ("It makes me sad to say this.", "I wanted to love it, sadly I do not.")),
    Emotion("neutral", "neutral", ("I played it for some hours.", "Bought it last week.")),
    Emotion("confusion", "neutral", ("I am not sure what to make of it.", "I do not quite get it.")),
    Emotion("surprise", "neutral", ("I did not see that coming.", "Not what I had in mind at all.")),
    Emotion("approval", "positive", ("Good work.", "Solid, I agree with the good reviews.")),
    Emotion("amusement", "positive", ("It made me laugh.", "Funny little thing.")),
    Emotion("optimism", "positive", ("I think it will only get better.", "I am hopeful for the next update.")),
    Emotion("joy", "strong positive", ("Pure joy.", "I am so happy with this.")),
    Emotion("love", "strong positive", ("I love it.", "I am in love with this game.")),
    Emotion("gratitude", "strong positive", ("Thank you for this gem.", "So grateful that it exists.")),
    Emotion("excitement", "strong positive", ("Wow!", "I am so excited, I cannot stop!")),
)

FILLERS = (
    "Updated every season.", "Made by a small studio.", "Full controller support.", "Winner of two awards.",
    "Runs on older machines.", "Now with a free demo.", "Available in nine languages.", "A fan favourite.",
)  # fmt: skip

DEMOGRAPHICS = {
    "gender": ("female", "male"),
    "age_group": ("under 18", "18-24", "25-34", "35-44", "45-54", "55 and over"),
    "occupation": ("student", "engineer", "teacher", "artist", "health worker", "trader", "retired", "other"),
    "region": ("north", "south", "east", "west", "capital"),
}
