"""``manage.py train``: a family learns from a corpus."""

import sys
from argparse import ArgumentTypeError

from django.core.management.base import CommandError

from studies.catalog.arguments import add_device, add_overrides, parse_overrides
from studies.catalog.services import train_model
from studies.command import EarwitnessCommand


class Command(EarwitnessCommand):
    """Parses arguments around `services.train_model`."""

    help = (
        "Train a model of a family on the train split of a corpus, or continue one with --resume. Writes "
        "the checkpoint into models/MODEL/ of the data folder, twice a minute and at the end, and lists the "
        "model in the catalog. Ctrl-C or a kill loses at most a minute of work. A model is never "
        "overwritten. Beside the checkpoint: training.jsonl (losses, rates, gradient norms), samples/ "
        "(pieces written on the way), gradients.npz (see `gradients`), kept/ (see --keep-every). On several "
        "GPUs: torchrun --nproc-per-node=N manage.py train ..."
    )
    writes_json = True

    def add_arguments(self, parser):
        """FAMILY, its corpus, and how long."""
        parser.add_argument("family", metavar="FAMILY", help="one of those that `families` lists")
        parser.add_argument(
            "--corpus", required=True, metavar="NAME", help="one of those that `corpora` lists"
        )
        parser.add_argument(
            "--preset", metavar="PRESET", help="paper, tiny, or another that the family has (default tiny)"
        )
        parser.add_argument("--name", metavar="MODEL", help="name of the model (default FAMILY-CORPUS)")
        parser.add_argument("--seed", type=int, metavar="N", help="of all randomness (default 0)")
        parser.add_argument(
            "--updates", type=int, metavar="N", help="end after N updates, those of earlier runs included"
        )
        parser.add_argument(
            "--minutes", type=float, metavar="M", help="end after M minutes, those of earlier runs included"
        )
        add_device(parser)
        parser.add_argument(
            "--precision",
            default="auto",
            metavar="auto|fp32|bf16",
            help="bf16: matrix products in bfloat16 (default auto: bf16 on a GPU, fp32 on a CPU)",
        )
        parser.add_argument("--threads", type=int, metavar="N", help="threads on a CPU (default 1)")
        parser.add_argument(
            "--early-stopping",
            type=_number_or("off"),
            metavar="N|off",
            help="end after N evaluations without a lower validation loss, and take the best weights "
            "(default: as the family says)",
        )
        add_overrides(
            parser,
            "a setting of the family other than in the preset; may be given again and again",
        )
        parser.add_argument(
            "--resume",
            action="store_true",
            help="continue the model of this name, with the preset, seed and settings it was started with",
        )
        parser.add_argument(
            "--from",
            dest="origin",
            metavar="MODEL[@UPDATE]",
            help="go on from the last or a kept checkpoint of another model: on its corpus from its place, "
            "with other settings if wanted (--set); on another corpus from the start of the plan",
        )
        parser.add_argument(
            "--keep-every", type=int, metavar="N", help="keep a copy of the checkpoint after each N updates"
        )
        parser.add_argument(
            "--sample-every",
            type=_number_or("tenths", "off"),
            metavar="N|tenths|off",
            help="write two pieces of eight bars after each N updates (default: at each tenth of training)",
        )
        parser.add_argument(
            "--gradients-every",
            type=_number_or("off"),
            metavar="N|off",
            help="record gradients of a few entries of each parameter after each N updates (default 25)",
        )

    def handle(self, *, family, corpus, overrides, resume, sample_every, gradients_every, **options):
        """Train, and say what came of it."""
        minutes = options["minutes"]
        if sample_every is None and not resume:
            sample_every = "tenths"
        bar = self.progress("training", first="reading the corpus", has_time=True, is_open=True)

        def report(progress):
            remark = f"updates, {_in_words(progress)}"
            if progress.phase and sys.stderr.isatty():  # it comes often: a plain line need not say it
                bar(progress.update, max(progress.n_updates, progress.update), f"{progress.phase} ...")
            elif minutes is None:
                bar(progress.update, max(progress.n_updates, progress.update), remark)
            else:  # the time may end long before the updates that are planned
                share = max(progress.update / max(1, progress.n_updates), progress.seconds / (60 * minutes))
                bar(round(100 * min(1, share)), 100, f"percent, {progress.update} {remark}")

        asked = ("preset", "name", "seed", "updates", "minutes", "device", "precision", "threads")
        document = train_model(
            family=family,
            corpus_name=corpus,
            overrides=parse_overrides(overrides),
            resume=resume,
            sample_every=0 if sample_every == "off" else sample_every,
            gradients_every=0 if gradients_every == "off" else gradients_every,
            report=report,
            on_stop=lambda: self.say_at_once("stopping: the checkpoint comes after the update at hand ..."),
            **{key: options[key] for key in (*asked, "early_stopping", "origin", "keep_every")},
        )
        self.stop_bars()
        if document is None:  # one of several processes, and not the one that reports
            return
        if document["stopped"] == "interrupted":
            raise CommandError(
                f"stopped after {document['updates']:,} updates of {document['model']}; the checkpoint is in "
                f"{document['path']}, continue it with --resume",
                returncode=130,
            )
        losses = ", ".join(
            f"{split} {'unknown' if loss is None else format(loss, '.4g')}"
            for split, loss in document["losses"].items()
        )
        self.finish(
            document,
            f"Model {document['model']}: {family} on {corpus}, {document['updates']:,} updates in "
            f"{document['seconds']:.0f} s on {document['device']}, {document['parameters']:,} parameters, "
            f"loss {losses}.",
            f"Its checkpoint is in {document['path']}",
        )
        for remark in _remarks(document, is_continued=resume or bool(options["origin"]), **options):
            self.say(remark)


