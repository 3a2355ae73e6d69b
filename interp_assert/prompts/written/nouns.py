"""Common nouns by the kind of thing that they name, with their plurals."""

# ruff: noqa: SIM905 - lists of words are easier to read and to extend as words

from __future__ import annotations

__all__ = ["FAMILIES", "KINDS", "NAMES", "OTHERS", "PEOPLE", "THINGS", "article", "plural"]

KINDS = {
    "bird": (
        "sparrow eagle hawk owl crow raven robin pigeon dove parrot penguin ostrich swan heron stork falcon finch "
        "seagull woodpecker peacock pelican flamingo hummingbird canary vulture magpie nightingale starling"
    ),
    "mammal": (
        "tiger lion elephant giraffe zebra horse cow goat rabbit squirrel kangaroo dolphin whale bear camel donkey "
        "leopard otter badger hedgehog beaver chimpanzee gorilla hippopotamus antelope weasel raccoon"
    ),
    "dog": "poodle bulldog terrier beagle dachshund greyhound labrador collie spaniel dalmatian rottweiler chihuahua",
    "insect": (
        "ant bee wasp beetle butterfly moth mosquito grasshopper dragonfly ladybug termite cockroach hornet locust "
        "cicada aphid gnat firefly"
    ),
    "reptile": "lizard snake turtle tortoise crocodile alligator iguana gecko chameleon cobra viper rattlesnake",
    "fish": "shark eel sardine anchovy piranha stingray barracuda herring seahorse minnow",
    "tree": "oak pine maple birch willow elm cedar spruce poplar sycamore redwood fir larch cypress hawthorn alder",
    "flower": (
        "rose tulip daisy lily orchid daffodil sunflower carnation iris peony poppy marigold geranium petunia dahlia "
        "hyacinth primrose buttercup dandelion begonia"
    ),
    "fruit": (
        "apple banana pear peach plum grape mango pineapple strawberry raspberry blueberry lemon apricot melon "
        "watermelon papaya coconut nectarine tangerine pomegranate cranberry grapefruit"
    ),
    "vegetable": "carrot potato onion cabbage cucumber turnip radish leek parsnip artichoke zucchini beetroot",
    "tool": (
        "hammer screwdriver wrench drill axe shovel rake chisel hatchet spade hoe mallet crowbar pickaxe sickle "
        "trowel hacksaw"
    ),
    "weapon": (
        "sword pistol rifle spear dagger cannon shotgun revolver musket crossbow bayonet catapult torpedo grenade "
        "missile harpoon"
    ),
    "vehicle": "car bus truck bicycle motorcycle van taxi tractor ambulance train tram wagon limousine jeep bulldozer",
    "boat": "canoe kayak yacht ferry rowboat sailboat dinghy gondola schooner barge catamaran",
    "musical instrument": (
        "piano guitar violin flute drum trumpet harp cello clarinet saxophone trombone banjo accordion oboe bassoon "
        "tuba ukulele mandolin harmonica xylophone tambourine viola"
    ),
    "garment": (
        "shirt jacket coat skirt sweater blouse vest cardigan tunic robe cloak gown kimono apron poncho raincoat "
        "tuxedo sweatshirt"
    ),
    "building": (
        "house church castle hospital school library museum hotel factory barn cottage mosque temple cathedral "
        "skyscraper warehouse palace mansion theater bungalow chapel monastery supermarket lighthouse"
    ),
    "room": "kitchen bedroom bathroom attic pantry nursery classroom ballroom",
    "piece of furniture": "chair table desk sofa couch bookcase wardrobe cupboard dresser armchair stool bench bed",
    "container": (
        "bottle jar bucket basket barrel box crate suitcase vase jug flask pouch backpack envelope carton bowl"
    ),
    "jewel": "diamond ruby emerald sapphire pearl opal amethyst garnet",
    "part of the body": (
        "arm leg knee elbow shoulder finger thumb ankle wrist neck chin hip heel forehead eyebrow nostril toe ear "
        "nose tongue cheek"
    ),
    "shape": "circle square triangle rectangle pentagon hexagon cube sphere cylinder octagon",
    "relative": "aunt uncle cousin nephew niece grandmother grandfather brother sister",
    "appliance": "refrigerator toaster dishwasher microwave blender freezer",
    "publication": "novel magazine newspaper dictionary encyclopedia textbook",
}
"""Kind -> its nouns. No noun is of two kinds, and every one has a plural of its own."""

