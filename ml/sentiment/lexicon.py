"""Scores of texts by lists of words: VADER for moods, a list of our own for aspects.

Source of the moods: Hutto & Gilbert 2014, ICWSM; the lexicon reads English.
"""

from __future__ import annotations

import html
import re

import numpy as np
import pandas as pd
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

# by VADER's authors: between them a text is neutral
NEUTRAL = 0.05
# the words of longer texts repeat their mood; a pasted manual must not take minutes
MOST_CHARACTERS = 2000

_TAG = re.compile(r"<[^>]{0,200}>")

# what shops are praised and blamed for, by the beginnings of words in the commonest languages
ASPECTS: dict[str, str] = {
    "quality": r"quality|qualit|cheaply|flimsy|sturdy|well made|workmanship|calidad|verarbeit",
    "durability": r"broke|broken|break|crack|fell apart|worn|durab|lasted|kaputt|cass|rompi",
    "delivery": r"deliver|arriv|shipp|late\b|courier|liefer|angekommen|livr|lleg|env[ií]o",
    "packaging": r"packag|packed|box\b|wrapp|verpack|emball|embal",
    "price": r"price|value|money|expensive|cheap\b|overpriced|preis|geld|prix|argent|precio|dinero",
    "size": r"size|fit\b|fits|small|large|tight|gr[oö][sß]|passt|taille|petit|talla|peque",
    "look": r"colou?r|beautiful|pretty|design|looks?\b|photo|farbe|sch[oö]n|couleur|joli|bonit",
    "service": r"service|support|refund|return|customer care|erstatt|rembours|devol|reembols",
    "description": r"describ|description|advertis|not as|misleading|beschreib|d[eé]cri|descri",
}
_ASPECTS = {name: re.compile(rf"\b(?:{words})") for name, words in ASPECTS.items()}


def clean(texts: pd.Series) -> pd.Series:
    """Text without tags and entities, cut to `MOST_CHARACTERS`; missing is empty."""
    return (
        texts.fillna("")
        .astype(str)
        .map(lambda text: html.unescape(_TAG.sub(" ", text))[:MOST_CHARACTERS].strip())
    )


def moods(texts: pd.Series) -> np.ndarray:
    """VADER's compound, positive and negative score of each text, shape (n, 3).

    Equal texts are scored once: shops have many ("Great!"), and VADER takes a third of a
    millisecond each.
    """
    analyser = SentimentIntensityAnalyzer()
    codes, different = pd.factorize(texts)
    scores = np.zeros((len(different), 3))
    for i, text in enumerate(different):
        found = analyser.polarity_scores(text)
        scores[i] = found["compound"], found["pos"], found["neg"]
    return scores[codes] if len(codes) else scores


def aspects(texts: pd.Series) -> dict[str, np.ndarray]:
    """Which texts speak of each aspect: booleans of shape (n,) by name."""
    lower = texts.str.lower()
    codes, different = pd.factorize(lower)
    found = {}
    for name, words in _ASPECTS.items():
        hits = np.array([bool(words.search(text)) for text in different], dtype=bool)
        found[name] = hits[codes] if len(codes) else hits
    return found
