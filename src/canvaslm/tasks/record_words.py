"""The words that the sentences of the json task are made of."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    """Ada Adam Alice Amir Anna Anton Ben Bianca Carla Carlos Clara Daniel Daria David Diana
    Elena Elif Emil Emma Erik Eva Felix Fiona Frank Grace Hana Hugo Ida Igor Irene Ivan Jakob
    Jana Jonas Julia Karim Kate Lars Laura Leila Leo Lina Lucas Luis Marco Maria Mario Marta
    Maya Mia Mona Nadia Nina Noah Nora Olga Omar Oscar Paul Peter Petra Rania Rosa Ruth Samir
    Sara Silvia Simon Tara Theo Tom Uma Vera Victor Yara Yusuf Zoe"""
)

CITIES = _words(
    """Amman Ankara Athens Berlin Bern Bogota Boston Cairo Chicago Dakar Delhi Denver Dublin
    Geneva Hamburg Hanoi Havana Helsinki Kyoto Lagos Lima Lisbon London Lyon Madrid Manila
    Miami Milan Nairobi Naples Osaka Oslo Paris Porto Prague Quito Riga Rome Seoul Seville
    Sofia Sydney Tokyo Toronto Tunis Turin Vienna Warsaw Zagreb Zurich"""
)

COLOURS = _words("red orange yellow green blue purple pink brown black gray white golden")

ITEMS = _words(
    """apples bags balls baskets bells belts books bottles bowls boxes brushes buckets candles
    chairs clocks coats cups desks dolls doors drums fans flags forks glasses hats jackets
    jars kites knives ladders lamps locks masks mirrors mugs pans pens phones pillows plates
    pots ribbons rings ropes rugs scarves shirts shoes sofas spoons stools tables tents towels
    toys vases"""
)

WEEKDAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")

JOBS = _words(
    """actor baker barber chef clerk dentist doctor driver editor engineer farmer gardener guard
    judge lawyer mechanic miner nurse painter pilot plumber poet porter sailor singer tailor
    teacher waiter writer"""
)

LANGUAGES = _words(
    """Arabic Bengali Czech Danish Dutch English Finnish French German Greek Hindi Italian
    Japanese Korean Polish Spanish Swahili Swedish Turkish"""
)

SKIES = _words("sunny cloudy rainy foggy snowy windy stormy hazy dry humid")

ADJECTIVES = _words(
    """Bitter Blue Broken Burning Cold Dark Deep Distant Empty Endless Final First Frozen Golden
    Green Hidden Hollow Last Little Lonely Long Lost Old Open Quiet Red Secret Silent Silver
    Slow Small Strange Sweet White Wild Winter"""
)

NOUNS = _words(
    """Bridge Castle City Clock Door Dream Fire Forest Garden Harbor House Island Journey Key
    King Lake Letter Light Mirror Moon Mountain Night Ocean Path Queen Rain River Road Room
    Rose Sea Shadow Song Star Storm Street Summer Tower Train Tree Valley Voice Wall Wind
    Window"""
)

GENRES = _words(
    """adventure comedy crime drama fantasy history horror mystery nature poetry romance science
    sports travel"""
)

EXTRAS = _words(
    """balcony bathtub desk fireplace fridge garden heater kitchen parking pool safe sauna shower
    stove terrace view"""
)
