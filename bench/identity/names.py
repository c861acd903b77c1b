"""Names of invented people, from several languages. Whoever bears one of them in fact is not meant."""

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """Names that go together."""

    given: tuple[str, ...]
    surnames: tuple[str, ...]
    has_two_surnames: bool = False  #: people have two surnames and often leave out the second


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ENGLISH = Language(
    _names(
        "James William Robert Michael Thomas Edward Andrew Daniel Matthew Benjamin Samuel Joseph Elizabeth Margaret "
        "Katherine Rebecca Victoria Jennifer Susan Emily Hannah Charlotte Alexandra Patricia Olivia Grace"
    ),
    _names(
        "Smith Baker Miller Carter Hughes Bennett Foster Marsh Palmer Reed Sutton Walsh Harper Dawson Ellis Grant "
        "Holland Jarvis Knight Lowe Morton Norris Osborne Pearce Quinn Rowe Stone Tucker Underwood Vaughan Webb "
        "O'Brien MacLeod Fitzgerald Lee Long Ward Ross"
    ),
)
FRENCH = Language(
    _names(
        "François Hélène René Zoé Jérôme Chloé Anaïs Benoît Cécile Étienne Gaëlle Hervé Inès Julien Léa Mathieu Noémie "
        "Océane Philippe Raphaël Sébastien Thérèse Jean-Luc Marie-Claire"
    ),
    _names(
        "Lefèvre Béranger Chevalier Dufour Évrard Fontaine Gérard Hébert Jacquet Lemoine Mercier Noël Pelletier Roux "
        "Séguin Tessier Vasseur Brunet Côté Gagné Tremblay Bouchard Gauthier Rivière"
    ),
)
GERMAN = Language(
    _names(
        "Jürgen Käthe Günter Björn Sören Jörg Anna Katharina Friedrich Johannes Elisabeth Matthias Sabine Stefan "
        "Ulrike Wolfgang Heike Claudia Sebastian Maximilian Franziska Tobias Hans-Peter Anneliese"
    ),
    _names(
        "Müller Schäfer Köhler König Größer Weiß Krüger Böhm Jäger Förster Vogel Brandt Lindner Seidel Ziegler Winkler "
        "Bergmann Hoffmann Albrecht Thiel Ullrich Sommer Roth Kühn Strauß Pfeiffer"
    ),
)
SPANISH = Language(
    _names(
        "José María Jesús Ángel Lucía Sofía Martín Andrés Óscar Raúl Inés Beatriz Concepción Dolores Francisco "
        "Guadalupe Ignacio Josefina Manuel Rosario Mercedes Alejandro Valentina Sebastián"
    ),
    _names(
        "García Hernández López Martínez Núñez Peña Ramírez Sánchez Vázquez Ybarra Zúñiga Castro Delgado Espinoza "
        "Fuentes Herrera Ibáñez Jiménez Molina Navarro Ortiz Rivas Salazar Tejada"
    ),
    has_two_surnames=True,
)
POLISH = Language(
    _names(
        "Łukasz Małgorzata Paweł Agnieszka Michał Katarzyna Wojciech Elżbieta Grażyna Stanisław Zofia Bartosz "
        "Aleksandra Mateusz Dorota Jolanta"
    ),
    _names(
        "Kowalska Wiśniewski Wójcik Kamińska Zieliński Szymańska Woźniak Dąbrowski Kozłowska Jankowski Mazur Krawczyk "
        "Piotrowska Grabowski Pawłowska Michalski"
    ),
)
TURKISH = Language(
    _names(
        "Ayşe Mehmet Çağla Gökhan Işıl Ömer Şule Ümit Yağmur Burak Emre Fatma Hüseyin Kübra Mustafa Zeynep Tuğba Oğuz"
    ),
    _names(
        "Yılmaz Çelik Şahin Öztürk Yıldız Aydın Kaya Demir Koç Arslan Doğan Güneş Kılıç Polat Taş Uçar Erdoğmuş Toprak"
    ),
)
INDIAN = Language(
    _names(
        "Aarav Priya Rohan Ananya Vikram Deepa Sanjay Kavita Arjun Meera Rajesh Sunita Karthik Lakshmi Nikhil Pooja "
        "Harpreet Gurpreet Manpreet Suresh"
    ),
    _names(
        "Sharma Patel Singh Reddy Iyer Nair Gupta Mehta Joshi Desai Kulkarni Banerjee Chatterjee Rao Pillai Kaur Gill "
        "Bhat Agarwal Menon"
    ),
)
#: the only language here with letters of its own; shops show it in Latin letters, messengers in its own
UKRAINIAN = Language(
    _names("Олена Тарас Оксана Богдан Ірина Андрій Наталія Юрій Катерина Микола Ганна Петро"),
    _names("Коваленко Бондар Ткачук Шевчук Мельник Кравець Лисенко Гончар Савчук Поліщук Мороз Бойко"),
)
LANGUAGES = (ENGLISH, FRENCH, GERMAN, SPANISH, POLISH, TURKISH, INDIAN, UKRAINIAN)

