"""Music Transformer: one decoder over bars, places and notes, the modern reference among the families.

Huang, Vaswani, Uszkoreit, Shazeer, Simon, Hawthorne, Dai, Hoffman, Dinculescu & Eck (2018), "Music
Transformer: Generating Music with Long-Term Structure", arXiv:1809.04281; sizes of the public port by gwinndr
(MusicTransformer-Pytorch): 6 layers of width 512, feed-forward 1024, 8 heads, 2048 tokens.

Differences from the paper. Positions are rotary (Su et al. 2021) where the paper learns a vector for each
distance: both say how far apart two tokens are, but rotary positions need no extra matrix and allow fused
attention. Layers are normalised before each block, the feed-forward nets have GELU where the paper has ReLU,
nothing has a bias, and the output is tied to the embedding. Tokens are REMI
(`generators.representations.remi`) instead of Performance events, so that bars and meters are there to be
asked for; `tokens="satb"` reads chorales as the paper's section 4.1 does. Training is AdamW with warm-up and
cosine decay, stopped early on the validation loss, every window transposed at random.

Writing. Keys and values of every token are kept, so that a token costs one pass over itself. After `context`
tokens the older half is forgotten, the newer half is read again from place 0, and writing goes on: pieces may
have any length. Only tokens that the grammar allows are drawn, so that everything drawn can be played.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.decoding import check_logits, choose, draw_uniforms, keep_top_k, keep_top_p
from generators.errors import GeneratorError
from generators.family import EarlyStopping, Family, MusicModel, Optimizer, Request, Stage
from generators.key_values import KeyValueCache
from generators.layers import rotary_angles, rotate
from generators.products import Product
from generators.representations.chorale_voices import ChoraleLanguage, ChoraleVoices
from generators.representations.remi import RemiLanguage, RemiTokens
from generators.settings import check_temperature
from music.score import Score

PADDING = -1
DRAWS = 256  # random numbers that are drawn from the generator of a piece at a time
BUCKET = 256  # on a GPU attention looks at a multiple of so many places, each a graph of its own


@dataclass(frozen=True)
class Config:
    """Settings; the defaults are the sizes of the paper's port."""

    tokens: Literal["remi", "satb"] = "remi"
    d_model: int = 512
    n_layers: int = 6
    n_heads: int = 8
    d_ff: int = 1024
    dropout: float = 0.1
    context: int = 2048  # tokens
    transpose_down: int = 5  # semitones; training moves every window by -5 to +6 of them
    transpose_up: int = 6
    batch_size: int = 8
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    max_grad_norm: float = 1.0
    epochs: int = 60
    max_updates: int | None = None
    patience: int | None = 8  # evaluations without a better validation loss; none: never stop early
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 0.95

    def __post_init__(self):
        for name in (
            "d_model",
            "n_layers",
            "n_heads",
            "d_ff",
            "batch_size",
            "max_updates",
            "patience",
            "top_k",
        ):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_temperature(self.temperature)
        for name in ("learning_rate", "max_grad_norm"):
            if not 0 < getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be above 0 and at most 1000, got {getattr(self, name)}")
        if self.d_model % (2 * self.n_heads):
            raise ValueError(
                f"d_model must be a multiple of twice n_heads ({2 * self.n_heads}), got {self.d_model}"
            )
        for name in ("transpose_down", "transpose_up"):
            if not 0 <= getattr(self, name) <= 12:
                raise ValueError(f"{name} must be 0 to 12 semitones, got {getattr(self, name)}")
        if not 16 <= self.context <= 65_536:
            raise ValueError(f"context must be 16 to 65536 tokens, got {self.context}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be 0 or more and below 1, got {self.dropout}")
        if not 0 <= self.weight_decay <= 10:
            raise ValueError(f"weight_decay must be 0 to 10, got {self.weight_decay}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.epochs < 0:
            raise ValueError(f"epochs must be at least 0, got {self.epochs}")


REPRESENTATIONS = {"remi": RemiTokens, "satb": ChoraleVoices}
LANGUAGES = {"remi": RemiLanguage, "satb": ChoraleLanguage}


def representation(config: Config) -> RemiTokens | ChoraleVoices:
    """Windows of one token more than the context, each token but the first to be foretold; they overlap."""
    return REPRESENTATIONS[config.tokens](
        length=config.context + 1,
        hop=config.context // 2,
        transpose=(config.transpose_down, config.transpose_up),
    )


class Attention(nn.Module):
    """Masked self-attention of several heads, with rotary positions."""

    def __init__(self, config: Config):
        super().__init__()
        self.n_heads, self.dropout = config.n_heads, config.dropout
        self.d_head = config.d_model // config.n_heads
        self.project = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)

    def split(self, hidden: Tensor, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of hidden states (batch, time, d_model): (batch, heads, time, d_head)."""
        parts = self.project(hidden).unflatten(-1, (3, self.n_heads, self.d_head))
        parts = parts.permute(2, 0, 3, 1, 4)  # (3, batch, heads, time, d_head)
        queries, keys = rotate(parts[:2], *angles)
        return queries, keys, parts[2]

    def forward(self, hidden: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """All of (batch, time, d_model) at once; a token sees itself and those before it."""
        queries, keys, values = self.split(hidden, angles)
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, dropout_p=self.dropout if self.training else 0.0, is_causal=True
        )
        return self.out(mixed.transpose(1, 2).flatten(2))

    def extend(
        self, hidden: Tensor, angles: tuple[Tensor, Tensor], cache: KeyValueCache, first: int
    ) -> Tensor:
        """The tokens (batch, time, d_model) at places `first` on, after those of which the cache knows."""
        queries, keys, values = self.split(hidden, angles)
        cache.write(first, keys, values)
        n_new, n_seen = keys.shape[2], first + keys.shape[2]
        mask = None
        if n_new > 1:
            mask = torch.ones(n_new, n_seen, dtype=torch.bool, device=hidden.device).tril(first)
        mixed = F.scaled_dot_product_attention(queries, *cache.read(0, n_seen), attn_mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then a feed-forward net, each normalised before and added to what came in."""

    def __init__(self, config: Config):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model, bias=False)
        self.attention = Attention(config)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(config.d_model, bias=False),
            nn.Linear(config.d_model, config.d_ff, bias=False),
            nn.GELU(),
            nn.Linear(config.d_ff, config.d_model, bias=False),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, attend: Any) -> Tensor:
        """(batch, time, d_model) to the same; `attend` is the attention in one of its three ways."""
        hidden = hidden + self.dropout(attend(self.attention, self.attention_norm(hidden)))
        return hidden + self.dropout(self.feed_forward(hidden))


