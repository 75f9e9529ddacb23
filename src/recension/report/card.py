"""The dataset card of a run folder: README.md with the front matter that `datasets.load_dataset(OUT)` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from recension.report.page import number

if TYPE_CHECKING:
    import pyarrow as pa

_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


@dataclass(frozen=True, slots=True)
class CardPart:
    """One configuration of the folder: the files `pattern` names (`data/*.parquet`), all of one schema.

    `schema` is the schema of the rows as `datasets` sees them; `columns` explains those worth explaining.
    """

    name: str
    pattern: str
    rows: int
    schema: pa.Schema | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says. The first part is the default configuration; name only parts that have files.

    `license` is one of the Hub's identifiers, `summary` one paragraph, `counts` what was counted, `origin` what the
    user declared the input to be.
    """

    title: str
    verb: str
    version: str
    run: str
    summary: str
    parts: tuple[CardPart, ...]
    models: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, str] = field(default_factory=dict)
    origin: str = "unknown"
    license: str = "unknown"
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def dataset_card(card: Card) -> str:
    front = yaml.safe_dump(front_matter(card), sort_keys=False, allow_unicode=True, width=1_000)
    return f"---\n{front}---\n\n{_text(card)}"


def front_matter(card: Card) -> dict[str, Any]:
    """The machine's half of the card."""
    front: dict[str, Any] = {"license": card.license}
    if card.languages:
        front["language"] = list(card.languages)
    front["pretty_name"] = card.title
    front["tags"] = list(dict.fromkeys(("recension", f"recension-{card.verb}", "synthetic", *card.tags)))
    if card.parts:
        front["size_categories"] = [_size(card.parts[0].rows)]
    front["configs"] = [
        {
            "config_name": part.name,
            **({"default": True} if i == 0 else {}),
            "data_files": [{"split": "train", "path": part.pattern}],
        }
        for i, part in enumerate(_configurations(card))
    ]
    described = [
        {"config_name": part.name, "features": columns}
        for part in _configurations(card)
        if (columns := features(part.schema, json=_is_json(part))) is not None
    ]
    if described:
        front["dataset_info"] = described
    return front


def _configurations(card: Card) -> list[CardPart]:
    """What can stand in the front matter: `datasets` fails on a configuration without rows, and on mixed formats."""
    first = card.parts[:1]
    return [*first, *(p for p in card.parts[1:] if p.rows and _is_json(p) == _is_json(first[0]))]


def _is_json(part: CardPart) -> bool:
    return not part.pattern.endswith(".parquet")


def features(schema: pa.Schema | None, json: bool = False) -> list[dict[str, Any]] | None:
    """An Arrow schema in the words of `dataset_info`, or None where they have no word for it.

    Rows of JSON hold what JSON can say: bytes, times and decimals stand there as strings.
    """
    if schema is None or len(set(schema.names)) != len(schema.names) or not schema.names:
        return None
    columns = [(f.name, _feature(f.type, json)) for f in schema]
    if any(kind is None for _, kind in columns):
        return None
    return [{"name": name, **kind} for name, kind in columns if kind is not None]


def _feature(kind: pa.DataType, json: bool) -> dict[str, Any] | None:
    import pyarrow as pa

    types = pa.types
    if types.is_struct(kind):
        fields = [(f.name, _feature(f.type, json)) for f in kind]
        if not fields or any(inner is None for _, inner in fields):
            return None
        return {"struct": [{"name": name, **inner} for name, inner in fields if inner is not None]}
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _feature(kind.value_type, json)
        if inner is None:
            return None
        word = "large_list" if types.is_large_list(kind) and not json else "list"
        short = inner.get("dtype") or inner.get("struct") or inner
        return {word: short, **({"length": kind.list_size} if types.is_fixed_size_list(kind) else {})}
    if types.is_dictionary(kind):
        return _feature(kind.value_type, json)
    name = _plain(kind)
    if json and name is not None and not re.fullmatch(r"null|bool|u?int\d+|float\d+|(large_)?string", name):
        name = "string"
    return None if name is None else {"dtype": name}


