"""Answers made tidy, and what is wrong with a text that a model wrote: one word for the first flaw found (MAGA, cleaning).

Only what is plainly of the answer and not of the text is taken away: a fence or quotes around all of it, a line that
announces it, remarks behind it. Whatever else is wrong drops the text; nothing is mended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from recension.methods.audit.languages import COMMON, SCRIPTS, language
from recension.methods.audit.panel import surfaces
from recension.methods.writing.likeness import contained, coverage, repeated, runs, shingles, tokens
from recension.methods.writing.objects import without_thoughts

# Words of somebody who speaks of having rewritten a text. "Here is a list of what you need:" has none of them.
_REWRITTEN = (
    r"(?:re-?writ\w+|re-?phras\w+|re-?word\w+|re-?formulat\w+|paraphras\w+|revised|adapted|adaptation|transformed|requested|"
    r"version|output|the (?:new |final )?(?:text|article|passage|document)|"
    r"(?:original|source) (?:text|document|article|passage|content))"
)
_SURE = r"(?:(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|understood|gladly|here you go)[!,.:—–-]\s*)"
_PREAMBLE = re.compile(
    rf"\s*[*_#]{{0,3}}\s*(?:{_SURE}?(?:[^\n:.!]{{0,60}}[.!]\s*)?(?:here(?:'s|’s| is| are)|below is|the following is)\s"
    rf"[^\n]{{0,80}}?\b{_REWRITTEN}\b[^\n]{{0,160}}[:.]|{_REWRITTEN}(?:\s\w+){{0,3}}:|{_SURE})[*_]{{0,3}}[ \t]*(?:\n+|\Z)",
    re.IGNORECASE,
)
# The same in the languages that the models most used here write in.
_PREAMBLE_ELSEWHERE = re.compile(
    r"\s*[*_#]{0,3}\s*(?:hier ist (?:der|die|das|eine?)\s[^\n]{0,80}?(?:text|version|fassung|umgeschrieben|überarbeitet)|"
    r"voici (?:le|la|une?)\s[^\n]{0,80}?(?:texte|version|réécri|reformul)|"
    r"aquí (?:está|tienes|va)\s[^\n]{0,80}?(?:texto|versión|reescrit|reformulad)|"
    r"以下[是为]?[^\n]{0,60}?(?:改写|重写|版本|文本|文章)|以下[はが][^\n]{0,60}?(?:書き直|書き換え|リライト|バージョン|文章)|"
    r"다음은[^\n]{0,80}?(?:재작성|다시\s?쓴|다시\s?작성|바꿔\s?쓴|각색|버전|텍스트))[^\n]{0,80}[:：][*_]{0,3}[ \t]*(?:\n+|\Z)",
    re.IGNORECASE,
)
# A title, a sentence or labels that speak of the task and not of the matter.
_REDONE = r"(?:re-?written|re-?phrased|re-?worded|re-?formulated|paraphrased)"
_PIECE = r"(?:text|version|article|passage|document|content)"
_GENRE = r"[*_#]{0,3}[ ]?genre[*_]{0,3}[ ]?:[^\n]{0,400}\n+\s*"
_READERS = r"[*_#]{0,3}[ ]?(?:target |intended )?(?:audience|readers)[*_]{0,3}[ ]?:[^\n]{0,400}"
_TITLE = re.compile(
    rf"\s*(?:#{{1,6}}\s?[*_]{{0,3}}|[*_]{{2,3}})(?:the )?(?:{_REDONE}|revised) {_PIECE}[*_:]{{0,4}}[ \t]*\n+|"
    rf"\s*[*_(\[]{{0,2}}this {_PIECE} (?:has been|was|is) {_REDONE}\b[^\n]{{0,200}}[.:][*_)\]]{{0,2}}[ \t]*\n+|"
    rf"\s*{_GENRE}{_READERS}\n+|\s*{_READERS}\n+\s*{_GENRE}",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"\n[ \t]*[(\[*_]{0,3}(?:(?:please )?note|notes?|explanation|remarks?)[*_]{0,2}\s?(?::|that\b)"
    rf"(?=[^\n]{{0,400}}\b(?:{_REWRITTEN}|(?:target |intended )audience|tone|genre)\b)[^\n]{{0,600}}\s*\Z"
    r"|\n[ \t]*[(\[*_]{0,3}word count\b[^\n]{0,60}\s*\Z"
    r"|\n[ \t]*(?:i hope (?:this|that|it) (?:helps|meets|is what|works|version|text|rewrit)|feel free to (?:ask|let me)|"
    r"(?:please )?let me know if you (?:need|want|would like|['’]d like|have) "
    r"(?:any|me to|further|more|another|changes|questions)|"
    r"would you like me to )[^\n]{0,300}\s*\Z"
    rf"|\n[ \t]*this (?:{_REWRITTEN}|text)\b[^\n]{{0,60}}\b(?:keeps|maintains|preserves|retains|aims|captures)\b"
    r"[^\n]{0,300}\b(?:original|source|audience|tone|genre|style)\b[^\n]{0,200}\s*\Z",
    re.IGNORECASE,
)
_RULE = re.compile(r"\n[ \t]*[-*_]{3,}[ \t]*\Z")
_RULE_FIRST = re.compile(r"\A[-*_]{3,}[ \t]*\n+")
_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*([\w+-]{0,20})[ \t]*\n(.*)\n\1[ \t]*", re.DOTALL)
_QUOTED = (("“", "”"), ("«", "»"), ('"', '"'))

_BOILERPLATE = re.compile(
    r"\W*(?:notes?\s*:|please note that\b|the following is\b|as requested\b|as per your (?:request|instructions)\b|"
    r"\[(?:insert|your) |"
    rf"here(?:'s|’s| is)\s[^\n]{{0,80}}\b{_REWRITTEN}\b|"
    r"hinweise?\s*:|anmerkung(?:en)?\s*:|remarques?\s*:|notas?\s*:|примечани[ея]\s*:|注(?:意|释)?\s*[:：]|参考\s*[:：]|참고\s*[:：])",
    re.IGNORECASE,
)
_CANNOT = (
    r"(?:i|we)(?:\s(?:can['’]?t|cannot|can not|could not|couldn['’]?t|won['’]?t|will not|am not able to|am unable to|"
    r"are unable to)|['’]m (?:not able|unable) to)\s"
)
_TASKS = r"(?:help (?:you )?with|assist|fulfil\w*|comply|rewrite|rephrase|reformulate|generate|produce|process)\b"
_MORE_TASKS = r"(?:create|provide|write|complete|engage|continue|do|proceed|answer|access|see|read|help)\b"
_OBJECT = r"\s*(?:(?:this|that|your|the|any|such|with|an?|it|content|requests?|on)\b|[.!,]|\Z)"
_SORRY = (
    r"(?:(?:(?:i['’]?m|i am|we['’]re)\s(?:\w+\s)?)?sorry|i apologi[sz]e|my apologies|apologies|unfortunately)"
    r"[\s,.;:—–-]+(?:but\s)?"
)
_AS_AI = r"as an? (?:ai|artificial|(?:large )?language)\b[^.\n]{0,60}?,?\s"
_DECLINES = re.compile(
    rf"\W*(?:{_SORRY})?(?:{_AS_AI})?{_CANNOT}{_TASKS}{_OBJECT}|\W*(?:{_SORRY}(?:{_AS_AI})?|{_AS_AI}){_CANNOT}{_MORE_TASKS}"
    r"(?:\s*[.!,]|\s(?:this|that|your|any|such|it)\b)",
    re.IGNORECASE,
)
_DECLINES_ELSEWHERE = re.compile(
    r"\W*(?:es tut mir leid, aber ich kann|je suis désolée?, mais je ne (?:peux|suis)|lo siento, pero no puedo|"
    r"mi dispiace, ma non posso|desculpe, mas não posso|извините, (?:но )?я не могу|к сожалению, я не могу|"
    r"(?:抱歉|对不起|很抱歉)[，,]?我(?:无法|不能)|申し訳(?:ありません|ございません)が|죄송(?:합니다|하지만))",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?[a-z-]{1,20}-[0-9a-f]{12}>")  # the fences of our prompts
_LONG_REFUSAL = 600
_LANGUAGE_SAMPLE = 2000
_LEAST_WORDS = 30  # to tell a language
_LEAST_RUNS = 40  # of a source that is not quoted in passing


@dataclass(frozen=True, slots=True)
class Rules:
    """What a text has to be beside its source. Lengths are shares of the source's characters.

    MAGA gives no threshold for keyword coverage. Texts on other subjects share up to a tenth of the keywords, sometimes
    more; honest rewrites seldom have less than a seventh. `most_copied` is a share of the text that is the source's,
    `most_held` a share of the source that stands in the text word for word, as where something was only put behind it.
    `instructions` is the prompt, whose sentences must not come back.
    """

    least_coverage: float = 0.12
    shortest: float = 0.15
    longest: float = 5.0
    most_copied: float = 0.7
    most_held: float = 1.0
    most_shared: float = 0.7
    most_repeated: float = 0.3
    short_source: int = 600  # a shorter source is taken for one of this length when a text is called too long
    same_language: bool = True
    instructions: str = ""

    @staticmethod
    def of(name: str) -> Rules:
        """The rules for a variant of `reformulate`, a style of `rephrase`, or `compose`."""
        return RULES.get(LIKE.get(name, name), Rules())


RULES = {
    "base": Rules(most_held=0.9),
    "strict": Rules(least_coverage=0.3, shortest=0.4, longest=2.5, most_copied=0.95, most_shared=0.95),
    "relaxed": Rules(least_coverage=0.05, shortest=0.1, longest=8.0, most_copied=0.5, most_held=0.9),
    # Of a source's own words by design: an extract, a table, a list of what it says.
    "extract": Rules(least_coverage=0.08, shortest=0.02, longest=2.5, most_copied=1.0, most_shared=1.0),
    # Questions of it, with answers: its words come back, and a long source gives more than a short one.
    "questions": Rules(least_coverage=0.08, shortest=0.05, longest=5.0, most_copied=0.95, most_shared=0.95),
    # A seed is left behind on purpose.
    "compose": Rules(
        least_coverage=0.0, shortest=0.0, longest=100.0, most_copied=0.5, most_held=0.9, same_language=False
    ),
}

LIKE = {
    **dict.fromkeys(("extract", "distil", "knowledge", "table"), "extract"),
    **dict.fromkeys(("qa", "diverse-qa", "faq"), "questions"),
}


def tidy(text: str) -> str:
    """The text without what was said around it."""
    text = without_thoughts(text).strip()
    for _ in range(3):
        before = text
        if preamble := _PREAMBLE.match(text) or _PREAMBLE_ELSEWHERE.match(text) or _TITLE.match(text):
            text = _RULE_FIRST.sub("", text[preamble.end() :].strip()).strip()
        text = _unwrapped(text)
        # Remarks stand at the very end: the last two thousand characters are enough to look at.
        if remark := _REMARK.search(text, max(0, len(text) - 2000)):
            text = _RULE.sub("", text[: remark.start()].rstrip()).rstrip()
        if text == before:
            break
    return text


def flaw(source: str, text: str, siblings: Sequence[str] = (), rules: Rules = Rules()) -> str | None:
    """Why a tidy text is not to be kept, or None.

    One of `too-short`, `refusal`, `boilerplate`, `echo`, `looping`, `too-long`, `other-language`, `copy`, `near-sibling` and
    `off-source`. `siblings` are the texts already accepted for the same source.
    """
    if not any(sign.isalnum() for sign in text):
        return "too-short"
    if is_refusal(text, source):
        return "refusal"
    if _BOILERPLATE.match(text):
        return "boilerplate"
    if _echoes(source, text, rules.instructions):
        return "echo"
    if repeated(text) > rules.most_repeated and repeated(source) <= rules.most_repeated / 2:
        return "looping"
    return _beside_source(source, text, rules) or _beside_others(source, text, siblings, rules)


def is_refusal(text: str, source: str = "") -> bool:
    """Whether the model declined: an opening that says so of the task, in an answer that is no more than that.

    Somebody who declines inside a text ("I'm sorry, I can't come," she said) speaks of something else, or goes on.
    """
    if len(text) > max(_LONG_REFUSAL, len(source) // 2):
        return False
    opening = text[:400]
    return bool(_DECLINES.match(opening) or (_DECLINES_ELSEWHERE.match(opening) and len(text) < _LONG_REFUSAL))


def _beside_source(source: str, text: str, rules: Rules) -> str | None:
    if len(text) < rules.shortest * len(source):
        return "too-short"
    if len(text) > rules.longest * max(len(source), rules.short_source):
        return "too-long"
    return "other-language" if rules.same_language and _other_language(source, text) else None


def _beside_others(source: str, text: str, siblings: Sequence[str], rules: Rules) -> str | None:
    ours = shingles(text)
    if rules.most_copied < 1 and contained(ours, shingles(source)) > rules.most_copied:
        return "copy"
    # A short source may well be quoted in full.
    if (
        rules.most_held < 1
        and len(shingles(source)) >= _LEAST_RUNS
        and contained(shingles(source), ours) > rules.most_held
    ):
        return "copy"
    for sibling in siblings if rules.most_shared < 1 else ():
        if contained(ours, shingles(sibling)) > rules.most_shared:
            return "near-sibling"
    return "off-source" if coverage(source, text) < rules.least_coverage else None


def _unwrapped(text: str) -> str:
    """Without a code fence or a pair of quotes around the whole."""
    if (fenced := _FENCE.fullmatch(text)) and (
        fenced[1] not in fenced[3] or fenced[2].lower() in ("markdown", "md", "text")
    ):
        return fenced[3].strip()
    for opener, closer in _QUOTED:
        inner = text[1:-1]
        if (
            text.startswith(opener)
            and text.endswith(closer)
            and len(text) > 2
            and opener not in inner
            and closer not in inner
        ):
            return inner.strip()
    return text


def _echoes(source: str, text: str, instructions: str) -> bool:
    """Whether the fences or sentences of the prompt came back: eight words in a row that the source does not have."""
    if _TAG.search(text) and not _TAG.search(source):
        return True
    back = _of_prompt(instructions).intersection(runs(tokens(text), 8)) if instructions else frozenset()
    return bool(back and back.difference(runs(tokens(source), 8)))


@lru_cache(maxsize=64)
def _of_prompt(instructions: str) -> frozenset[tuple[str, ...]]:
    return frozenset(runs(tokens(instructions), 8))


@lru_cache(maxsize=32)
def _language(sample: str) -> str:
    return language(sample)


def _other_language(source: str, text: str) -> bool:
    """Whether a text is plainly in another language than its source. Short and mixed texts get the benefit of the doubt."""
    a, b = source[:_LANGUAGE_SAMPLE], text[:_LANGUAGE_SAMPLE]
    first, second = _language(a), _language(b)
    if first == second or "other or none" in (first, second):
        return False
    if {first, second} & {name for name, _, _ in SCRIPTS}:
        return min(sum(map(str.isalpha, a)), sum(map(str.isalpha, b))) >= _LEAST_WORDS
    # Related languages share words: the one of the source has to be far behind.
    words = [surface.strip().lower() for surface in surfaces(b)]
    if len(words) < _LEAST_WORDS:
        return False
    ours, theirs = (sum(word in COMMON[name] for word in words) for name in (first, second))
    return 2 * ours < theirs
