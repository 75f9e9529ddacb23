"""The main job on the samples in this repository: edit text that the embedded prior has not seen, prove it, look at it.

python demo.py [FOLDER]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import recension

HERE = Path(__file__).parent
SHARE = 0.05
LEAST = 0.02


def main(folder: Path) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    edited = folder / "edited"

    print(f"1  edit human text with the embedded prior, to change {SHARE:.0%} of its tokens")
    spec = recension.EditSpec(change_share=SHARE, protect=("numbers", "urls"), origin="human")
    report = recension.edit([HERE / "samples" / "unseen.jsonl"], edited, spec)
    step = report.generations[0]
    flagged, changed = step.flagged / step.tokens, step.changed / step.tokens
    print(f"   {report.documents:,} documents, {step.tokens:,} tokens: {flagged:.1%} flagged, {changed:.1%} changed")

    print("2  verify: every row accounted for, every byte as written")
    proof = recension.verify(edited)
    print(f"   {proof.rows:,} rows = {proof.written:,} written + {proof.dropped:,} dropped; sound: {proof.sound}")

    print("3  look at the edits")
    seen = recension.view(edited)
    print(f"   {seen.edits:,} edits in {seen.documents:,} documents: open {seen.page}")

    if not proof.sound or changed < LEAST:
        print(f"demo failed: sound is {proof.sound}, {changed:.2%} of the tokens changed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo")))
