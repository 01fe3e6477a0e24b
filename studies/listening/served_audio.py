"""What can be measured on the sound that a browser gets, and whether it tells real from generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np

#: Below this a sample counts as silence: -60 dB of full scale.
SILENCE = 10 ** (-60 / 20)

#: Differences of medians that no listener and no file browser could make use of.
NEGLIGIBLE = {
    "n_bytes": 0,
    "seconds": 0.001,
    "loudness_lufs": 0.1,
    "peak_db": 1.0,
    "leading_silence_seconds": 0.05,
    "trailing_silence_seconds": 0.25,
    "bandwidth_hz": 500.0,
}

#: A feature that tells real from generated with so small a p keeps a study from opening.
CERTAIN = 0.01

MOST_PERMUTATIONS = 5000


@dataclass(frozen=True)
class Features:
    """Simple features of one served file."""

    n_bytes: int
    n_channels: int
    sample_rate_hz: int
    seconds: float
    loudness_lufs: float  # integrated, ITU-R BS.1770
    peak_db: float  # of full scale
    leading_silence_seconds: float
    trailing_silence_seconds: float
    bandwidth_hz: float  # below it lies 99 % of the power


@dataclass(frozen=True)
class Separation:
    """How well one feature tells real from generated."""

    feature: str
    auc: float  # 0.5 is chance; above it real pieces have the larger values
    p: float  # two-sided, by permutation
    difference: float  # of the medians, real minus generated
    gap: float  # between all real and all generated pieces; 0 where their values overlap
    least_p: float  # that so few pieces can give

    @property
    def is_negligible(self) -> bool:
        """Whether the difference is too small to be of use to anybody."""
        return abs(self.difference) <= NEGLIGIBLE[self.feature]

    @property
    def is_complete(self) -> bool:
        """Whether every real piece lies on one side of every generated one, by more than is negligible."""
        return self.gap > NEGLIGIBLE[self.feature]

    @property
    def is_telling(self) -> bool:
        """Whether a listener could go by it: beyond chance, or completely where no p could say so."""
        if self.is_negligible:
            return False
        return self.p <= CERTAIN or (self.least_p > CERTAIN and self.is_complete)


def measure(path: Path) -> Features:
    """Decode a served file and measure it.

    Raises
    ------
    OSError
        If the file is missing or no audio.
    """
    import pyloudnorm
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise OSError(f"{path.name} cannot be decoded: {error}") from None
    loudest = np.abs(samples).max(axis=1)
    sounding = np.flatnonzero(loudest > SILENCE)
    first, last = (sounding[0], sounding[-1]) if len(sounding) else (len(samples), -1)
    power = np.abs(np.fft.rfft(samples.mean(axis=1))) ** 2
    cumulated = np.cumsum(power)
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    edge = np.searchsorted(cumulated, 0.99 * cumulated[-1]) if cumulated[-1] > 0 else 0
    with np.errstate(divide="ignore"):
        loudness = pyloudnorm.Meter(rate).integrated_loudness(samples)
        peak_db = 20 * np.log10(loudest.max())
    return Features(
        n_bytes=path.stat().st_size,
        n_channels=samples.shape[1],
        sample_rate_hz=rate,
        seconds=len(samples) / rate,
        loudness_lufs=float(max(loudness, -120.0)),
        peak_db=float(max(peak_db, -120.0)),
        leading_silence_seconds=float(first / rate),
        trailing_silence_seconds=float((len(samples) - 1 - last) / rate),
        bandwidth_hz=float(frequencies[edge]),
    )


def separations(real: Sequence[Features], generated: Sequence[Features]) -> list[Separation]:
    """Each feature's separation of real from generated pieces; none without at least one of each."""
    if not real or not generated:
        return []
    rows = [asdict(features) for features in (*real, *generated)]
    return [separation(feature, [row[feature] for row in rows], n_real=len(real)) for feature in NEGLIGIBLE]


def separation(feature: str, values: Sequence[float], *, n_real: int) -> Separation:
    """The area under the ROC curve of one feature, with a permutation p.

    All ways of calling `n_real` of the pieces real are tried where they are at most `MOST_PERMUTATIONS`, else
    as many random ones, seeded.

    Parameters
    ----------
    values : sequence of float
        Those of the real pieces first. Values closer than `NEGLIGIBLE` resolves are ties.
    """
    values = np.asarray(values, dtype=float)
    grain = NEGLIGIBLE[feature] or 1.0
    ranks = _midranks(np.round(values / grain))
    n, n_generated = len(values), len(values) - n_real

    def auc(chosen: np.ndarray) -> np.ndarray:
        return (ranks[chosen].sum(axis=-1) - n_real * (n_real + 1) / 2) / (n_real * n_generated)

    observed = float(auc(np.arange(n_real)))
    if comb(n, n_real) <= MOST_PERMUTATIONS:
        drawn = np.array(list(combinations(range(n), n_real)))
        at_least = np.abs(auc(drawn) - 0.5) >= abs(observed - 0.5) - 1e-12
        p = float(at_least.mean())
    else:
        rng = np.random.default_rng(0)
        drawn = rng.permuted(np.tile(np.arange(n), (MOST_PERMUTATIONS, 1)), axis=1)[:, :n_real]
        at_least = np.abs(auc(drawn) - 0.5) >= abs(observed - 0.5) - 1e-12
        p = float((1 + at_least.sum()) / (1 + MOST_PERMUTATIONS))
    real, generated = values[:n_real], values[n_real:]
    return Separation(
        feature=feature,
        auc=observed,
        p=p,
        difference=float(np.median(real) - np.median(generated)),
        gap=float(max(0.0, real.min() - generated.max(), generated.min() - real.max())),
        least_p=least_p(n_real, n_generated),
    )


def least_p(n_real: int, n_generated: int) -> float:
    """The p of a complete separation of different values: two of all relabellings are as extreme."""
    return min(1.0, 2 / comb(n_real + n_generated, n_real))


def _midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean."""
    _, groups, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[groups]


def spread(features: Mapping[str, Features], feature: str) -> float:
    """The largest minus the smallest value of a feature over all files."""
    values = [getattr(each, feature) for each in features.values()]
    return max(values) - min(values) if values else 0.0
