"""Transformer-XL over notes and durations: the baseline of Tham & Kim, which is musicautobot's network.

Dai, Yang, Yang, Carbonell, Le & Salakhutdinov (2019), "Transformer-XL: Attentive Language Models beyond a
Fixed-Length Context", ACL; as built by fastai 1.0 and used for music by bearpelican/musicautobot (Shaw 2019);
trained on single artists by Tham & Kim (2021), "Generating Music Using Deep Learning". 16 layers of width
512, 8 heads of 64, inner width 2048, GELU, normalised after each block, no biases in the attention;
sinusoidal distances, whose two biases u and v all layers share; a memory of 512 tokens; the embedding is also
the output. `encode_position` adds embeddings of the place in two bars of 4/4 and of their number.

Differences from the original. Its memory holds hidden states, all of which are projected anew for each token;
while writing, this one holds the projected keys and values, and the projected distances are made once: the
same numbers, for less. Training goes through windows of `n_segments` segments of `bptt` tokens with the
memory of the segments before (hidden states, as in the original, since weights change in between), one update
each; the memory is empty where a window starts. `stop="original"` ends a piece as the original does, at a
start token after `least_bars`, or at a multiple of four bars after 80 % of `budget` tokens; by default a
piece has the bars asked for. Tokens that no note could be read from are never drawn, where the original looks
at pitch and duration only. A prime is continued from the bar line after its last onset. The random attention
masks of later versions are left out, and so are drums unless `drums` is set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.decoding import check_logits, choose, draw_uniforms, keep_top_k, keep_top_p
from generators.errors import GeneratorError
from generators.family import EarlyStopping, Family, MusicModel, Optimizer, Request, Stage
from generators.key_values import KeyValueCache
from generators.products import Product, large_copy, weighted_sums
from generators.representations.note_durations import (
    N_PLACES,
    N_TOKENS,
    PADDING,
    PITCHES,
    START,
    STEPS_PER_BAR,
    NoteDurations,
    NoteGrammar,
    places,
    tokens_to_score,
    transposed,
)
from generators.settings import check_temperature
from music.score import Score

N_BEAT_PLACES = 2 * STEPS_PER_BAR  # embeddings of the place in two bars, where positions are encoded
N_BAR_PLACES = N_PLACES // N_BEAT_PLACES
DRAWS = 256  # random numbers that are drawn from the generator of a piece at a time


@dataclass(frozen=True)
class Config:
    """Settings; the defaults are those of the article: musicautobot's network, five epochs on one artist."""

    d_model: int = 512
    n_layers: int = 16
    n_heads: int = 8
    d_head: int = 64
    d_inner: int = 2048
    n_memory: int = 512  # tokens
    dropout: float = 0.1  # of everything: embeddings, attention, inner and outer sums, output
    encode_position: bool = False
    weight_sd: float = 0.02  # of the weights at first; nets of few layers want d_model ** -0.5
    drums: bool = False  # take drums for notes, as the original does
    bptt: int = 128  # tokens in a segment
    n_segments: int = 8  # that a window has
    batch_size: int = 4
    epochs: int = 5
    max_updates: int | None = None
    learning_rate: float = 1e-3  # the highest of the cycle
    weight_decay: float = 1e-3
    max_grad_norm: float = 1.0
    transpose: float = 0.0  # the probability that a window is moved up by 0 to 11 semitones
    patience: int | None = None  # evaluations without a better validation loss; none: never stop early
    pitch_temperature: float = 1.0
    duration_temperature: float = 1.0
    top_k: int = 30
    top_p: float = 0.6
    repetition: bool = True  # warm up where too few choices are left, again and again
    stop: Literal["bars", "original"] = "bars"
    least_bars: int = 4  # of 4/4, before which the original may not stop
    budget: int = 500  # tokens that the original writes at most

    def __post_init__(self):
        sizes = (
            "d_model",
            "n_layers",
            "n_heads",
            "d_head",
            "d_inner",
            "n_memory",
            "n_segments",
            "batch_size",
        )
        for name in (*sizes, "max_updates", "patience", "top_k", "least_bars", "budget"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("pitch_temperature", "duration_temperature"):
            check_temperature(getattr(self, name), name)
        for name in ("weight_sd", "learning_rate", "max_grad_norm"):
            if not 0 < getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be above 0 and at most 1000, got {getattr(self, name)}")
        if self.d_model % 2:
            raise ValueError(f"d_model must be even, got {self.d_model}")
        if self.bptt < 2:
            raise ValueError(f"bptt must be at least 2, got {self.bptt}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be 0 or more and below 1, got {self.dropout}")
        if not 0 <= self.weight_decay <= 10:
            raise ValueError(f"weight_decay must be 0 to 10, got {self.weight_decay}")
        if not 0 <= self.transpose <= 1:
            raise ValueError(f"transpose must be a probability, 0 to 1, got {self.transpose}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.epochs < 0:
            raise ValueError(f"epochs must be at least 0, got {self.epochs}")


def representation(config: Config) -> NoteDurations:
    """Windows side by side, of whole segments and the token that the last of them foretells."""
    length = config.n_segments * config.bptt
    return NoteDurations(length=length + 1, hop=length, drums=config.drums)


class RelativeAttention(nn.Module):
    """Attention to memory and segment by content and by distance (section 3.3 of the paper)."""

    def __init__(self, config: Config):
        super().__init__()
        self.n_heads, self.d_head = config.n_heads, config.d_head
        width = config.n_heads * config.d_head
        self.project = nn.Linear(config.d_model, 3 * width, bias=False)  # W_q, W_k,E, W_v
        self.distance = nn.Linear(config.d_model, width, bias=False)  # W_k,R
        self.out = nn.Linear(width, config.d_model, bias=False)
        self.norm = nn.LayerNorm(config.d_model)
        self.dropout = nn.Dropout(config.dropout)

    def split(self, hidden: Tensor) -> Tensor:
        """Queries, keys and values of (batch, time, d_model): (3, batch, heads, time, d_head)."""
        return self.project(hidden).unflatten(-1, (3, self.n_heads, self.d_head)).permute(2, 0, 3, 1, 4)

    def distances(self, encoding: Tensor) -> Tensor:
        """Projected distances (heads, n, d_head) of their encoding (n, d_model)."""
        return self.distance(encoding).unflatten(-1, (self.n_heads, self.d_head)).transpose(0, 1)

    def forward(self, hidden: Tensor, memory: Tensor, encoding: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """A segment (batch, time, d_model) after the hidden states of its memory (batch, before, d_model).

        `encoding` (before + time, d_model) is that of the distances before + time - 1 to 0.
        """
        n_before, n_new = memory.shape[1], hidden.shape[1]
        queries, keys, values = self.split(torch.cat([memory, hidden], dim=1))
        queries = queries[:, :, n_before:]  # (batch, heads, time, d_head)
        distances = self.distances(encoding)  # (heads, before + time, d_head)
        return self.out_of(queries, keys, values, distances, u, v, hidden, n_new)

    def out_of(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        distances: Tensor,
        u: Tensor,
        v: Tensor,
        hidden: Tensor,
        n_new: int,
    ) -> Tensor:
        """What a segment becomes, given all keys (batch, heads, before + time, d_head) and values."""
        position = torch.einsum("bhtd,hnd->bhtn", queries + v[:, None], distances)
        bias = shifted(position) / math.sqrt(self.d_head)  # (batch, heads, time, before + time)
        if n_new > 1:
            future = torch.ones(bias.shape[-2:], dtype=torch.bool, device=bias.device)
            bias = bias.masked_fill(future.triu(bias.shape[-1] - n_new + 1), -torch.inf)
        mixed = F.scaled_dot_product_attention(
            queries + u[:, None], keys, values, bias, self.dropout.p if self.training else 0.0
        )  # (batch, heads, time, d_head)
        return self.norm(hidden + self.dropout(self.out(mixed.transpose(1, 2).flatten(2))))


def shifted(scores: Tensor) -> Tensor:
    """Scores by distance (..., time, all), falling to 0 in the last column, as scores by key (appendix B).

    Row i has its distance 0 at key ``all - time + i``. What comes after it is masked, whatever it is here.
    """
    *batch, n_new, n_all = scores.shape
    if n_new == 1:
        return scores
    padded = F.pad(scores, (1, 0)).reshape(*batch, n_all + 1, n_new)
    return padded[..., 1:, :].reshape(*batch, n_new, n_all)


class Block(nn.Module):
    """Relative attention and a feed-forward net, each normalised after it is added to what came in."""

    def __init__(self, config: Config):
        super().__init__()
        self.attention = RelativeAttention(config)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.d_model, config.d_inner),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.d_inner, config.d_model),
            nn.Dropout(config.dropout),
        )
        self.norm = nn.LayerNorm(config.d_model)

    def feed(self, hidden: Tensor) -> Tensor:
        """(batch, time, d_model) to the same."""
        return self.norm(hidden + self.feed_forward(hidden))


