"""Training the networks of VAE + NN, beside the way of the original: encode each batch anew.

Both ways take the batches of the original, 2048 pairs. The latent vectors are those of the same frozen
autoencoders, so both ways yield the same losses, which is checked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.measuring import Work, best_seconds
from generators.families.vae_nn import FAMILY, N_PITCHES, N_STEPS, PRESETS, VAENN

N_WINDOWS = PRESETS["paper"].network_batch_size  # in a batch of either way
N_CHECKED = 32  # windows of which the losses are compared
SHARE_SOUNDING = 0.02  # of cells


def model_and_windows(n_windows: int = N_WINDOWS) -> tuple[VAENN, Tensor]:
    torch.manual_seed(0)
    model = VAENN(PRESETS["paper"], FAMILY.example)
    sounds = torch.rand(n_windows, 2 * N_STEPS, 5, N_PITCHES) < SHARE_SOUNDING
    return model.train(), sounds.to(torch.uint8) * 90


def update(model: VAENN, optimizer: torch.optim.Optimizer, batch: Tensor) -> list[float]:
    """One update of MelodyNN and one of each ConditionalNN, from windows or from rows."""
    losses = []
    for stage in ("melody", "harmony"):
        for _, loss in model.losses(batch, stage):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def networks_of(model: VAENN) -> torch.optim.Optimizer:
    parameters = [*model.melody_nn.parameters(), *model.conditional_nns.parameters()]
    return torch.optim.Adam(parameters, 1e-3)


def check_equal_losses() -> None:
    found = []
    for precomputed in (False, True):
        model, windows = model_and_windows(N_CHECKED)
        batch = model.precompute(windows, "harmony") if precomputed else windows
        optimizer = networks_of(model)
        torch.manual_seed(1)
        found.append([loss for _ in range(3) for loss in update(model, optimizer, batch)])
    if not torch.allclose(*map(torch.tensor, found), rtol=1e-4):
        raise AssertionError(f"the two ways learn differently: {found[0]} and {found[1]}")


def measure_update() -> tuple[float, float]:
    """Seconds for a pair of segments in an update of all five networks."""
    check_equal_losses()
    model, windows = model_and_windows()
    optimizer = networks_of(model)
    rows = model.precompute(windows, "harmony")
    usual, ours = best_seconds(
        lambda: update(model, optimizer, windows),
        lambda: [update(model, optimizer, rows) for _ in range(5)],
        repeats=2,
        warm_up=False,
    )
    return usual / N_WINDOWS, ours / (5 * N_WINDOWS)


def measure_plan() -> tuple[float, float]:
    """Seconds for a pair in all 50 and 30 epochs of the report, taken as 40 of both kinds of networks.

    Encoding the pair once, before, counts with ours.
    """
    model, windows = model_and_windows()
    optimizer = networks_of(model)
    config = model.config

    def usual_epochs() -> None:  # one of each; the others take as long
        update(model, optimizer, windows)

    def encode_once() -> None:
        for stage in ("melody", "harmony"):
            model.precompute(windows, stage)

    rows = model.precompute(windows, "harmony")
    epoch, encoding, from_rows = best_seconds(
        usual_epochs,
        encode_once,
        lambda: [update(model, optimizer, rows) for _ in range(5)],
        repeats=2,
        warm_up=False,
    )
    n_epochs = (config.melody_epochs + config.harmony_epochs) / 2
    return n_epochs * epoch / N_WINDOWS, (encoding + n_epochs * from_rows / 5) / N_WINDOWS


WORKS = [
    Work(
        name="vae_nn network training",
        unit="pair",
        baseline="each batch of 2048 is encoded by the frozen autoencoders inside the loop",
        bar=50,
        measure=measure_update,
    ),
    Work(
        name="vae_nn all epochs of the networks",
        unit="pair",
        baseline="the same; ours encodes every window once before, and that counts here",
        bar=25,
        measure=measure_plan,
    ),
]
