"""Countries, cities, stores, currencies and the names of people."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from faker.providers.person.de_DE import Provider as German
from faker.providers.person.en_GB import Provider as British
from faker.providers.person.es_ES import Provider as Spanish
from faker.providers.person.fr_FR import Provider as French
from faker.providers.person.ja_JP import Provider as Japanese

from sandbox.store.exact import rng


@dataclass(frozen=True)
class Store:
    """One shop front.

    Attributes:
        tax: standard rate in hundredths of a percent.
        factor: its list price per 1000 of the catalogue's price.
        share: customers per 100.
    """

    id: str
    currency: str
    tax_included: bool
    tax: int
    factor: int
    share: int
    zero_rated_books: bool = False


STORES = (
    Store("uk", "GBP", True, 2000, 1000, 33, zero_rated_books=True),
    Store("trade", "GBP", False, 2000, 720, 40, zero_rated_books=True),
    Store("intl", "GBP", False, 0, 880, 15),
    Store("eu", "EUR", True, 2100, 1040, 6),
    Store("us", "USD", False, 825, 900, 4),
    Store("jp", "JPY", True, 1000, 1080, 1),
    Store("gulf", "KWD", False, 500, 950, 1),
)
UK, TRADE, INTL, EU, US, JP, GULF = range(7)

CURRENCIES = ("GBP", "EUR", "USD", "JPY", "KWD")
PLACES = (2, 2, 2, 0, 3)
"""Decimals of each currency."""
STORE_CURRENCY = np.array([CURRENCIES.index(s.currency) for s in STORES])

# code, name, weight in each of (intl, eu, us, jp, gulf), calling code, locale, cities
# city: name, region, lat, lng
_COUNTRIES = """
GB|0 0 0 0 0|44|en_GB|
  London,Greater London,51.51,-0.13;Manchester,Greater Manchester,53.48,-2.24;
  Birmingham,West Midlands,52.49,-1.89;Leeds,West Yorkshire,53.80,-1.55;
  Glasgow,Scotland,55.86,-4.25;Bristol,South West,51.45,-2.59;Cardiff,Wales,51.48,-3.18;
  Belfast,Northern Ireland,54.60,-5.93;Norwich,East of England,52.63,1.30;
  York,North Yorkshire,53.96,-1.08
DE|14 32 0 0 0|49|de_DE|
  Berlin,Berlin,52.52,13.41;Hamburg,Hamburg,53.55,9.99;München,Bayern,48.14,11.58;
  Köln,Nordrhein-Westfalen,50.94,6.96
FR|14 26 0 0 0|33|fr_FR|
  Paris,Île-de-France,48.86,2.35;Lyon,Auvergne-Rhône-Alpes,45.76,4.84;
  Marseille,Provence,43.30,5.37
IE|12 10 0 0 0|353|en_IE|Dublin,Leinster,53.35,-6.26;Cork,Munster,51.90,-8.47
ES|6 9 0 0 0|34|es_ES|Madrid,Madrid,40.42,-3.70;Barcelona,Catalunya,41.39,2.17
NL|8 10 0 0 0|31|nl_NL|Amsterdam,Noord-Holland,52.37,4.90;Rotterdam,Zuid-Holland,51.92,4.48
BE|6 6 0 0 0|32|fr_BE|Bruxelles,Bruxelles,50.85,4.35
IT|4 7 0 0 0|39|it_IT|Milano,Lombardia,45.46,9.19;Roma,Lazio,41.90,12.50
CH|6 0 0 0 0|41|de_CH|Zürich,Zürich,47.37,8.54
AT|3 5 0 0 0|43|de_AT|Wien,Wien,48.21,16.37
PT|3 4 0 0 0|351|pt_PT|Lisboa,Lisboa,38.72,-9.14
SE|4 0 0 0 0|46|sv_SE|Stockholm,Stockholm,59.33,18.07
NO|4 0 0 0 0|47|no_NO|Oslo,Oslo,59.91,10.75
DK|3 0 0 0 0|45|da_DK|København,Hovedstaden,55.68,12.57
FI|2 4 0 0 0|358|fi_FI|Helsinki,Uusimaa,60.17,24.94
PL|2 0 0 0 0|48|pl_PL|Warszawa,Mazowieckie,52.23,21.01
AU|5 0 0 0 0|61|en_AU|Sydney,New South Wales,-33.87,151.21
CA|2 0 12 0 0|1|en_CA|Toronto,Ontario,43.65,-79.38
US|2 0 88 0 0|1|en_US|
  New York,New York,40.71,-74.01;Los Angeles,California,34.05,-118.24;
  Chicago,Illinois,41.88,-87.63;Austin,Texas,30.27,-97.74
