"""Verbs that need no object, with their forms for "she" and for the past."""

# ruff: noqa: SIM905 - lists of words are easier to read and to extend as words

from __future__ import annotations

__all__ = ["PLACES", "VERBS", "past", "present"]

_REGULAR = (
    "walk talk laugh smile jump dance work play cook paint whisper shout scream yawn sneeze cough wave stumble wander "
    "hurry listen wait rest relax climb crawl march sail skate fish hunt garden bake pray meditate study argue "
    "complain apologize protest hesitate tremble shiver faint collapse snore stretch limp dine feast gamble cheat "
    "joke giggle sigh groan moan grumble mumble mutter chatter gossip lecture preach vote campaign struggle fail "
    "improve recover retire resign disappear vanish arrive return depart escape stay linger pause practice rehearse "
    "perform juggle whistle applaud cheer celebrate flirt frown blush sweat starve exercise stagger tiptoe stroll "
    "sprint race compete box wrestle camp hike commute drift float dive splash surf paddle plead boast curse yell "
    "bellow snarl howl chuckle smirk wink blink stare gaze glance doze dream worry despair mourn grieve suffer fidget "
    "squirm bow salute pose sketch doodle type investigate experiment calculate guess wonder ponder reflect daydream "
    "remember smoke shave bathe volunteer serve assist interfere intervene negotiate bargain haggle quarrel disagree "
    "insist persist surrender stutter stammer ramble exaggerate improvise collaborate cooperate participate "
    "contribute donate invest speculate emigrate relocate succeed agree confess object respond reply answer panic "
    "skip nod jog slip stop brag grin nap shrug beg shop hop sob trip hum travel rebel act adapt advance age aim "
    "approach assemble babble banter beam behave bicker blunder breathe brood browse cackle change clap compose "
    "concentrate conform crouch cry dash dawdle decline deliberate dither drool elope enlist err evolve excel fume "
    "gasp glare gloat graduate hobble huddle idle knock lean live look lounge lurk mingle misbehave mope move nibble "
    "overreact parachute perish perspire pout prosper pry quake queue react reappear reconsider reign repent report "
    "retaliate retreat roam roar saunter scowl settle shriek shudder sneer snicker snort squint squeal strut sulk "
    "swagger swerve swoon testify toil trudge tumble twirl waltz wail waver whimper whine wince yodel yield"
).split()
_DOUBLED = "skip nod jog slip stop brag grin nap shrug beg shop hop sob trip hum rebel clap excel strut".split()
_IRREGULAR = dict(
    pair.split("/")
    for pair in (
        "write/wrote sing/sang swim/swam run/ran drive/drove ride/rode fly/flew sleep/slept eat/ate drink/drank "
        "speak/spoke stand/stood sit/sat fall/fell win/won lose/lost fight/fought weep/wept leave/left come/came "
        "go/went wake/woke rise/rose freeze/froze steal/stole dig/dug creep/crept sweep/swept kneel/knelt "
        "teach/taught bleed/bled flee/fled swear/swore forget/forgot begin/began draw/drew panic/panicked swing/swung "
        "spin/spun"
    ).split()
)
VERBS = tuple(dict.fromkeys((*_REGULAR, *_IRREGULAR)))
PLACES = tuple("here there inside outside upstairs downstairs nearby abroad".split())


def present(verb: str) -> str:
    """The form that follows "she" in the present."""
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


def past(verb: str) -> str:
    """The form of the past."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb in _DOUBLED:
        return verb + verb[-1] + "ed"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")