class TransformerXL(MusicModel):
    """Blocks with a memory between an embedding and its transpose."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(N_TOKENS, config.d_model)
        if config.encode_position:
            self.beats = nn.Embedding(N_BEAT_PLACES, config.d_model)
            self.bars = nn.Embedding(N_BAR_PLACES, config.d_model)
        self.u = nn.Parameter(torch.empty(config.n_heads, config.d_head))
        self.v = nn.Parameter(torch.empty(config.n_heads, config.d_head))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.bias = nn.Parameter(torch.zeros(N_TOKENS))
        self.dropout = nn.Dropout(config.dropout)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=config.weight_sd)
            elif name.endswith("norm.weight"):
                nn.init.normal_(parameter, mean=1.0, std=0.02)
            else:
                nn.init.zeros_(parameter)

    def embed(self, tokens: Tensor, steps: Tensor) -> Tensor:
        """Tokens (batch, time) at sixteenths of the piece to (batch, time, d_model)."""
        hidden = self.embedding(tokens)
        if self.config.encode_position:
            bars = (steps // N_BEAT_PLACES).clamp(max=N_BAR_PLACES - 1)
            hidden = hidden + self.beats(steps % N_BEAT_PLACES) + self.bars(bars)
        return self.dropout(hidden)

    def encoding(self, count: int) -> Tensor:
        """Sinusoids of the distances count - 1 to 0: (count, d_model)."""
        rates = torch.arange(0, self.config.d_model, 2, dtype=torch.float64) / self.config.d_model
        angles = torch.arange(count - 1, -1, -1, dtype=torch.float64)[:, None] / 10_000**rates
        return torch.cat([angles.sin(), angles.cos()], dim=-1).to(self.u)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., d_model) to (..., vocabulary)."""
        return F.linear(self.dropout(hidden), self.embedding.weight, self.bias)

    def forward(
        self, tokens: Tensor, memory: Sequence[Tensor] | None = None, steps: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """A segment to logits of the next tokens (batch, time, vocabulary), and the memory for what follows.

        A memory is what went into each layer for the last tokens: (batch, up to n_memory, d_model). `steps`
        (batch, time) are the sixteenths of the piece; without them the segment is where the piece begins.
        """
        hidden = self.embed(tokens, places(tokens) if steps is None else steps)  # (batch, time, d_model)
        memory = memory or [hidden[:, :0]] * len(self.blocks)
        encoding = self.dropout(self.encoding(memory[0].shape[1] + tokens.shape[1]))
        kept = []
        for block, before in zip(self.blocks, memory, strict=True):
            kept.append(torch.cat([before, hidden], dim=1)[:, -self.config.n_memory :].detach())
            hidden = block.feed(block.attention(hidden, before, encoding, self.u, self.v))
        return self.logits(hidden), kept

    def stages(self) -> list[Stage]:
        """One stage, "tokens": one cycle of Adam with decoupled decay."""
        config = self.config
        rule = Optimizer(
            "adamw",
            config.learning_rate,
            max_grad_norm=config.max_grad_norm,
            options={"betas": (0.9, 0.99), "weight_decay": config.weight_decay},
            schedule="one_cycle",
        )
        stopping = None if config.patience is None else EarlyStopping(config.patience)
        return [
            Stage(
                "tokens",
                config.epochs,
                config.batch_size,
                {"model": rule},
                config.max_updates,
                early_stopping=stopping,
            )
        ]

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """One loss per segment of windows (batch, time, 2), in nats per token, as far as there are tokens."""
        (tokens, steps), config = batch.long().unbind(-1), self.config
        if config.transpose:
            is_moved = torch.rand(len(tokens), device=tokens.device) < config.transpose
            semitones = torch.randint(12, (len(tokens),), device=tokens.device) * is_moved
            tokens = torch.where(tokens == PADDING, PADDING, transposed(tokens, semitones))
        for logits, targets in self._segments(tokens, steps):
            yield "model", _nats(logits, targets) / (targets != PADDING).sum().clamp(min=1)

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Per token: nats, and how often the likeliest is right."""
        total, right, count = 0.0, 0, 0
        for logits, targets in self._segments(*batch.long().unbind(-1)):
            total = total + _nats(logits, targets)
            right = right + (logits.argmax(-1) == targets).sum()
            count = count + (targets != PADDING).sum()
        return {"loss": (total, count), "accuracy": (right, count)}

    def _segments(self, tokens: Tensor, steps: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits and targets of each segment of windows (batch, time), with the memory of those before.

        The last is that in which the longest of the windows ends: all have a token to foretell.
        """
        memory = None
        longest = int((tokens != PADDING).sum(1).max())
        for first in range(0, longest - 1, self.config.bptt):
            now = slice(first, min(first + self.config.bptt, longest - 1))
            targets = tokens[:, now.start + 1 : now.stop + 1]
            logits, memory = self(tokens[:, now].clamp(min=0), memory, steps[:, now].clamp(min=0))
            yield logits.float(), targets

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Draw token after token, all pieces side by side, with a memory of keys and values."""
        config, device = self.config, self.u.device
        is_original = config.stop == "original"
        grammar = NoteGrammar(len(rngs), request, device, config.least_bars if is_original else None)
        before = self._start(request).to(device).expand(len(rngs), -1, -1)  # (pieces, time, 2)
        reader = Reader(self, len(rngs))
        logits = reader.read(*before.unbind(-1))
        start = before[:, -1, 1]  # where the piece begins, counted from the start of the prime
        rule = Rule(config, request, len(rngs), device)
        written: list[Tensor] = []
        unfinished = ~grammar.finished
        while unfinished.any():
            if len(written) % DRAWS == 0:
                check_logits(logits)
                draws = draw_uniforms(rngs, DRAWS).to(device)  # (pieces, DRAWS)
            draw = draws[:, len(written) % DRAWS]
            chosen = rule.pick(logits, grammar.allowed(), grammar.needs_duration, draw)
            written.append(torch.where(unfinished, chosen, PADDING))
            grammar.advance(chosen)
            if is_original:
                grammar.finished |= self._is_spent(len(written), grammar)
            unfinished = ~grammar.finished
            request.report(max(grammar.share, len(written) / config.budget if is_original else 0))
            logits = reader.read(chosen[:, None], (start + grammar.step)[:, None])
        pieces = torch.stack(written, dim=1).cpu().tolist()  # (pieces, tokens)
        return [
            tokens_to_score([token for token in piece if token not in (PADDING, START)], request)
            for piece in pieces
        ]

    def _start(self, request: Request) -> Tensor:
        """What is before the first token, the end of the prime or the start token, with places (n, 2)."""
        if request.prime is None:
            return torch.tensor([[START, 0]])
        tokens = representation(self.config).continued(request.prime)
        if not len(tokens):
            besides = "" if self.config.drums else " besides drums"
            raise GeneratorError(
                f"the prime holds no note of pitch {PITCHES[0]} to {PITCHES[-1]}{besides}; it needs one"
            )
        return torch.from_numpy(tokens[-2 * max(1, self.config.n_memory // 2) :]).long()

    def _is_spent(self, n_written: int, grammar: NoteGrammar) -> Tensor:
        """Where the original would stop: at the budget, or after 80 % of it as a fourth bar begins."""
        if n_written >= self.config.budget:
            return torch.ones_like(grammar.finished)
        is_bar = (grammar.step % (4 * STEPS_PER_BAR) == 0) & (grammar.step > 0)
        return is_bar & ~grammar.needs_duration & (n_written > 0.8 * self.config.budget)


def _nats(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PADDING, reduction="sum")


class Rule:
    """How the original draws: two temperatures, the likeliest few, and more warmth where it repeats itself.

    Where no more than two choices were left a count goes up by one, elsewhere it is halved; the temperature
    grows by its own share ``log((count + 1) / 4) / 5``, once that is positive.
    """

    def __init__(self, config: Config, request: Request, n_pieces: int, device: torch.device):
        self.config, self.argmax = config, request.argmax
        scale = 1.0 if request.temperature is None else request.temperature  # of both temperatures
        self.temperatures = config.pitch_temperature * scale, config.duration_temperature * scale
        self.repeated = torch.zeros(n_pieces, dtype=torch.int64, device=device)

    def pick(self, logits: Tensor, allowed: Tensor, is_duration: Tensor, draws: Tensor) -> Tensor:
        """Tokens (pieces,) from logits and what is allowed, (pieces, vocabulary), by uniform numbers."""
        logits = logits.double().masked_fill(~allowed, -torch.inf)
        if self.argmax:
            return logits.argmax(-1)
        pitch, duration = self.temperatures
        temperature = torch.where(is_duration, *logits.new_tensor([duration, pitch]))
        if self.config.repetition:
            warmth = ((self.repeated + 1).double() / 4).log() / 5
            temperature = temperature * (1 + warmth.clamp(min=0))
        kept = keep_top_k(logits / temperature[:, None], self.config.top_k)
        if self.config.top_p < 1:
            kept = keep_top_p(kept, self.config.top_p)
        few = (kept > -torch.inf).sum(-1) <= 2
        self.repeated = torch.where(few, self.repeated + 1, self.repeated // 2)
        return choose(kept.softmax(-1), draws[:, None])[:, 0]


class Reader:
    """Reads tokens into a memory of keys and values, as far back as the memory of the model reaches.

    The memory has room for twice as many tokens, so that what is forgotten is moved out but rarely.
    """

    def __init__(self, model: TransformerXL, n_pieces: int):
        config = model.config
        self.model, self.n_memory = model, config.n_memory
        size = (n_pieces, config.n_heads, 2 * config.n_memory + 1, config.d_head)
        self.caches = [KeyValueCache(*size, like=model.u) for _ in model.blocks]
        encoding = model.encoding(config.n_memory + 1)
        # Each (heads, d_head, n_memory + 1), of the farthest first.
        self.distances = [large_copy(block.attention.distances(encoding).mT) for block in model.blocks]
        self.products = [
            [
                Product(weight, n_pieces)
                for weight in (
                    block.attention.project.weight,
                    block.attention.out.weight,
                    block.feed_forward[0].weight,
                    block.feed_forward[3].weight,
                )
            ]
            for block in model.blocks
        ]
        self.biases = torch.stack([model.u, model.v]) / math.sqrt(config.d_head)  # (2, heads, d_head)
        self.end = 0  # of the places that are taken

    def read(self, tokens: Tensor, steps: Tensor) -> Tensor:
        """Tokens (pieces, time up to n_memory) at sixteenths to logits of the next (pieces, vocabulary)."""
        n_new = tokens.shape[1]
        if self.end + n_new > self.caches[0].n_places:
            for cache in self.caches:
                cache.keep_last(self.end, self.n_memory)
            self.end = self.n_memory
        first, stop = max(0, self.end - self.n_memory), self.end + n_new
        hidden = self.model.embed(tokens, steps)
        hidden = self._step(hidden[:, 0], first, stop) if n_new == 1 else self._extend(hidden, first, stop)
        self.end = stop
        return self.model.logits(hidden)

    def _extend(self, hidden: Tensor, first: int, stop: int) -> Tensor:
        """All layers for tokens (pieces, time, d_model) that see the places from `first` on: the last."""
        model, n_new = self.model, hidden.shape[1]
        encoding = model.encoding(stop - first)
        for block, cache in zip(model.blocks, self.caches, strict=True):
            queries, keys, values = block.attention.split(hidden)
            cache.write(self.end, keys, values)
            seen, distances = cache.read(first, stop), block.attention.distances(encoding)
            attended = block.attention.out_of(queries, *seen, distances, model.u, model.v, hidden, n_new)
            hidden = block.feed(attended)
        return hidden[:, -1]

    def _step(self, hidden: Tensor, first: int, stop: int) -> Tensor:
        """The same for one token of each piece (pieces, d_model), in as few operations as may be."""
        n_pieces, (n_heads, d_head) = len(hidden), self.biases.shape[1:]
        for block, cache, distances, products in zip(
            self.model.blocks, self.caches, self.distances, self.products, strict=True
        ):
            project, out, widen, narrow = products
            widened, narrowed = block.feed_forward[0], block.feed_forward[3]
            queries, keys, values = project(hidden).view(n_pieces, 3, n_heads, d_head).unbind(1)
            cache.write_at(stop - 1, keys, values)
            # Both queries, divided by the square root of the width: (2, pieces, heads, d_head).
            by_content, by_distance = torch.add(self.biases[:, None], queries, alpha=d_head**-0.5)
            if n_pieces == 1:
                position = weighted_sums(by_distance[0], distances)
            else:
                position = torch.bmm(by_distance.transpose(0, 1), distances).transpose(0, 1).flatten(0, 1)
            near = position[:, first - stop :]  # (pieces * heads, places), of what is seen
            mixed = cache.attend(by_content, first, stop, near)
            hidden = block.attention.norm(out(mixed).add_(hidden))
            inner = F.gelu(widen(hidden, widened.bias))  # (pieces, d_inner)
            hidden = block.norm(narrow(inner, narrowed.bias).add_(hidden))
        return hidden


PRESETS = {
    # At this depth the small weights of the original are the better start: on 100 chorales, 256 tokens an
    # update, a token of the training windows costs 2.1 nats after 40 updates, with 0.044 at first 2.9.
    "paper": Config(),
    # The training script of musicautobot: dropout is one and a half times that of its configuration.
    "musicautobot": Config(dropout=0.15, bptt=512, n_segments=4, batch_size=12, epochs=10, transpose=0.5),
    # A smaller net whose weights are at first about one over the root of its width: with the 0.02 of the
    # original it learns no more in that time than how often each token occurs, and two layers of width 512
    # leave that state late as well (2.8 nats after 92 updates; with 0.044 2.0 after 60). Some 50 seconds of
    # one CPU; then a token of the validation pieces of chorales costs below 0.95 nats. Counting how often it
    # occurs gives 2.76, after the one before 2.02, after that two back 1.46, after those two and four back
    # 1.29.
    "tiny": Config(
        d_model=96,
        n_layers=3,
        n_heads=3,
        d_head=32,
        d_inner=384,
        n_memory=64,
        dropout=0.0,
        weight_sd=0.1,
        bptt=64,
        n_segments=4,
        epochs=40,
        max_updates=400,
        learning_rate=2e-3,
        top_p=0.9,  # with less all notes are as long as most of the chorales' are
    ),
}
FAMILY = Family(
    title="Transformer-XL",
    citation="Dai et al. 2019, Transformer-XL; musicautobot; Tham & Kim 2021",
    config=Config,
    representation=representation,
    model=TransformerXL,
    presets=PRESETS,
    abilities=("generate", "prime", "temperature", "argmax"),
    natural_beats=64,
    pieces_at_once=16,
)