JP|1 0 0 1 0|81|ja_JP|東京,東京都,35.68,139.69;大阪市,大阪府,34.69,135.50
KW|0 0 0 0 8|965|ar_KW|Kuwait City,Al Asimah,29.38,47.98
BH|1 0 0 0 2|973|ar_BH|Manama,Capital,26.23,50.59
AE|2 0 0 0 0|971|en_AE|Dubai,Dubai,25.20,55.27
SA|1 0 0 0 0|966|ar_SA|Riyadh,Riyadh,24.71,46.68
LB|1 0 0 0 0|961|ar_LB|Beirut,Beirut,33.89,35.50
IL|1 0 0 0 0|972|he_IL|Tel Aviv,Tel Aviv,32.09,34.78
GR|1 3 0 0 0|30|el_GR|Αθήνα,Attica,37.98,23.73
CY|2 2 0 0 0|357|el_CY|Nicosia,Nicosia,35.19,33.38
MT|1 1 0 0 0|356|en_MT|Valletta,Valletta,35.90,14.51
IS|1 0 0 0 0|354|is_IS|Reykjavík,Capital,64.15,-21.94
LT|1 1 0 0 0|370|lt_LT|Vilnius,Vilnius,54.69,25.28
CZ|1 0 0 0 0|420|cs_CZ|Praha,Praha,50.08,14.44
SG|2 0 0 0 0|65|en_SG|Singapore,Singapore,1.35,103.82
HK|2 0 0 0 0|852|zh_HK|Hong Kong,Hong Kong,22.32,114.17
BR|1 0 0 0 0|55|pt_BR|São Paulo,São Paulo,-23.55,-46.63
ZA|1 0 0 0 0|27|en_ZA|Cape Town,Western Cape,-33.92,18.42
LU|1 1 0 0 0|352|fr_LU|Luxembourg,Luxembourg,49.61,6.13
"""


@dataclass(frozen=True)
class Country:
    """A country that the shop delivers to."""

    code: str
    weights: tuple[int, ...]
    calling: str
    locale: str
    cities: tuple[tuple[str, str, float, float], ...]


def _parse() -> tuple[Country, ...]:
    countries = []
    for row in _COUNTRIES.strip().replace("\n  ", "").splitlines():
        code, weights, calling, locale, cities = row.split("|")
        parsed = tuple(
            (name, region, float(lat), float(lng))
            for name, region, lat, lng in (city.split(",") for city in cities.split(";"))
        )
        numbers = tuple(int(w) for w in weights.split())
        countries.append(Country(code, numbers, calling, locale, parsed))
    return tuple(countries)


COUNTRIES = _parse()
"""37 countries."""

HOLIDAY_GROUPS = ("GB", "DE", "FR", "US", "JP", "KW", "other")
COUNTRY_GROUP = np.array(
    [HOLIDAY_GROUPS.index(c.code) if c.code in HOLIDAY_GROUPS else 6 for c in COUNTRIES]
)

STREETS = (
    "High Street", "Station Road", "Church Lane", "Victoria Road", "Mill Lane", "Park Avenue",
    "King Street", "Queen's Road", "Green Lane", "Albert Road", "Rue de l'Église", "Hauptstraße",
    "Bahnhofstraße", "Calle Mayor", "Via Roma", "Main Street", "Oak Avenue", "Elm Drive",
)  # fmt: skip


def _words(source: object) -> list[str]:
    return list(dict.fromkeys(source))


@cache
def names(locale: str) -> tuple[list[str], list[str], list[str]]:
    """Female first names, male first names and last names of a locale's language (Faker's)."""
    provider = {"de": German, "fr": French, "es": Spanish, "ja": Japanese}.get(locale[:2], British)
    if provider is Japanese:
        return (
            _words(p[0] for p in Japanese.first_name_female_pairs),
            _words(p[0] for p in Japanese.first_name_male_pairs),
            _words(p[0] for p in Japanese.last_name_pairs),
        )
    female = getattr(provider, "first_names_female", provider.first_names)
    male = getattr(provider, "first_names_male", provider.first_names)
    return _words(female), _words(male), _words(provider.last_names)


def rates(seed: int, first_day: int, last_day: int) -> np.ndarray:
    """GBP for one unit of each currency and day, in units of 1e-8.

    A bounded random walk in integers around long-run levels.
    Shape: (currencies, last_day - first_day).
    """
    days = last_day - first_day
    table = np.full((len(CURRENCIES), days), 100_000_000, dtype=np.int64)
    levels = {"EUR": 85_500_000, "USD": 77_000_000, "JPY": 560_000, "KWD": 252_000_000}
    for index, code in enumerate(CURRENCIES[1:], start=1):
        steps = rng(seed, "rates", index).integers(-45, 46, days)  # of 10,000 a day
        level, rate = levels[code], levels[code]
        for day in range(days):
            pull = (level - rate) // 200
            rate += rate * int(steps[day]) // 10_000 + pull
            table[index, day] = rate
    return table