NAMES = {
    "country": (
        "Brazil Mexico Canada Peru Chile Argentina Colombia Venezuela Bolivia Ecuador Uruguay Paraguay Cuba Jamaica "
        "Haiti Honduras Guatemala Nicaragua Belgium Switzerland India Malaysia Cambodia Afghanistan Kazakhstan Israel "
        "Kuwait Yemen Ethiopia Uganda Rwanda Cameroon Zimbabwe Botswana Namibia Madagascar Malawi Mali"
    ),
    "city": (
        "Barcelona Milan Naples Venice Florence Munich Hamburg Frankfurt Marseille Lyon Liverpool Manchester "
        "Birmingham Glasgow Geneva Zurich Istanbul Mumbai Shanghai Osaka Kyoto Sydney Melbourne Toronto Montreal "
        "Vancouver Chicago Boston Seattle Houston Dallas Miami Philadelphia Detroit Denver Atlanta Casablanca "
        "Johannesburg"
    ),
    "state": (
        "Texas California Florida Ohio Michigan Arizona Oregon Nevada Utah Kansas Alabama Kentucky Tennessee Virginia "
        "Maryland Wisconsin Minnesota Iowa Indiana Illinois Louisiana Oklahoma Colorado Montana Idaho Alaska Hawaii "
        "Vermont Connecticut Massachusetts"
    ),
    "language": (
        "English French German Spanish Italian Portuguese Russian Polish Swedish Norwegian Danish Finnish Greek "
        "Turkish Arabic Hebrew Hindi Japanese Korean Chinese Vietnamese Thai Hungarian Czech Dutch Latin Swahili "
        "Ukrainian Bulgarian Romanian"
    ),
    "month": ("January February March April May June July August September October November December"),
    "day": ("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "planet": ("Mercury Venus Mars Jupiter Saturn Uranus Neptune"),
    "sport": ("Soccer Tennis Basketball Baseball Hockey Volleyball Golf Rugby Badminton Wrestling Boxing Gymnastics"),
    "metal": ("Gold Silver Iron Copper Tin Lead Zinc Nickel Aluminum Titanium Platinum"),
    "drink": ("Coffee Tea Milk Juice Beer Wine Lemonade Vodka Whiskey Cider Champagne"),
    "color": ("Red Blue Green Yellow Purple Pink Brown Black White Gray Beige"),
    "disease": ("Malaria Cholera Tuberculosis Pneumonia Influenza Measles Smallpox Leprosy Diabetes Asthma"),
    "emotion": ("Anger Joy Fear Sadness Envy Jealousy Pride Shame Grief Disgust"),
    "science": ("Physics Chemistry Biology Astronomy Geology Botany Zoology"),
    "religion": ("Christianity Islam Buddhism Hinduism Judaism"),
    "number": ("One Two Three Four Five Six Seven Eight Nine Ten Eleven Twelve"),
}
"""Kind -> what has no article: names, and words for what cannot be counted."""

FAMILIES = (
    ("mammal", "dog"),
    ("tree", "flower", "fruit", "vegetable"),
    ("tool", "weapon", "piece of furniture", "container", "appliance"),
    ("vehicle", "boat"),
    ("building", "room"),
)
"""Kinds of which one could be said of a noun of another: no claim confuses them."""

OTHERS = tuple(
    "window door wall road bridge river lake mountain hill island forest field cloud storm star planet rock stone "
    "brick ladder rope chain wheel engine button ribbon candle lantern lamp mirror clock ring necklace bracelet crown "
    "coin stamp letter postcard poster picture statue fountain fence gate tower tunnel street village city town farm "
    "park playground beach harbor pier ship anchor pillow blanket towel curtain carpet rug mattress broom mop sponge "
    "brush comb razor needle thimble pencil pen crayon eraser ruler notebook folder stapler computer keyboard printer "
    "telephone camera radio television battery cable ticket passport map flag badge medal trophy kite doll puppet "
    "robot balloon puzzle cookie cake pie pancake sandwich pizza burger sausage egg biscuit muffin pretzel lollipop "
    "pumpkin pepper tomato bean pea mushroom seed branch twig root stump bush shrub fern weed vine nest cave cliff "
    "valley volcano glacier desert canyon waterfall pond puddle stream swamp king queen prince knight wizard witch "
    "pirate clown actor author editor chef butler guard clerk mayor senator priest monk bishop coach referee athlete "
    "golfer drummer violinist".split()
)
"""Nouns of no kind in particular, none of them above."""

PEOPLE = tuple(
    "teacher doctor farmer baker nurse lawyer artist sailor soldier painter singer driver waiter judge poet pilot "
    "banker butcher carpenter plumber tailor barber writer dancer engineer scientist student tourist neighbor "
    "stranger".split()
)

THINGS = tuple(
    "food service film book hotel concert room play music garden meal show lecture story album speech trip party "
    "museum restaurant performance dessert painting essay design apartment course exhibition interview wine".split()
)
"""What people have opinions about."""

_PLURALS = {
    "potato": "potatoes",
    "mango": "mangoes",
    "mosquito": "mosquitoes",
    "torpedo": "torpedoes",
    "tomato": "tomatoes",
    "volcano": "volcanoes",
}


def plural(noun: str) -> str:
    """The plural by the rules of spelling."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def article(noun: str) -> str:
    """``a`` or ``an``."""
    vowel = noun[0] in "aeiou" and not noun.startswith(("uku", "uni"))
    return "an" if vowel else "a"
