"""Does the craft's check find what was planted? `make bench-curation`.

    python -m tests.bench.bench_curation          (minutes; QUICK=1: about one)

Sets of twelve composites of one person, in twelve places and twelve kinds of clothes; then one
picture of a set gets one fault, and the whole set is judged again. Every class of faults is
counted by itself, and so are flags on untouched pictures. Thresholds were chosen on the half
`choose`; what counts is the half `report`, which shares neither people nor places nor patterns.

Not counted against the untouched: `same_hair`. A set made from one to four photographs has one to
four hairstyles, and the flag is right.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from registry.core.refusals import Refusal
from tests.bench import composites
from tests.bench.bench_faces import opened
from tests.bench.composites import BARS, FAULTS, LEAST, SET, Half, Shot
from tests.bench.report import QUICK, at_least, at_most, report, say
from training.core.curation import Measurement, Report, judge
from training.core.pictures import Picture
from training.engines.base import Rgb
from training.engines.insightface import InsightFaceEngine
from training.engines.measure import Person, measure
from training.engines.survey import enrol, pixels

EACH = 2 if QUICK else 6
GROUPS = 1 if QUICK else 4
UNTOUCHED = 1 if QUICK else 5  # sets of each talent
TRUE = frozenset({"same_hair", "few_pictures", "same_everything"})


class Bench:
    """One half, measured once; faults are measured as they come."""

    def __init__(self, name: str, engine: InsightFaceEngine) -> None:
        self.name, self.engine, self.half = name, engine, Half(name, engine)

    def run(self) -> tuple[dict[str, list[bool]], list[bool]]:
        """By class, whether each fault was found; whether each untouched picture was flagged."""
        found: dict[str, list[bool]] = {}
        flagged: list[bool] = []
        for talent in self.half.cuts:
            self._enrol(talent)
            shots = self.half.shots(talent)
            shown = [self.half.picture(talent, shot) for shot in shots]
            whole = [self._measured(f"p{n:03d}", rgb) for n, rgb in enumerate(shown)]
            flagged += self._false(whole, talent)
            for number in range(1, UNTOUCHED):  # the same places and clothes, seen otherwise
                again = [replace(shot, seed=shot.seed + 7777 * number) for shot in shots]
                seen = [self.half.picture(talent, shot) for shot in again]
                flagged += self._false(
                    [self._measured(f"p{n:03d}", rgb) for n, rgb in enumerate(seen)], talent
                )
            for name, (fault, right) in FAULTS.items():
                found.setdefault(name, [])
                for number in range(EACH):
                    found[name].append(
                        self._planted(talent, name, number, fault, right, shown, whole)
                    )
                say(f"{self.name} {talent} {name}: {sum(found[name])}/{len(found[name])}")
            for respect in ("background", "outfit"):
                for size, word in ((3, "third"), (4, "fourth")):
                    name = f"{word} of one {respect}"
                    groups = composites.groups(self.half, talent, GROUPS, size, respect)
                    for shots in groups:
                        found.setdefault(name, []).append(
                            self._together(talent, respect, shots, whole)
                        )
                    say(f"{self.name} {talent} {name}: {sum(found[name])}/{len(found[name])}")
        return found, flagged

    def _enrol(self, talent: str) -> None:
        template = enrol(composites.references(self.half, talent), self.engine)
        if isinstance(template, Refusal):
            raise SystemExit(f"{talent}: {template.detail}")
        self.person = {"": Person(template.centroid, template.spots)}
        self.references = template.references()

    def _measured(self, name: str, rgb: Rgb) -> Measurement:
        picture: Picture = composites.taken_in(rgb)
        plain = pixels(picture)
        faces = self.engine.faces(plain)
        return measure(name, picture, plain, faces, self.person, self.engine.scene)

    def _judged(self, items: Sequence[Measurement]) -> Report:
        return judge(items, self.references, self.engine.profile)

    def _false(self, whole: list[Measurement], talent: str) -> list[bool]:
        findings = [f for f in self._judged(whole).findings if f.code not in TRUE]
        flags = {
            name: {f.code for f in findings if name in f.pictures} for name in (i.id for i in whole)
        }
        for name, codes in flags.items():
            if codes:
                say(f"{self.name} {talent} untouched {name}: {sorted(codes)}")
        return [bool(codes) for codes in flags.values()]

    def _planted(
        self,
        talent: str,
        name: str,
        number: int,
        fault: Any,
        right: frozenset[str],
        shown: list[Rgb],
        whole: list[Measurement],
    ) -> bool:
        dice = np.random.default_rng((self.half.seed, number, len(name), ord(name[0])))
        place = (number * 5 + len(name)) % SET
        rgb = shown[place]
        face = self.engine.faces(rgb)[0]
        item = self._measured(f"p{place:03d}", fault(self.half, talent, rgb, face, dice))
        if "duplicate" in name:  # beside the original, in the place of another
            place = (place + 1) % SET
            item = replace(item, id=f"p{place:03d}")
        items = [item if n == place else other for n, other in enumerate(whole)]
        codes = {f.code for f in self._judged(items).findings if item.id in f.pictures}
        if not codes & right:
            say(f"{self.name} {talent} MISSED {name} {number}: {sorted(codes)}")
        return bool(codes & right)

    def _together(
        self, talent: str, respect: str, shots: list[Shot], whole: list[Measurement]
    ) -> bool:
        items = list(whole)
        made = set()
        for shot in shots:
            place = shot.cut
            items[place] = self._measured(f"p{place:03d}", self.half.picture(talent, shot))
            made.add(f"p{place:03d}")
        for finding in self._judged(items).findings:
            if finding.code == f"same_{respect}" and made <= set(finding.pictures):
                return len(shots) == 3 or finding.kind == "soft"
        say(f"{self.name} {talent} MISSED same {respect}: {sorted(made)}")
        return False


def main() -> int:
    """Run both halves, print the table, judge the reported one."""
    began = time.monotonic()
    engine = opened()
    figures: dict[str, Any] = {}
    bars: dict[str, Any] = {}
    for name in ("choose", "report"):
        bench = Bench(name, engine)
        found, flagged = bench.run()
        composites_made = sum(map(len, found.values())) + len(flagged)
        figures[f"{name}: composites"] = composites_made
        figures[f"{name}: untouched, flagged"] = f"{sum(flagged)} of {len(flagged)}"
        for word, hits in found.items():
            figures[f"{name}: {word}"] = f"{sum(hits)} of {len(hits)}"
            if name == "report":
                bars[word] = at_least(sum(hits) / len(hits), BARS.get(word, LEAST))
        if name == "report":
            bars["untouched, flagged"] = at_most(sum(flagged) / len(flagged), 0.05)
    figures["elapsed s"] = round(time.monotonic() - began, 1)
    return report("curation", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
