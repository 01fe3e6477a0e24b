"""What a held-out figure is worth nothing without: the figures of predictors that know next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SMOOTHING = 0.5  # counts start from this, so that what never happened is not impossible


def random_nats(n_keys: int) -> float:
    """Nats per frame of a coin per key."""
    return n_keys * float(np.log(2))


def independent_nats(train: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> float:
    """Nats per frame where every key sounds as often as in training, whatever goes before.

    Rolls are (n_steps, n_keys); the first frame of each is not predicted, as in the other figures.
    """
    frames = np.concatenate(train)
    shares = (frames.sum(axis=0) + SMOOTHING) / (len(frames) + 2 * SMOOTHING)
    return _frame_nats([(roll[1:], np.broadcast_to(shares, roll[1:].shape)) for roll in test])


def markov_nats(train: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> float:
    """Nats per frame where every key looks at itself one frame before."""
    before = np.concatenate([roll[:-1] for roll in train]).astype(bool)
    after = np.concatenate([roll[1:] for roll in train]).astype(bool)
    shares = [
        ((after & (before == state)).sum(axis=0) + SMOOTHING)
        / ((before == state).sum(axis=0) + 2 * SMOOTHING)
        for state in (False, True)
    ]
    return _frame_nats([(roll[1:], np.where(roll[:-1] != 0, shares[1], shares[0])) for roll in test])


def _frame_nats(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    nats = sum(-np.log(np.where(truth != 0, shares, 1 - shares)).sum() for truth, shares in pairs)
    return float(nats / max(1, sum(len(truth) for truth, _ in pairs)))


def token_nats(
    train: Sequence[np.ndarray], test: Sequence[np.ndarray], *, padding: int = -1
) -> tuple[float, float]:
    """Nats per token by how often tokens occur, and by the token before: sequences (n_tokens,) of integers.

    The first token of a sequence is not predicted; padding neither counts nor precedes anything.
    """
    size = 1 + max(int(each.max(initial=0)) for each in [*train, *test])
    counts = np.full(size, SMOOTHING)
    pairs = np.full((size, size), SMOOTHING)
    for each in train:
        before, after = _steps(each, padding)
        np.add.at(counts, after, 1)
        np.add.at(pairs, (before, after), 1)
    steps = [_steps(each, padding) for each in test]
    before, after = (np.concatenate(each) for each in zip(*steps, strict=True))
    alone = -np.log(counts / counts.sum())[after]
    mixed = 0.9 * pairs / pairs.sum(axis=1, keepdims=True) + 0.1 * counts / counts.sum()
    return float(alone.mean()), float(-np.log(mixed)[before, after].mean())


def _steps(tokens: np.ndarray, padding: int) -> tuple[np.ndarray, np.ndarray]:
    before, after = tokens[:-1].astype(int), tokens[1:].astype(int)
    there = (before != padding) & (after != padding)
    return before[there], after[there]


def voice_nats(train: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> tuple[float, float]:
    """The same for four voices (n_steps, 4), each on its own, its own pitch before: nats per token."""
    figures = [
        token_nats([1 + each[:, voice] for each in train], [1 + each[:, voice] for each in test])
        for voice in range(4)
    ]
    return tuple(float(np.mean(each)) for each in zip(*figures, strict=True))


def cell_chances(train: np.ndarray, windows: np.ndarray) -> dict[str, np.ndarray]:
    """How likely each cell of some windows is on, by what training windows say.

    Windows are (n_windows, n_steps, ...) of 0 and 1. "all off": one chance for all cells. "marginals": the
    chance of each cell of a window. "Markov": that of a key after what it was a step before, whatever the
    step; the first step of a window has its marginals.

    Returns
    -------
    chances : dict of np.ndarray [shape of `windows`, or one that broadcasts to it], 0 to 1, both excluded
    """
    train, windows = train.astype(bool), windows.astype(bool)

    def share(cells: np.ndarray, among: np.ndarray, axis) -> np.ndarray:
        return (cells.sum(axis=axis) + SMOOTHING) / (among.sum(axis=axis) + 2 * SMOOTHING)

    everything = np.ones_like(train)
    usual = share(train, everything, 0)  # (n_steps, ...)
    before, after = train[:, :-1], train[:, 1:]
    after_on = share(after & before, before, (0, 1))
    after_off = share(after & ~before, ~before, (0, 1))
    markov = np.where(windows[:, :-1], after_on, after_off)
    first = np.broadcast_to(usual[:1], (len(windows), *usual[:1].shape))
    return {
        "all off": share(train, everything, None),
        "marginals": usual,
        "Markov": np.concatenate([first, markov], axis=1),
    }


def wrong_cells(train: np.ndarray, test: np.ndarray, known: np.ndarray | None = None) -> dict[str, float]:
    """Wrong cells per window of saying nothing sounds, or what is likely by `cell_chances`.

    With `known` (n_windows, n_steps) only those steps of the test windows count, and figures are per step.
    """
    truth = test.astype(bool)
    said = {name: chances > 0.5 for name, chances in cell_chances(train, test).items()}
    said["all off"] = np.zeros((), dtype=bool)
    counts = np.ones(test.shape[:2], dtype=bool) if known is None else known
    n = len(test) if known is None else max(1, int(known.sum()))
    return {name: float((each != truth)[counts].sum() / n) for name, each in said.items()}


def f1_scores(train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """F1 of the cells that are likelier on than off by `cell_chances`; 0 where nothing is."""
    truth = test.astype(bool)
    found = {}
    for name, chances in cell_chances(train, test).items():
        said = np.broadcast_to(chances > 0.5, truth.shape) if name != "all off" else np.zeros_like(truth)
        found[name] = float(2 * (said & truth).sum() / max(1, said.sum() + truth.sum()))
    return found


def squared_errors(train: np.ndarray, test: np.ndarray, *, level: float = 1.0) -> dict[str, float]:
    """Squared error per window where cells that are on have a level, of 0 or what `cell_chances` expects."""
    truth = test.astype(bool)
    expected = cell_chances(train, test) | {"all off": np.zeros(())}
    return {
        name: float(level**2 * ((each - truth) ** 2).sum() / len(test)) for name, each in expected.items()
    }


def state_nats(train: np.ndarray, test: np.ndarray, *, padding: int) -> dict[str, float]:
    """Nats per frame of windows (n_windows, n_steps, n_notes, 2): what sounds, and of that what is struck.

    The first frame of a window is not predicted, nor is padding. Under "all off" all notes have one chance;
    certainty that nothing sounds would cost infinitely much. Under "Markov" a note looks at whether it
    sounded a frame before, for both.
    """
    steps = [_state_steps(each, padding) for each in (train, test)]
    (before, after), (test_before, test_after) = steps

    def nats(of: dict[bool, np.ndarray]) -> float:
        chances = np.where(test_before[..., :1], of[True], of[False])  # (n_frames, n_notes, 2)
        each = -np.log(np.where(test_after, chances, 1 - chances))
        return float((each[..., 0] + test_after[..., 0] * each[..., 1]).sum() / max(1, len(each)))

    def counted(where: np.ndarray, axis) -> np.ndarray:
        sounds, struck = (after[..., place] & where for place in (0, 1))
        pairs = [(sounds, where), (struck & sounds, sounds)]
        shares = [
            (on.sum(axis=axis) + SMOOTHING) / (among.sum(axis=axis) + 2 * SMOOTHING) for on, among in pairs
        ]
        return np.stack(shares, axis=-1)

    anywhere = np.ones_like(before[..., 0])
    alike, alone = counted(anywhere, None), counted(anywhere, 0)
    sounded = before[..., 0]
    return {
        "all off": nats({True: alike, False: alike}),
        "marginals": nats({True: alone, False: alone}),
        "Markov": nats({True: counted(sounded, 0), False: counted(~sounded, 0)}),
    }


def _state_steps(windows: np.ndarray, padding: int) -> tuple[np.ndarray, np.ndarray]:
    """The frames that another follows, and those that follow, of all windows: twice (n, n_notes, 2) bool."""
    lasts = windows[:, 1:, 0, 0] != padding
    return windows[:, :-1][lasts] == 1, windows[:, 1:][lasts] == 1
