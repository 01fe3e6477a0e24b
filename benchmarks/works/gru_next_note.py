"""GRU next note: training on batches of windows, beside one step of Python per word and one window a time."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.measuring import Work, best_seconds
from generators.families.gru_next_note import FAMILY, Config, GRUNextNote

N_WORDS = 1000  # in the vocabulary
N_WINDOWS = 64
BATCH = 32
LEARNED = FAMILY.example


def word_by_word(model: GRUNextNote, window: torch.Tensor) -> torch.Tensor:
    """The summed loss of one window as the original computes it: step after step, with a batch of one."""
    states = [torch.zeros(1, 1, model.config.d_hidden) for _ in model.layers]
    loss = torch.zeros(())
    for word, target in itertools.pairwise(window):
        below = model.embedding(word.view(1, 1))
        for index, layer in enumerate(model.layers):
            below, states[index] = layer(below, states[index])
        logits = model.readout(torch.cat(states, dim=2).view(1, -1))
        loss = loss + F.cross_entropy(logits, target.view(1))
    return loss


def training() -> tuple[float, float]:
    """Seconds per word, of whole updates with the settings of the paper, but for our batches."""
    torch.manual_seed(0)
    windows = torch.randint(N_WORDS, (N_WINDOWS, Config().n_tokens))
    usual, ours = (GRUNextNote(Config(batch_size=size), LEARNED) for size in (1, BATCH))
    ours.load_state_dict(usual.state_dict())
    with torch.no_grad():
        apart = sum(word_by_word(usual, window) for window in windows[:4])
        ((_, together),) = ours.losses(windows[:4], "words")
    assert torch.allclose(apart / 4, together, rtol=1e-4), (apart / 4, together)

    def update(model, optimizer, loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), model.config.max_grad_norm)
        optimizer.step()

    optimizers = [torch.optim.Adam(model.parameters(), model.config.learning_rate) for model in (usual, ours)]

    def the_usual_way():
        for window in windows[:8]:
            update(usual, optimizers[0], word_by_word(usual, window))

    def our_way():
        for batch in windows.split(ours.config.batch_size):
            ((_, loss),) = ours.losses(batch, "words")
            update(ours, optimizers[1], loss)

    seconds = best_seconds(the_usual_way, our_way)
    n_words = Config().n_tokens - 1
    return seconds[0] / (8 * n_words), seconds[1] / (N_WINDOWS * n_words)


WORKS = [
    Work(
        name="gru_next_note training",
        unit="word",
        baseline="one step of Python per word, batches of one window",
        bar=20,
        measure=training,
    )
]