def _plain(kind: pa.DataType) -> str | None:
    import pyarrow as pa

    renamed = {"halffloat": "float16", "float": "float32", "double": "float64", "date32[day]": "date32"}
    renamed |= {"date64[ms]": "date64", "string_view": "string", "binary_view": "binary"}
    name = renamed.get(str(kind), str(kind))
    if pa.types.is_decimal128(kind) or pa.types.is_decimal256(kind):
        return f"decimal{kind.bit_width}({kind.precision}, {kind.scale})"
    known = r"null|bool|u?int(8|16|32|64)|float(16|32|64)|(large_)?(string|binary)|date(32|64)"
    known += r"|(time32|time64|duration)\[\w+\]|timestamp\[\w+(, tz=[^\]]+)?\]|fixed_size_binary\[\d+\]"
    return name if re.fullmatch(known, name) else None


def _size(rows: int) -> str:
    """The Hub's names for sizes: n<1K, 1K<n<10K, ..., n>1T."""
    step = max(len(str(rows)) - 3, 0)
    if step == 0:
        return f"n<{_SIZES[0]}"
    return f"{_SIZES[step - 1]}<n<{_SIZES[step]}" if step < len(_SIZES) else f"n>{_SIZES[-1]}"


def plain(text: object) -> str:
    """Foreign words in Markdown: one line, and no character of them a mark, a link or a tag."""
    line = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"[\\`*_{}\[\]#|~$@]", r"\\\g<0>", line).replace("://", "\\://")
    line = re.sub(r"(?i)www\.", lambda m: m.group()[:3] + "\\.", line)
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", line)


def code(text: object) -> str:
    """A value as code, whatever backticks and bars it holds."""
    line = _one_line(text).replace("|", "\\|")
    if not line:
        return "–"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _one_line(text: object) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def _text(card: Card) -> str:
    lines = [f"# {plain(card.title)}", "", plain(card.summary), "", "## How it was made", ""]
    lines += [f"By Recension {code(card.version)}, verb {code(card.verb)}, run {code(card.run)}.", ""]
    if card.models:
        lines += [f"Models: {', '.join(code(model) for model in card.models)}.", ""]
    lines += _table(("Setting", "Value"), [(plain(k), code(v)) for k, v in card.settings.items()])
    lines += ["The whole configuration, the inputs and their hashes are in `manifest.json`.", ""]
    if card.counts:
        lines += ["## In numbers", ""]
        lines += _table(("What", "How many"), [(plain(k), plain(v)) for k, v in card.counts.items()])
    lines += ["## What is in it", ""]
    lines += _table(
        ("Configuration", "Files", "Rows"), [(code(p.name), code(p.pattern), number(p.rows)) for p in card.parts]
    )
    for part in card.parts:
        if part.columns:
            lines += [f"Columns of {code(part.name)}:", ""]
            lines += [f"- {code(name)}: {plain(says)}" for name, says in part.columns.items()] + [""]
    lines += ["## Using it", "", *_use(card), "## Limits", ""]
    lines += [f"- {limit}" for limit in _limits(card)] + [f"- {plain(note)}" for note in card.notes]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows), ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _use(card: Card) -> list[str]:
    others = [part.name for part in _configurations(card)[1:]]
    lines = ["```python", "from datasets import load_dataset", "", 'rows = load_dataset("PATH", split="train")']
    lines += [f'{name} = load_dataset("PATH", "{name}", split="train")' for name in others if name.isidentifier()]
    lines += ["```", "", "`PATH` is this folder. From a shell:", "", "```sh"]
    lines += ["recension verify PATH               # no row is missing, no byte was changed"]
    if any(part.name == "edits" for part in card.parts):
        lines += ["recension view PATH                 # read the edits where they stand"]
        lines += ["recension revert PATH -o ORIGINALS  # the original texts, byte for byte"]
    return [*lines, "```", ""]


def _limits(card: Card) -> list[str]:
    if card.origin == "unknown":
        origin = "Where the input comes from was not declared: nothing here says that it was written by people."
    else:
        origin = f"The input was declared to be {code(card.origin)} by whoever made this run; that was not checked."
    limits = [
        origin,
        "The licence of the input holds for this text too"
        + ("; none was named." if card.license in ("unknown", "other") else f"; {code(card.license)} was named."),
        "Text made with a model can be wrong, and can carry what the model has learnt, bias included.",
    ]
    if card.parts and _is_json(card.parts[0]):
        limits.append(
            "`datasets` takes a JSON Lines column in which every value looks like a date for dates, and spells them "
            "its own way; the files themselves, and parquet, hold what was written."
        )
    return limits
