"""Adjectives that praise and adjectives that blame."""

# ruff: noqa: SIM905 - lists of words are easier to read and to extend as words

from __future__ import annotations

__all__ = ["BLAME", "PRAISE"]

PRAISE = tuple(
    "good great nice lovely pleasant delightful wonderful excellent fantastic amazing awesome brilliant superb "
    "splendid marvelous fabulous terrific outstanding impressive enjoyable charming beautiful gorgeous elegant "
    "attractive appealing inviting comfortable cozy clean fresh tasty delicious tempting satisfying rewarding "
    "refreshing relaxing soothing exciting thrilling entertaining amusing funny witty clever smart intelligent "
    "inspiring uplifting touching heartwarming memorable remarkable exceptional extraordinary magnificent majestic "
    "glorious divine heavenly adorable cheerful joyful bright lively vibrant colorful graceful stylish classy "
    "fashionable polished refined sophisticated tasteful skillful masterful professional competent reliable "
    "trustworthy dependable efficient effective helpful useful practical valuable worthwhile beneficial fruitful "
    "productive successful admirable commendable praiseworthy respectable honorable noble generous kind friendly "
    "welcoming hospitable polite courteous considerate thoughtful attentive sincere honest genuine authentic original "
    "creative imaginative inventive innovative ingenious insightful profound fascinating captivating compelling "
    "engaging gripping absorbing enchanting dazzling stunning breathtaking spectacular sensational phenomenal magical "
    "romantic idyllic picturesque scenic serene peaceful tranquil harmonious balanced coherent clear convincing "
    "persuasive satisfactory decent solid sturdy durable safe healthy nutritious wholesome luxurious lavish spacious "
    "tidy neat punctual affordable fair reasonable favorable promising encouraging reassuring hopeful constructive "
    "superior stellar exemplary ideal accomplished adept agreeable artful beloved blissful bountiful calming "
    "celebrated cherished congenial crisp cultivated deft dignified distinguished dynamic eloquent energetic "
    "enlightening exhilarating exquisite festive flavorful flattering flourishing glamorous glowing gratifying "
    "handsome heartening humorous hygienic illuminating immaculate impeccable invigorating juicy likable lovable "
    "lucid luminous luscious melodious nifty nimble nourishing opulent perceptive playful plush poetic poignant "
    "popular precious prestigious pristine proficient radiant rejuvenating resourceful restful revitalizing robust "
    "savory sensible sleek snug soulful sparkling spotless stimulating striking sublime suitable sumptuous sunny "
    "supportive thorough thriving timely unforgettable upbeat vivid wise wondrous yummy zesty flawless perfect".split()
)
BLAME = tuple(
    "bad awful terrible horrible dreadful poor lousy nasty unpleasant disgusting revolting repulsive gross vile foul "
    "hideous ugly unattractive unappealing dull boring tedious dreary monotonous tiresome bland tasteless stale "
    "rotten dirty filthy grimy messy cluttered chaotic disorganized sloppy careless clumsy awkward crude vulgar rude "
    "impolite disrespectful hostile unfriendly unwelcoming cruel harsh brutal vicious offensive insulting hurtful "
    "annoying irritating infuriating frustrating disappointing depressing dismal gloomy bleak grim miserable sad "
    "tragic painful agonizing unbearable intolerable unacceptable inadequate insufficient incompetent inept "
    "unprofessional unreliable untrustworthy dishonest deceptive misleading fraudulent fake worthless useless "
    "pointless meaningless senseless foolish silly stupid idiotic ridiculous absurd laughable pathetic pitiful "
    "shameful disgraceful embarrassing humiliating scandalous outrageous appalling atrocious abysmal horrendous "
    "horrific ghastly gruesome nightmarish frightening disturbing upsetting distressing troubling worrying alarming "
    "dangerous unsafe hazardous harmful toxic poisonous unhealthy greasy soggy sour overpriced wasteful inefficient "
    "ineffective unproductive unsuccessful flawed defective faulty broken damaged shabby tacky unoriginal uninspired "
    "forgettable mediocre inferior substandard unsatisfying unconvincing confusing incoherent muddled shallow "
    "superficial pretentious arrogant selfish corrupt unfair unjust biased hypocritical sinister creepy uncomfortable "
    "cramped noisy stuffy smelly dingy lifeless joyless heartless hopeless discouraging unfavorable regrettable "
    "deplorable despicable loathsome obnoxious wretched aggravating aimless amateurish baffling banal barbaric "
    "bewildering bogus botched burdensome callous clunky conceited contrived cowardly cumbersome cynical damaging "
    "deficient degrading demeaning demoralizing derivative desolate destructive detrimental disastrous disheartening "
    "disorderly drab drafty dubious dysfunctional erroneous evil excessive excruciating exhausting feeble flimsy "
    "fruitless garish gaudy gory grating grotesque grubby hateful hollow icky ignorant illogical immature impersonal "
    "inane inconvenient inexcusable inhospitable insincere insipid irrational irresponsible jarring lackluster lame "
    "lazy lethargic lukewarm malicious mindless monstrous morbid murky negligent obscene obsolete odious oppressive "
    "overcrowded overrated petty plodding pompous ponderous prejudiced rancid reckless repellent repetitive "
    "rickety".split()
)
