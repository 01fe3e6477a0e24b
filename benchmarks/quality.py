"""Trains every family for a little while and holds it against real music and against knowing nothing.

    python benchmarks/quality.py [--minutes M] [--data FOLDER] [--families NAME...] [--likelihood-minutes M]
                                 [--work FOLDER] [--json FILE]
    python benchmarks/quality.py --merge FILE... [--json FILE]

Minutes are of processor time, for each family, whatever else the machine does. Figures tell whether a family
works and how it changes: they are no judgement of how good music sounds. The second form prints what several
runs have measured, of other families, as one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # not this folder, in which `generators` is the other benchmark

import torch  # noqa: E402

from analysis.description.copying import LEAST_ONSETS  # noqa: E402
from analysis.description.multitrack import DRUM_TOLERANCE, QUALIFIED_STEPS, STEPS_PER_BEAT  # noqa: E402
from analysis.errors import AnalysisError  # noqa: E402
from benchmarks.corpora import KINDS, chorale_voices, corpus_of, roll_sets  # noqa: E402
from benchmarks.likelihoods import Likelihood, on_chorales, on_rolls  # noqa: E402
from benchmarks.measuring import machine_facts, table  # noqa: E402
from benchmarks.portraits import COPY_STEPS, N_BARS, N_PIECES, N_REAL, Portrait, RealMusic, Writing, portray  # noqa: E402
from generators.registry import UnknownFamilyError, family_names, get_family  # noqa: E402
from music.pianoroll import LAKH_TRACKS  # noqa: E402
from music.score import MusicError  # noqa: E402

COPIED = COPY_STEPS[0]  # steps of the windows in the first table

SUMMARY_LEGEND = f"""\
Held-out: the first figure of a family on held-out pieces; only "f1" is better the larger it is. Beside it
what predictors that learn nothing but counts reach on the same windows, in the same unit. All off: nothing
ever sounds; of nats, which would be infinite, one chance for all cells or classes. Marginals: each key at
each place, or each token, as often as in training. Markov: each key, or token, by what it was a step before;
families that remember or match whole windows (autoencoders, GANs) are not told that step.
Loss is in nats per token, character, word, note or softmax, as the family counts. OA: overlapping area with
real training music, and what held-out real music reaches. Alike: mean Jaccard index of two pieces' notes
(0.5 and up is collapse, !), beside that of real music. Copied: share of windows of {COPIED} sixteenths found
in training music, in any key, beside that of held-out real music. CPU s: of training, in all."""

SUMMARY_HEAD = (
    "family",
    "corpus",
    "CPU s",
    "figure",
    "held-out",
    "all off",
    "marginals",
    "Markov",
    "OA",
    "ceiling",
    "alike",
    "real",
    "copied",
    "real",
)

LEGEND = f"""\
{N_PIECES} pieces of {N_BARS} bars by each family, beside at most {N_REAL} excerpts of as many bars of
held-out music ("real"). OA: overlapping area of the distances to and within real training music, mean over
nine features (MGEval); that of real music is the ceiling. Spread: mean distance within the set over that
within real training music; near 0 where pieces are alike. Alike: mean Jaccard index of two pieces' notes;
0.5 and up is collapse (!). Copied: share of windows of 16 or 32 sixteenths found note for note, in any key,
in training music; windows with fewer than {LEAST_ONSETS} onsets do not count."""

BANDS_LEGEND = f"""\
As in MuseGAN, on {STEPS_PER_BEAT} steps to the beat, bar by bar. A note is qualified from {QUALIFIED_STEPS}
steps on, a thirty-second note (the article's threshold; its released code has 2). Pitch classes and qualified
notes are means over the bars in which a track sounds. Drum pattern: strokes on sixteenths; one that is a step
beside them counts {DRUM_TOLERANCE}. Tonal distance: mean over the pairs of pitched tracks; small is in
harmony."""

LIKELIHOODS_LEGEND = """\
Nats per frame of 88 keys on the test split of the rolls (C major or minor, no articulation; families stop
early on the valid split); nats per token on the valid split of the chorales (families stop early on a slice
of the train split). Published figures took hours to days, and not all are of the same task: Johnson's rolls
are in their own keys; Kotecha's 6.27 is the best of its runs, of 78 keys, scaled by 88/78."""

HEAD = (
    "family",
    "corpus",
    "CPU s",
    "notes",
    "polyphony",
    "entropy",
    "in scale",
    "groove",
    "empty",
    "OA",
    "spread",
    "alike",
    "distinct",
    *(f"copied {steps}" for steps in COPY_STEPS),
)


def number(value: float | None, form: str = ".2f") -> str:
    """A figure in few digits; a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def row_of(label: str, corpus: str, seconds: float | None, writing: Writing) -> tuple[str, ...]:
    """What some pieces are like, as a row under `HEAD`."""
    figures, diversity = writing.figures, writing.diversity
    spread = sum(writing.spreads.values()) / max(1, len(writing.spreads))
    return (
        label,
        corpus,
        number(seconds, ".0f"),
        number(figures.n_notes, ".0f"),
        number(figures.polyphony),
        number(figures.pitch_class_entropy),
        number(figures.scale_consistency),
        number(figures.groove_consistency),
        number(figures.empty_beats),
        number(writing.overlap),
        number(spread),
        number(diversity.mean_similarity) + ("!" if diversity.is_collapsed else ""),
        f"{diversity.n_distinct}/{diversity.n_pieces}",
        *(number(writing.copies[steps].share, ".1%") for steps in COPY_STEPS),
    )


def summary_row(each: Portrait) -> tuple[str, ...]:
    """What is asked first of a family, as a row under `SUMMARY_HEAD`."""
    figure = each.headline
    found = each.baselines.get(figure, {})
    written, real = each.written, each.real
    return (
        each.family,
        each.corpus,
        number(each.seconds, ".0f"),
        figure or "-",
        number(each.held_out.get("test", {}).get(figure), ".3g"),
        *(number(found.get(name), ".3g") for name in ("all off", "marginals", "Markov")),
        number(written.overlap),
        number(real.overlap),
        number(written.diversity.mean_similarity) + ("!" if written.diversity.is_collapsed else ""),
        number(real.diversity.mean_similarity),
        number(written.copies[COPIED].share, ".1%"),
        number(real.copies[COPIED].share, ".1%"),
    )


def summary_table(portraits: list[Portrait]) -> str:
    """A row for each family: its first held-out figure with baselines, and what it writes beside real."""
    rows = [summary_row(each) for each in portraits if each.written and each.real]
    return table([SUMMARY_HEAD, *rows], right=(2, *range(4, len(SUMMARY_HEAD))))


def portraits_table(portraits: list[Portrait]) -> str:
    """All families under the real music of their corpus; a family that failed has its reason."""
    rows: list[tuple[str, ...]] = [HEAD]
    for corpus in sorted({each.corpus for each in portraits}):
        of_corpus = [each for each in portraits if each.corpus == corpus]
        real = next((each.real for each in of_corpus if each.real), None)
        if real:
            rows.append(row_of("real", corpus, None, real))
        rows += [
            row_of(each.family, corpus, each.seconds, each.written) for each in of_corpus if each.written
        ]
    failed = "".join(f"\n{each.family} failed: {each.failed}" for each in portraits if each.failed)
    return table(rows, right=range(2, len(HEAD))) + failed


def held_out_table(portraits: list[Portrait]) -> str:
    """Each figure of each family on training and held-out windows, and what knowing nothing reaches."""
    rows = [("family", "figure", "train", "held-out", "all off", "marginals", "Markov")]
    for each in portraits:
        for index, name in enumerate(each.held_out.get("train", {})):
            figures = [each.held_out.get(split, {}).get(name) for split in ("train", "test")]
            figures += [each.baselines.get(name, {}).get(way) for way in ("all off", "marginals", "Markov")]
            label = each.family if index == 0 else ""
            rows.append((label, name, *(number(value, ".4g") for value in figures)))
    return table(rows, right=range(2, 7))


def bands_table(portraits: list[Portrait]) -> str:
    """The figures of MuseGAN, of those families that play with several tracks, and of their real music."""
    tracks = LAKH_TRACKS
    rows = [("family", "figure", *tracks)]
    seen = set()
    for each in portraits:
        if not each.written or each.corpus != "bands":
            continue
        pairs = [] if each.corpus in seen else [("real", each.real)]
        seen.add(each.corpus)
        for label, writing in [*pairs, (each.family, each.written)]:
            for title, key, form in (
                ("empty bars", "empty_bars", ".1%"),
                ("pitch classes a bar", "used_pitch_classes", ".2f"),
                ("qualified notes", "qualified_notes", ".1%"),
            ):
                figures = [number(getattr(writing.band.tracks[track], key), form) for track in tracks]
                rows.append((label if key == "empty_bars" else "", title, *figures))
            distances = [value for value in writing.band.tonal_distance.values() if value is not None]
            mean = number(sum(distances) / len(distances) if distances else None)
            rows.append(
                (
                    "",
                    "drum pattern; mean tonal distance",
                    number(writing.band.drum_pattern, ".1%"),
                    mean,
                    "",
                    "",
                    "",
                )
            )
    return table(rows, right=range(2, 7)) if len(rows) > 1 else "No family of bands was measured."


def likelihoods_table(likelihoods: list[Likelihood]) -> str:
    """Held-out nats of baselines, publications and families, by data set."""
    rows = [("data", "model", "", "nats", "CPU s")]
    rows += [
        (
            each.data,
            each.model,
            each.kind,
            number(each.nats, ".3f"),
            each.remark or number(each.seconds, ".0f"),
        )
        for each in likelihoods
    ]
    return table(rows, right=(3,))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="of a processor, for each family (default 1)"
    )
    parser.add_argument(
        "--likelihood-minutes",
        type=float,
        metavar="M",
        help="for each likelihood (default: as --minutes; 0: none)",
    )
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="of data sets; without it, those of music21"
    )
    parser.add_argument("--families", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="only these sets of rolls, and jsb16")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="keep corpora and models here, and go on from them"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all figures here as well, after each family"
    )
    parser.add_argument(
        "--merge", nargs="+", type=Path, metavar="FILE", help="measure nothing: print these as one"
    )
    options = parser.parse_args(arguments)
    names = options.families or family_names()
    try:
        for name in options.families or []:
            get_family(name)
        if options.merge:
            return report(*merged(options.merge), options.json)
    except (UnknownFamilyError, OSError, KeyError, TypeError, ValueError) as error:
        print(error if options.merge is None else f"cannot merge: {error!r}", file=sys.stderr)
        return 1
    if options.data and not options.data.is_dir():
        print(f"there is no folder {options.data}", file=sys.stderr)
        return 1
    torch.set_num_threads(1)
    facts = machine_facts()
    portraits: list[Portrait] = []
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        for portrait in paint(names, options.data, options.minutes, work):
            portraits.append(portrait)
            if options.json:
                write_json(options.json, facts, portraits, [])
        minutes = options.minutes if options.likelihood_minutes is None else options.likelihood_minutes
        likelihoods = measure_likelihoods(names, options.data, minutes, work, options.sets) if minutes else []
    return report(facts, portraits, likelihoods, options.json)


def report(
    facts: Mapping[str, Any], portraits: list[Portrait], likelihoods: list[Likelihood], file: Path | None
) -> int:
    """Print all tables, and write all figures to a file; 1 if anything failed."""
    print("\n".join(f"{name}: {value}" for name, value in facts.items() if value is not None))
    for title, text in (
        ("In short", f"{summary_table(portraits)}\n\n{SUMMARY_LEGEND}"),
        ("What families write", f"{portraits_table(portraits)}\n\n{LEGEND}"),
        ("Held-out figures", held_out_table(portraits)),
        ("Bands", f"{bands_table(portraits)}\n\n{BANDS_LEGEND}"),
        (
            "Likelihoods",
            f"{likelihoods_table(likelihoods)}\n\n{LIKELIHOODS_LEGEND}" if likelihoods else "Not measured.",
        ),
    ):
        print(f"\n## {title}\n\n{text}")
    if file:
        write_json(file, facts, portraits, likelihoods)
    return int(any(each.failed for each in portraits) or any(each.remark for each in likelihoods))


def write_json(
    file: Path, facts: Mapping[str, Any], portraits: list[Portrait], likelihoods: list[Likelihood]
) -> None:
    """All figures as one document, which `merged` reads."""
    document = {
        "machine": facts,
        "families": [each.to_json() for each in portraits],
        "likelihoods": [asdict(each) for each in likelihoods],
    }
    file.write_text(json.dumps(_without_nan(document), indent=2) + "\n", encoding="utf-8")


def merged(files: list[Path]) -> tuple[dict[str, Any], list[Portrait], list[Likelihood]]:
    """What several documents hold, families by their names; the machine is that of the first.

    Of a family that is in several documents the last counts.
    """
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    families = {each["family"]: each for document in documents for each in document["families"]}
    portraits = [Portrait.from_json(families[name]) for name in sorted(families)]
    rows = [Likelihood(**each) for document in documents for each in document["likelihoods"]]
    likelihoods = {(each.data, each.model): each for each in rows}  # baselines are in each
    return documents[0]["machine"], portraits, sorted(likelihoods.values(), key=lambda each: each.data)


def paint(names: list[str], data: Path | None, minutes: float, work: Path) -> Iterator[Portrait]:
    """A portrait of each family, in the order of the names."""
    music: dict[str, RealMusic] = {}
    for name in names:
        kind = KINDS.get(name, "chorales")
        try:
            if kind not in music:
                print(f"reading {kind}", file=sys.stderr, flush=True)
                music[kind] = RealMusic(corpus_of(kind, data, work))
            portrait = portray(name, music[kind], minutes, work)
        except (AnalysisError, MusicError) as error:  # the music is too little to hold anything against
            portrait = Portrait(name, kind, failed=str(error))
        print(f"{name}: {portrait.failed or f'{portrait.seconds:.0f} s'}", file=sys.stderr, flush=True)
        yield portrait


def measure_likelihoods(
    names: list[str], data: Path | None, minutes: float, work: Path, wanted: list[str] | None
) -> list[Likelihood]:
    """Likelihoods on those benchmark sets that are there and wanted."""
    found = []
    for rolls in roll_sets(data):
        if wanted is None or rolls.name in wanted:
            found += on_rolls(rolls, minutes, names, work)
            print(f"{rolls.name}: done", file=sys.stderr, flush=True)
    voices = chorale_voices(data)
    if voices and (wanted is None or "jsb16" in wanted):
        found += on_chorales(voices, minutes, names, work)
    return found


def _without_nan(value):
    if isinstance(value, dict):
        return {str(key): _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