#: which languages the names of a country's people come from, with weights
COUNTRIES = {
    "CA": {ENGLISH: 8, FRENCH: 4, INDIAN: 3, UKRAINIAN: 1, SPANISH: 1, POLISH: 1},
    "US": {ENGLISH: 9, SPANISH: 5, INDIAN: 2, GERMAN: 1, POLISH: 1},
    "GB": {ENGLISH: 12, INDIAN: 4, POLISH: 3, TURKISH: 1},
    "FR": {FRENCH: 12, SPANISH: 2, POLISH: 1, TURKISH: 1},
    "DE": {GERMAN: 12, TURKISH: 4, POLISH: 2, UKRAINIAN: 2, SPANISH: 1},
}

NICKNAMES = {
    "James": ("Jim", "Jamie"),
    "William": ("Bill", "Will", "Liam"),
    "Robert": ("Bob", "Rob"),
    "Michael": ("Mike", "Mick"),
    "Thomas": ("Tom", "Tommy"),
    "Edward": ("Ted", "Ed"),
    "Andrew": ("Andy", "Drew"),
    "Daniel": ("Dan", "Danny"),
    "Matthew": ("Matt",),
    "Benjamin": ("Ben",),
    "Samuel": ("Sam",),
    "Joseph": ("Joe",),
    "Elizabeth": ("Liz", "Beth", "Betty"),
    "Margaret": ("Peggy", "Maggie"),
    "Katherine": ("Kate", "Kathy"),
    "Rebecca": ("Becky",),
    "Victoria": ("Vicky", "Tori"),
    "Jennifer": ("Jen", "Jenny"),
    "Susan": ("Sue",),
    "Charlotte": ("Lottie",),
    "Alexandra": ("Sandra", "Alex"),
    "Patricia": ("Pat", "Trish"),
    "François": ("Fanfan",),
    "Philippe": ("Phil",),
    "Sébastien": ("Seb",),
    "Raphaël": ("Raph",),
    "Katharina": ("Kathi", "Käthe"),
    "Friedrich": ("Fritz",),
    "Johannes": ("Hannes", "Jo"),
    "Elisabeth": ("Lisa", "Sissi"),
    "Matthias": ("Matze",),
    "Stefan": ("Steff",),
    "Sebastian": ("Basti",),
    "Maximilian": ("Max",),
    "Franziska": ("Franzi",),
    "Tobias": ("Tobi",),
    "José": ("Pepe",),
    "María": ("Mari",),
    "Jesús": ("Chuy",),
    "Concepción": ("Concha",),
    "Dolores": ("Lola",),
    "Francisco": ("Paco", "Pancho"),
    "Guadalupe": ("Lupe",),
    "Ignacio": ("Nacho",),
    "Josefina": ("Pepa",),
    "Rosario": ("Charo",),
    "Alejandro": ("Alex",),
    "Małgorzata": ("Gosia",),
    "Agnieszka": ("Aga",),
    "Katarzyna": ("Kasia",),
    "Elżbieta": ("Ela",),
    "Stanisław": ("Staszek",),
    "Aleksandra": ("Ola",),
    "Hüseyin": ("Hüso",),
    "Mustafa": ("Musti",),
    "Lakshmi": ("Lucky",),
    "Harpreet": ("Harry",),
    "Наталія": ("Наташа",),
    "Катерина": ("Катя",),
    "Олена": ("Лєна",),
}
#: what people call themselves in a messenger, beside their name
PSEUDONYMS = ("🌸", "Mama of two", "~ living ~", "Busy", "sunny day", "Papa Bear", "Team Blue", "Gym only", "xX_Kay_Xx")

_LATIN = {
    **dict(zip("абвгґдезийіклмнопрстуф", "abvhgdezyyiklmnoprstuf", strict=True)),
    **dict(zip("ьєжїхцчшщюя", ("", "ie", "zh", "i", "kh", "ts", "ch", "sh", "shch", "iu", "ia"), strict=True)),
}
#: letters that are not a Latin letter with an accent
_PLAIN = str.maketrans({"ł": "l", "Ł": "L", "ß": "ss", "ı": "i", "ø": "o"})
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})


def latin(name: str) -> str:
    """Return a name in Latin letters, with its accents."""
    letters = "".join(_LATIN.get(letter, letter) for letter in name.lower())
    return name if letters == name.lower() else letters.title()


def without_accents(name: str) -> str:
    """Return a name as it is typed on a keyboard that has no accents."""
    return unicodedata.normalize("NFD", name.translate(_PLAIN)).encode("ascii", "ignore").decode()


def spelt_out(name: str) -> str:
    """Return a name as it is typed in German without umlauts: Mueller."""
    return without_accents(name.translate(_GERMAN))