def _number_or(*words: str):
    """A type of argument: a whole number, or one of some words."""

    def read(text: str) -> int | str:
        if text in words:
            return text
        try:
            return int(text)
        except ValueError:
            raise ArgumentTypeError(
                f"it must be a whole number or {' or '.join(words)}, got {text!r}"
            ) from None

    return read


def _in_words(progress) -> str:
    """Where training stands: stage, loss, speed, time left, and the last loss on validation pieces."""
    words = [progress.stage]
    measured = {split: figures["loss"] for split, figures in progress.figures.items() if "loss" in figures}
    if measured:
        words.append(" and ".join(f"{split} loss {loss:.4g}" for split, loss in measured.items()))
    if progress.loss is not None:  # of single updates, and in stages of other losses: not to be compared
        words.append(f"running {progress.loss:.4g}")
    words.append(f"{progress.updates_per_second:.1f} per second")
    if progress.seconds_left is not None:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        words.append(f"{minutes}:{seconds:02d} left")
    return ", ".join(word for word in words if word)


def _remarks(document: dict, *, is_continued: bool, updates: int | None, **options) -> list[str]:
    """What somebody might not expect of a run that ended by itself."""
    remarks = []
    for stop in document["early_stops"]:
        remarks.append(
            f"Stage {stop['stage']} stopped early at update {stop['update']:,}, as the validation loss fell "
            f"no more; it ended with the weights of update {stop['best_update']:,}."
        )
    if not document["updates"] and document["stopped"] == "minutes":
        remarks.append(
            "It has learned nothing: the time was over before the first update; give it more --minutes."
        )
    elif is_continued and not document["new_updates"]:
        remarks.append(_why_nothing_was_left(document))
    elif document["stopped"] == "finished" and updates and document["updates"] < updates:
        remarks.append(
            f"Its plan ended after {document['updates']:,} of the {updates:,} updates asked for; settings "
            "such as epochs or max_updates make it longer (--set)."
        )
    return remarks


def _why_nothing_was_left(document: dict) -> str:
    """Why a model that was to go on did not."""
    updates = f"{document['updates']:,} updates"
    if document["stopped"] == "finished":
        return f"Nothing was left to train: it had come to its end at {updates} already."
    return (
        f"Nothing was trained: the limit on its {document['stopped']} is reached at {updates}; "
        "--updates N or --minutes M, earlier runs included, raises it."
    )
