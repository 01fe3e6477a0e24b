"""What can be heard, and where it came from: corpora, trained models, generations, pieces, stimuli."""

import uuid
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q


class Corpus(models.Model):
    """A named set of human pieces; manifest and MIDI files stand in ``corpora/<name>/``."""

    name = models.SlugField(max_length=100, unique=True)
    license = models.TextField(blank=True, help_text="What its source says about use, in its own words.")
    sources = models.JSONField(default=list, help_text="The SOURCE arguments it was imported from.")
    sha256 = models.CharField(max_length=64, help_text="Hash of all pieces and their splits.")
    n_pieces = models.PositiveIntegerField(default=0)
    n_notes = models.PositiveBigIntegerField(default=0)
    duplicates = models.JSONField(default=list, help_text="Pairs of a file left out and the one kept.")
    rejected = models.JSONField(default=list, help_text="Files refused, each with its reason.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "corpora"

    def __str__(self):
        return self.name

    @property
    def folder(self) -> Path:
        """Where its manifest and MIDI files stand."""
        return settings.CORPORA_ROOT / self.name


class TrainedModel(models.Model):
    """One training of one family on one corpus; its checkpoint stands in ``models/<name>/``."""

    name = models.SlugField(max_length=100, unique=True)
    family = models.CharField(max_length=100)
    preset = models.CharField(max_length=50)
    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="trained_models")
    corpus_sha256 = models.CharField(max_length=64)
    seed = models.PositiveBigIntegerField(default=0)
    settings = models.JSONField(default=dict, help_text="The family's configuration as trained.")
    updates = models.PositiveBigIntegerField(default=0)
    seconds = models.FloatField(default=0, help_text="Training time, all resumptions together.")
    device = models.CharField(max_length=20, default="cpu")
    n_parameters = models.PositiveBigIntegerField(default=0)
    train_loss = models.FloatField(null=True)
    validation_loss = models.FloatField(null=True)
    is_finished = models.BooleanField(
        default=False, help_text="Training came to the end that was asked for; else `--resume` goes on."
    )
    checkpoint_sha256 = models.CharField(max_length=64, blank=True)
    code_version = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    @property
    def folder(self) -> Path:
        """Where its checkpoint stands."""
        return settings.MODELS_ROOT / self.name