class MusicTransformer(MusicModel):
    """A stack of blocks between an embedding and its transpose."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config, self.learned = config, dict(learned)
        self.language = LANGUAGES[config.tokens](learned)
        self.embedding = nn.Embedding(self.language.n_tokens, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        cosines, sines = rotary_angles(config.context, config.d_model // config.n_heads)
        self.register_buffer("cosines", cosines, persistent=False)  # (context, d_head)
        self.register_buffer("sines", sines, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                into_stream = name.endswith(("out.weight", "feed_forward.3.weight"))
                depth = 2 * config.n_layers if into_stream else 1
                nn.init.normal_(parameter, std=(config.d_model * depth) ** -0.5)

    def _angles(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        return self.cosines[first : first + count], self.sines[first : first + count]

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., d_model) to (..., vocabulary)."""
        return F.linear(self.norm(hidden), self.embedding.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, time up to the context) to logits of the next (batch, time, vocabulary)."""
        angles = self._angles(0, tokens.shape[1])
        hidden = self.dropout(self.embedding(tokens))  # (batch, time, d_model)
        for block in self.blocks:
            hidden = block(hidden, lambda attention, states: attention(states, angles))
        return self.logits(hidden)

    def new_caches(self, n_pieces: int) -> list[KeyValueCache]:
        """Room for the keys and values of a whole context, per layer."""
        config = self.config
        size = (n_pieces, config.n_heads, config.context, config.d_model // config.n_heads)
        return [KeyValueCache(*size, like=self.embedding.weight) for _ in self.blocks]

    def extend(self, tokens: Tensor, caches: Sequence[KeyValueCache], first: int) -> Tensor:
        """Tokens (pieces, time) at places `first` on to logits after the last (pieces, vocabulary)."""
        angles = self._angles(first, tokens.shape[1])
        hidden = self.embedding(tokens)
        for block, cache in zip(self.blocks, caches, strict=True):
            hidden = block(
                hidden,
                lambda attention, states, cache=cache: attention.extend(states, angles, cache, first),
            )
        return self.logits(hidden[:, -1])

    def stages(self) -> list[Stage]:
        """One stage, "tokens"."""
        config = self.config
        rule = Optimizer(
            "adamw",
            config.learning_rate,
            max_grad_norm=config.max_grad_norm,
            options={"betas": (0.9, 0.98), "weight_decay": config.weight_decay},
            schedule="warmup_cosine",
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
        """One loss: nats per token of windows (batch, time), each transposed by a random interval."""
        config, tokens = self.config, batch.long()
        n_intervals = config.transpose_down + config.transpose_up + 1
        semitones = torch.randint(n_intervals, (len(batch),), device=batch.device) - config.transpose_down
        tokens = torch.where(tokens == PADDING, PADDING, self.language.transposed(tokens, semitones))
        total, _, count = self._score(tokens)
        yield "model", total / count.clamp(min=1)

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Per token, as it stands in the corpus: nats, and how often the likeliest is right."""
        total, right, count = self._score(batch.long())
        return {"loss": (total, count), "accuracy": (right, count)}

    def _score(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Summed cross-entropy in nats, right answers, and tokens to foretell in windows (batch, time)."""
        longest = int((tokens != PADDING).sum(1).max())  # what all windows pad is not computed
        tokens = tokens[:, : max(2, longest)]
        logits = self(tokens[:, :-1].clamp(min=0)).float()  # (batch, time - 1, vocabulary)
        targets = tokens[:, 1:]
        total = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=PADDING, reduction="sum"
        )
        return total, (logits.argmax(-1) == targets).sum(), (targets != PADDING).sum()

    @torch.no_grad()
    def piece_nats(self, tokens: np.ndarray) -> tuple[float, int]:
        """Nats of an encoded piece in all, and how many tokens: each but the first counts once.

        A token is foretold from all before it, at least half a context of them where there are so many.
        """
        context, device = self.config.context, self.embedding.weight.device
        piece = torch.from_numpy(tokens).long().to(device)
        total, done = 0.0, 1  # tokens that need no more foretelling
        while done < len(piece):
            first = 0 if done <= context // 2 else done - context // 2
            window = piece[first : first + context + 1]
            logits = self(window[None, :-1])[0].float()
            nats = F.cross_entropy(logits, window[1:], reduction="none")
            total += float(nats[done - first - 1 :].double().sum())
            done = first + len(window)
        return total, len(piece) - 1

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Draw token after token, all pieces side by side, until each has the bars asked for."""
        device = self.embedding.weight.device
        grammar = self.language.grammar(len(rngs), request, device)
        reader = Reader(self, len(rngs))
        logits = reader.read(torch.tensor([self._start(request)] * len(rngs), device=device))
        written: list[Tensor] = []
        unfinished = ~grammar.finished
        while unfinished.any():
            if len(written) % DRAWS == 0:
                check_logits(logits)
                draws = draw_uniforms(rngs, DRAWS).to(device)  # (pieces, DRAWS)
            chosen = self.pick(logits, grammar.allowed(), draws[:, len(written) % DRAWS], request)
            written.append(torch.where(unfinished, chosen, PADDING))
            grammar.advance(chosen)
            unfinished = ~grammar.finished
            request.report(grammar.share)
            logits = reader.read(chosen[:, None])
        pieces = torch.stack(written, dim=1).cpu().tolist()  # (pieces, tokens)
        return [
            self.language.to_score([token for token in piece if token != PADDING], request)
            for piece in pieces
        ]

    def _start(self, request: Request) -> list[int]:
        """The tokens before the first: the end of the prime, or the start token."""
        if request.prime is None:
            return [self.language.start]
        prime = self.language.prime(request.prime, self.learned, self.config.context // 2)
        if not prime:
            raise GeneratorError(
                "the prime holds no note that this model knows: its corpus has other instruments; "
                "prime it with a piece like those it learned from"
            )
        return prime

    def pick(self, logits: Tensor, allowed: Tensor, draws: Tensor, request: Request) -> Tensor:
        """Tokens (pieces,) from logits and what is allowed, (pieces, vocabulary), by uniform numbers."""
        logits = logits.double().masked_fill(~allowed, -torch.inf)
        if request.argmax:
            return logits.argmax(-1)
        logits = logits / (self.config.temperature if request.temperature is None else request.temperature)
        if self.config.top_k is not None:
            logits = keep_top_k(logits, self.config.top_k)
        if self.config.top_p < 1:
            logits = keep_top_p(logits, self.config.top_p)
        return choose(logits.softmax(-1), draws[:, None])[:, 0]


class Reader:
    """Reads what is written, token by token, and forgets the older half whenever the context is full."""

    def __init__(self, model: MusicTransformer, n_pieces: int):
        self.model, self.caches = model, model.new_caches(n_pieces)
        self.step = Step(model, self.caches, n_pieces)
        self.history = torch.zeros(
            n_pieces, model.config.context, dtype=torch.int64, device=model.embedding.weight.device
        )
        self.n_read = 0  # places of the context that are taken
        self.graphs: dict[int, StepGraph] = {}

    def read(self, tokens: Tensor) -> Tensor:
        """Tokens (pieces, time) to logits of the next (pieces, vocabulary)."""
        count, context = tokens.shape[1], self.model.config.context
        if self.n_read + count > context:
            kept = self.history[:, self.n_read - context // 2 : self.n_read]
            tokens = torch.cat([kept, tokens], dim=1)
            self.n_read, count = 0, tokens.shape[1]
        first, self.n_read = self.n_read, self.n_read + count
        self.history[:, first : self.n_read] = tokens
        if count > 1:
            return self.model.extend(tokens, self.caches, first)
        if not tokens.is_cuda:
            return self.step(tokens, first, self.n_read)
        n_seen = min(context, -(-self.n_read // BUCKET) * BUCKET)
        if n_seen not in self.graphs:
            self.graphs[n_seen] = StepGraph(self.step, n_seen)
        return self.graphs[n_seen].replay(tokens, first)


class Step:
    """One token of each piece through all layers, in as few operations as may be."""

    def __init__(self, model: MusicTransformer, caches: Sequence[KeyValueCache], n_pieces: int):
        self.model, self.caches = model, caches
        self.products = [
            [
                Product(weight, n_pieces)
                for weight in (
                    block.attention.project.weight,
                    block.attention.out.weight,
                    block.feed_forward[1].weight,
                    block.feed_forward[3].weight,
                )
            ]
            for block in model.blocks
        ]
        self.output = Product(model.embedding.weight, n_pieces)
        self.shape = (n_pieces, 3, model.config.n_heads, -1)  # (pieces, 3, heads, d_head)
        d_head = model.cosines.shape[1]
        self.scales = model.cosines.new_tensor([[[d_head**-0.5]], [[1.0]]])  # of queries and of keys

    def __call__(self, tokens: Tensor, place: int | Tensor, n_seen: int) -> Tensor:
        """As `MusicTransformer.extend` by one token each (pieces, 1), at a place below `n_seen`.

        None beyond the place is seen. A place (1,) on the device has the same kernels for every place, as a
        graph needs them.
        """
        model, bias = self.model, None
        turns = model.cosines[place] * self.scales, model.sines[place] * self.scales  # (2, 1, d_head)
        if isinstance(place, Tensor):
            beyond = torch.arange(n_seen, device=place.device) > place
            bias = model.cosines.new_zeros(n_seen).masked_fill(beyond, -torch.inf)
        hidden = model.embedding(tokens[:, 0])  # (pieces, d_model)
        for block, cache, products in zip(model.blocks, self.caches, self.products, strict=True):
            project, out, widen, narrow = products
            parts = project(block.attention_norm(hidden)).view(self.shape)
            queries, keys = rotate(parts[:, :2], *turns).unbind(1)  # (pieces, heads, d_head)
            cache.write_at(place, keys, parts[:, 2])
            hidden = out(cache.attend(queries, 0, n_seen, bias)).add_(hidden)
            inner = F.gelu(widen(block.feed_forward[0](hidden)))  # (pieces, d_ff)
            hidden = narrow(inner).add_(hidden)
        return self.output(model.norm(hidden))


class StepGraph:
    """A step as a CUDA graph: the processor starts one thing instead of some hundred."""

    def __init__(self, step: Step, n_seen: int):
        device = step.scales.device
        self.tokens = torch.zeros(step.shape[0], 1, dtype=torch.int64, device=device)
        # Until it is set, the step writes to the last place it sees, which no earlier token holds.
        self.place = torch.full((1,), n_seen - 1, dtype=torch.int64, device=device)
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(2):  # libraries allocate on their first calls, which a graph cannot hold
                step(self.tokens, self.place, n_seen)
        torch.cuda.current_stream(device).wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.logits = step(self.tokens, self.place, n_seen)

    def replay(self, tokens: Tensor, place: int) -> Tensor:
        """Logits (pieces, vocabulary) after tokens (pieces, 1) at a place."""
        self.tokens.copy_(tokens)
        self.place.fill_(place)
        self.graph.replay()
        return self.logits.clone()


#: A corpus of piano pieces in 4/4, as `RemiTokens.learn` describes it; for counting parameters.
EXAMPLE = {
    "meters": [[4, 4]],
    "positions": 48,
    "programs": [0],
    "pitches": [16, 115],
    "drum_pitches": [],
    "velocities": [15, 31, 47, 63, 79, 95, 111, 127],
    "bar_tokens": 256,
}
PRESETS = {
    "paper": Config(),
    "large": Config(n_layers=8, d_ff=2048),
    # Some 45 seconds of one CPU; on 150 chorales a REMI token of the validation pieces costs below 1.4 nats.
    # Small batches: at this size it is the number of updates that counts. No dropout: in so few of them
    # nothing is learned by heart, and with it an update takes two thirds longer.
    "tiny": Config(
        d_model=128,
        n_layers=4,
        n_heads=4,
        d_ff=512,
        dropout=0.0,
        context=512,
        batch_size=2,
        learning_rate=2e-3,
        max_updates=300,
    ),
}
FAMILY = Family(
    title="Music Transformer",
    citation="Huang et al. 2018, Music Transformer",
    config=Config,
    representation=representation,
    model=MusicTransformer,
    presets=PRESETS,
    abilities=("generate", "prime", "temperature", "argmax"),
    natural_beats=64,
    pieces_at_once=16,
    drums=True,
    example=EXAMPLE,
)
