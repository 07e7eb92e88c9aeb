"""Writes minimal pairs of English sentences, made from a small grammar, as JSON lines.

    python examples/minimal_pairs.py > pairs.jsonl

It is a small stand-in for BLiMP (Warstadt et al. 2020): ten phenomena, twenty pairs of each.
`examples/minimal-pairs.jsonl` is what it writes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

PEOPLE = ["boy", "king", "teacher", "doctor", "soldier", "writer", "player", "student"]
MEN, WOMEN = ["king", "boy", "man", "father"], ["queen", "girl", "woman", "mother"]
THINGS = ["house", "book", "song", "ship", "church", "game", "film", "river"]
PLACES = ["near the church", "in the town", "behind the house", "from the north"]
#: base, third person, past, participle; all with an object
VERBS = [
    ("write", "writes", "wrote", "written"),
    ("see", "sees", "saw", "seen"),
    ("take", "takes", "took", "taken"),
    ("know", "knows", "knew", "known"),
    ("give", "gives", "gave", "given"),
    ("choose", "chooses", "chose", "chosen"),
]
ALONE = [
    ("come", "comes"),
    ("live", "lives"),
    ("work", "works"),
    ("die", "dies"),
    ("sing", "sings"),
]
TRANSITIVE = ["found", "built", "bought", "used", "followed", "visited"]
INTRANSITIVE = ["arrived", "died", "slept", "appeared", "existed", "laughed"]

Pair = tuple[str, str]  # good, bad


def plural(noun: str) -> str:
    irregular = {"man": "men", "woman": "women", "church": "churches"}
    return irregular.get(noun, noun + "s")


def agreement(draw: random.Random) -> Pair:
    noun, (base, third) = draw.choice(PEOPLE), draw.choice(ALONE)
    place = draw.choice(["here", "there", "in the town", "every day"])
    if draw.random() < 0.5:
        return f"The {noun} {third} {place}.", f"The {noun} {base} {place}."
    return f"The {plural(noun)} {base} {place}.", f"The {plural(noun)} {third} {place}."


def agreement_with_distractor(draw: random.Random) -> Pair:
    noun, other = draw.sample(PEOPLE, 2)
    be = draw.choice([("is", "are"), ("was", "were"), ("has", "have")])
    rest = "a house" if be[0] == "has" else "in the town"
    if draw.random() < 0.5:
        start = f"The {noun} of the {plural(other)}"
        return f"{start} {be[0]} {rest}.", f"{start} {be[1]} {rest}."
    start = f"The {plural(noun)} of the {other}"
    return f"{start} {be[1]} {rest}.", f"{start} {be[0]} {rest}."


def determiners(draw: random.Random) -> Pair:
    noun, verb = draw.choice(THINGS), draw.choice(TRANSITIVE)
    singular, many = draw.choice([("this", "these"), ("that", "those")])
    start = f"The {draw.choice(PEOPLE)} {verb}"
    if draw.random() < 0.5:
        return f"{start} {singular} {noun}.", f"{start} {many} {noun}."
    return f"{start} {many} {plural(noun)}.", f"{start} {singular} {plural(noun)}."


def anaphors(draw: random.Random) -> Pair:
    nouns, own, other = draw.choice([(MEN, "himself", "herself"), (WOMEN, "herself", "himself")])
    start = f"The {draw.choice(nouns)} {draw.choice(['saw', 'killed', 'described', 'found'])}"
    place = draw.choice(PLACES)
    return f"{start} {own} {place}.", f"{start} {other} {place}."


def polarity(draw: random.Random) -> Pair:
    noun, verb = draw.choice(PEOPLE), draw.choice(VERBS)[3]
    thing = draw.choice(THINGS)
    good = f"No {noun} has ever {verb} the {thing}."
    return good, good.replace("No ", "The ")


def argument_structure(draw: random.Random) -> Pair:
    start = f"The {draw.choice(PEOPLE)}"
    end = f"the {draw.choice(THINGS)}, and it was good."
    return (
        f"{start} {draw.choice(TRANSITIVE)} {end}",
        f"{start} {draw.choice(INTRANSITIVE)} {end}",
    )


def irregular_forms(draw: random.Random) -> Pair:
    _, _, past, participle = draw.choice(VERBS)
    noun, thing = draw.choice(PEOPLE), draw.choice(THINGS)
    if draw.random() < 0.5:
        return f"The {noun} {past} the {thing}.", f"The {noun} {participle} the {thing}."
    return f"The {noun} has {participle} the {thing}.", f"The {noun} has {past} the {thing}."


def contractions(draw: random.Random) -> Pair:
    noun, (base, _) = draw.choice(PEOPLE), draw.choice(ALONE)
    one, many = draw.choice([("doesn't", "don't"), ("isn't", "aren't"), ("wasn't", "weren't")])
    rest = f"{base} here" if one == "doesn't" else draw.choice(PLACES)
    if draw.random() < 0.5:
        return f"The {noun} {one} {rest}.", f"The {noun} {many} {rest}."
    return f"The {plural(noun)} {many} {rest}.", f"The {plural(noun)} {one} {rest}."


def word_order(draw: random.Random) -> Pair:
    noun, thing = draw.choice(PEOPLE), draw.choice(THINGS)
    adjective = draw.choice(["old", "new", "young", "small", "great"])
    start = f"In the end, the {noun} {draw.choice(TRANSITIVE)}"
    return f"{start} the {adjective} {thing}.", f"{start} the {thing} {adjective}."


def possessives(draw: random.Random) -> Pair:
    noun, thing = draw.choice(PEOPLE), draw.choice(THINGS)
    adjective, quality = draw.choice(["new", "old", "first", "last"]), draw.choice(["good", "long"])
    end = f"{adjective} {thing} was {quality}."
    return f"The {noun}'s {end}", f"The {noun}'ll {end}"


PHENOMENA: dict[str, Callable[[random.Random], Pair]] = {
    "subject-verb agreement": agreement,
    "agreement with a distractor": agreement_with_distractor,
    "determiner-noun agreement": determiners,
    "anaphor agreement": anaphors,
    "negative polarity": polarity,
    "argument structure": argument_structure,
    "irregular forms": irregular_forms,
    "contractions": contractions,
    "word order": word_order,
    "possessives": possessives,
}


def main() -> None:
    draw = random.Random(0)
    for name, make in PHENOMENA.items():
        pairs: dict[Pair, None] = {}
        while len(pairs) < 20:
            pairs[make(draw)] = None
        for number, (good, bad) in enumerate(pairs):
            fields = {"sentence_good": good, "sentence_bad": bad, "linguistics_term": name}
            print(json.dumps(fields | {"pair_id": number}))


if __name__ == "__main__":
    main()
