"""Models of transformers found, loaded and identified, whoever uses them: with every failure said in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recension.document import JSON
from recension.errors import ModelError
from recension.models.surfaces import Surfaces, as_text, surfaces_of

if TYPE_CHECKING:
    import torch

_WEIGHTS = (".safetensors", ".bin", ".json", ".model", ".jinja")


@contextmanager
def quiet() -> Iterator[None]:
    """transformers tells of its loading on the terminal, where our own progress stands."""
    from huggingface_hub.utils import logging as hub_notices
    from transformers.utils import logging as notices

    logging: Any = notices
    hub: Any = hub_notices
    verbosity, bars, hub_verbosity = logging.get_verbosity(), logging.is_progress_bar_enabled(), hub.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub.set_verbosity_error()  # it tells of every retry; our one line comes after them
    try:
        yield
    finally:
        hub.set_verbosity(hub_verbosity)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def split_name(name: str) -> tuple[str, str | None]:
    """`NAME_OR_PATH[@REVISION]` taken apart; a folder that one of our runs wrote stands for the model in it."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        within = folder / "model"
        return str(within if (within / "config.json").is_file() else folder), None
    place, _, revision = name.rpartition("@")
    return (place, revision) if place else (name, None)


def check_there(place: str, revision: str | None) -> Any:
    """The configuration. Asked for first, being small: without a network every file costs half a minute of attempts."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=False)
    except OSError as error:
        raise ModelError(f"hf:{place}: not found ({brief(error)}); {advice(place)}") from error
    except (ValueError, KeyError) as error:
        raise ModelError(f"hf:{place}: no model that transformers knows ({brief(error)})") from error


def check_causal(place: str, config: Any) -> None:
    """Refuse a kind of model that has no causal form, before anything large is loaded."""
    from transformers import AutoModelForCausalLM

    mapping: Any = AutoModelForCausalLM._model_mapping
    if type(config) not in mapping:
        raise ModelError(f"hf:{place}: a {config.model_type} is no causal language model")


def load_fast(place: str, revision: str | None) -> Any:
    """The fast tokenizer of a model, as transformers wraps it."""
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"hf:{place}: no tokenizer can be loaded ({brief(error)}); {advice(place)}") from error
    if not getattr(loaded, "is_fast", False):
        raise ModelError(f"hf:{place}: the model has no fast tokenizer (tokenizer.json), which exact spans need")
    return loaded


class Tokens(NamedTuple):
    """A tokenizer that reads all of a text as text, what its ids stand for, and its beginning-of-text token."""

    tokenizer: Any
    surfaces: Surfaces
    bos: int | None


def tokens_of(loaded: Any) -> Tokens:
    """From the fast tokenizer as transformers wraps it."""
    from tokenizers import Tokenizer

    # A copy, so that nothing set here is seen by others who use the same tokenizer.
    tokenizer = as_text(Tokenizer.from_str(loaded.backend_tokenizer.to_str()))
    return Tokens(tokenizer, surfaces_of(tokenizer, loaded.all_special_ids), loaded.bos_token_id)


def load_model(place: str, revision: str | None, dtype: torch.dtype) -> Any:
    """Its weights in a number format; a checkpoint that lacks some is refused."""
    from transformers import AutoModelForCausalLM

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            place, revision=revision, dtype=dtype, trust_remote_code=False, output_loading_info=True
        )
    except OSError as error:
        raise ModelError(f"hf:{place}: not found ({brief(error)}); {advice(place)}") from error
    except (ValueError, KeyError) as error:
        raise ModelError(f"hf:{place}: no causal language model that transformers knows ({brief(error)})") from error
    except ImportError as error:
        raise ModelError(f"hf:{place}: the model needs a package that is not installed ({brief(error)})") from error
    model, notes = loaded
    if missing := sorted(notes.get("missing_keys") or ()):
        raise ModelError(
            f"hf:{place}: the checkpoint lacks weights of {type(model).__name__} ({missing[0]}"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}); it was made for something else"
        )
    return model


def identity(place: str, revision: str | None, config: Any) -> dict[str, JSON]:
    """What names a model in a key: the hashes of local files, or a name on the hub with its commit."""
    local = Path(place).is_dir()
    return {
        "name": "local files" if local else place,
        "revision": None if local else getattr(config, "_commit_hash", None) or revision,
        "files": fingerprints(Path(place)) if local else None,
    }


def fingerprints(folder: Path) -> dict[str, JSON]:
    """The hashes of the files that can change a score."""
    found: dict[str, JSON] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in _WEIGHTS and path.is_file():
            with path.open("rb") as handle:
                found[path.name] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


def brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160].rstrip(". ")


def advice(place: str) -> str:
    if place.startswith((".", "/", "~")) or place.count("/") > 1:
        return "check that the folder exists and holds config.json, tokenizer.json and weights"
    return "check the name and the network, or give the path of a local folder"