class Generation(models.Model):
    """One run of ``generate``: model, seed, count, settings, and the pieces it made."""

    name = models.SlugField(max_length=120, unique=True, help_text="Model, seed and a number: gru-bach-s7-1.")
    model = models.ForeignKey(TrainedModel, on_delete=models.PROTECT, related_name="generations")
    seed = models.PositiveBigIntegerField()
    settings = models.JSONField(
        default=dict, help_text="Bars, temperature, prime and all that shaped the pieces."
    )
    checkpoint_sha256 = models.CharField(max_length=64)
    code_version = models.CharField(max_length=100, blank=True)
    seconds = models.FloatField(default=0, help_text="How long the run took.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self):
        return self.name


class Origin(models.TextChoices):
    """Where a piece came from."""

    CORPUS = "corpus", "a corpus"
    GENERATION = "generation", "a generation"
    IMPORT = "import", "an import"
    SCRAMBLE = "scramble", "another piece, scrambled"


HAS_ITS_ORIGIN = (
    Q(origin=Origin.CORPUS, corpus__isnull=False, generation=None, scrambled_from=None)
    | Q(origin=Origin.GENERATION, corpus=None, generation__isnull=False, scrambled_from=None)
    | Q(origin=Origin.IMPORT, corpus=None, generation=None, scrambled_from=None) & ~Q(collection="")
    | Q(origin=Origin.SCRAMBLE, corpus=None, generation=None, scrambled_from__isnull=False)
)


class Piece(models.Model):
    """A piece of music and its origin: a corpus, a generation, an import, or another piece scrambled."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(
        max_length=200, help_text="Unique within its origin: the file's stem, or a number."
    )
    origin = models.CharField(max_length=20, choices=Origin.choices)
    corpus = models.ForeignKey(Corpus, null=True, blank=True, on_delete=models.PROTECT, related_name="pieces")
    split = models.CharField(max_length=20, blank=True, help_text="train, validation or test, of a corpus.")
    generation = models.ForeignKey(
        Generation, null=True, blank=True, on_delete=models.PROTECT, related_name="pieces"
    )
    collection = models.CharField(max_length=100, blank=True, help_text="The CONDITION of import_pieces.")
    scrambled_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="scrambles"
    )
    seed = models.PositiveBigIntegerField(null=True, blank=True, help_text="Of its generation or scrambling.")
    source = models.TextField(blank=True, help_text="The file it was read from, as it was named.")
    midi_path = models.CharField(
        max_length=500, blank=True, help_text="Within the data folder; empty for audio."
    )
    audio_path = models.CharField(
        max_length=500, blank=True, help_text="A recording, within the data folder."
    )
    sha256 = models.CharField(max_length=64, help_text="Hash of its notes, or of the recording.")
    n_notes = models.PositiveIntegerField(default=0)
    n_bars = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0)
    meter = models.CharField(max_length=20, blank=True)
    key = models.CharField(max_length=20, blank=True)
    license = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=HAS_ITS_ORIGIN, name="piece_has_its_origin"),
            models.CheckConstraint(condition=~Q(midi_path="") | ~Q(audio_path=""), name="piece_can_be_heard"),
            models.UniqueConstraint(
                fields=["corpus", "name"], condition=Q(origin=Origin.CORPUS), name="one_piece_per_corpus_name"
            ),
            models.UniqueConstraint(
                fields=["generation", "name"],
                condition=Q(origin=Origin.GENERATION),
                name="one_piece_per_generation_name",
            ),
            models.UniqueConstraint(
                fields=["collection", "name"],
                condition=Q(origin=Origin.IMPORT),
                name="one_piece_per_import_name",
            ),
            models.UniqueConstraint(
                fields=["scrambled_from", "seed"],
                condition=Q(origin=Origin.SCRAMBLE),
                name="one_scramble_per_seed",
            ),
        ]

    def __str__(self):
        return f"{self.origin_name}/{self.name}"

    @property
    def origin_name(self) -> str:
        """The corpus, generation, import or piece that it came from, by name."""
        if self.origin == Origin.CORPUS:
            return self.corpus.name
        if self.origin == Origin.GENERATION:
            return self.generation.name
        if self.origin == Origin.SCRAMBLE:
            return f"scrambled {self.scrambled_from.origin_name}"
        return self.collection

    @property
    def midi_file(self) -> Path | None:
        """Its MIDI file, or None for a recording."""
        return settings.HOME / self.midi_path if self.midi_path else None

    @property
    def audio_file(self) -> Path | None:
        """Its recording, or None for a score."""
        return settings.HOME / self.audio_path if self.audio_path else None


class Stimulus(models.Model):
    """The audio excerpt of a piece as it is presented: one synth, one loudness, one length for all."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    piece = models.ForeignKey(Piece, on_delete=models.PROTECT, related_name="stimuli")
    recipe_sha256 = models.CharField(
        max_length=64, help_text="Hash of the piece and of all that shaped the sound."
    )
    start_seconds = models.FloatField(default=0, help_text="Where the excerpt starts in the piece.")
    seconds = models.FloatField()
    engine = models.CharField(max_length=50)
    facts = models.JSONField(
        default=dict, help_text="Engine version, soundfont hash, options, levels, fades."
    )
    loudness_lufs = models.FloatField()
    true_peak_dbtp = models.FloatField()
    flac_path = models.CharField(max_length=500)
    flac_sha256 = models.CharField(max_length=64)
    mp3_path = models.CharField(max_length=500)
    mp3_sha256 = models.CharField(max_length=64)
    mp3_bytes = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        verbose_name_plural = "stimuli"
        constraints = [models.UniqueConstraint(fields=["recipe_sha256"], name="one_stimulus_per_recipe")]

    def __str__(self):
        return f"{self.piece} ({self.start_seconds:g}-{self.start_seconds + self.seconds:g} s)"

    @property
    def mp3_file(self) -> Path:
        """What listeners hear."""
        return settings.HOME / self.mp3_path

    @property
    def flac_file(self) -> Path:
        """The lossless original of the MP3."""
        return settings.HOME / self.flac_path


class OriginalityReport(models.Model):
    """What a set of pieces copied from a corpus: the stored result of one ``plagiarism`` run."""

    subject = models.CharField(max_length=200, help_text="The model, generation or files that were searched.")
    generation = models.ForeignKey(
        Generation, null=True, blank=True, on_delete=models.CASCADE, related_name="originality_reports"
    )
    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="originality_reports")
    corpus_sha256 = models.CharField(max_length=64)
    result = models.JSONField(help_text="The document that `plagiarism --json` writes.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self):
        return f"{self.subject} against {self.corpus}"
