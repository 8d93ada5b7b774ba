"""A transformer that restores a teacher's tokens: a bottleneck, and a decoder with linear attention."""

from collections.abc import Sequence

import torch
from timm.layers import Mlp
from torch import Tensor, nn
from torch.nn.functional import elu

HIDDEN = 4  # width of an MLP, in widths of its output


def linear_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention with the weights phi(q) . phi(k), phi = elu + 1, divided by their sum over the keys.

    Without a softmax the sum over the keys comes first: the cost grows linearly with the number of tokens, and the
    weights cannot concentrate on a few of them.

    Parameters
    ----------
    query, key, value
        (..., N, d) each.
    """
    # a factor is a sum with 1: in bfloat16 the small ones would be lost
    query, key = elu(query.float()) + 1, elu(key.float()) + 1
    return query @ (key.transpose(-2, -1) @ value) / (query @ key.sum(-2).unsqueeze(-1))


class LinearAttention(nn.Module):
    """Linear attention of several heads between the tokens of an image."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, width) to (B, N, width)."""
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(linear_attention(query, key, value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A transformer's block with linear attention: attention and an MLP, each after a LayerNorm and with a skip."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-8), nn.LayerNorm(width, eps=1e-8)
        self.attn = LinearAttention(width, heads)
        self.mlp = Mlp(width, HIDDEN * width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, width) to (B, N, width)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class NoisyDecoder(nn.Module):
    """A bottleneck with dropout and blocks whose outputs, averaged in groups, restore the teacher's.

    Parameters
    ----------
    inputs
        Channels of the tokens.
    outputs
        Channels of each group, from shallow to deep: the last blocks restore the first group. Where they are not
        `width`, a linear layer leads to them.
    width
        Channels of the blocks.
    heads
        Heads of the attention; divides `width`.
    blocks
        Number of blocks; a multiple of the number of groups.
    dropout
        Probability with which the bottleneck sets a value to 0, at its input and after each of its two layers.
    """

    def __init__(
        self, inputs: int, outputs: Sequence[int], width: int, heads: int, blocks: int, dropout: float
    ) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(nn.Dropout(dropout), Mlp(inputs, HIDDEN * width, width, drop=dropout))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.heads = nn.ModuleList(
            nn.Identity() if channels == width else nn.Linear(width, channels) for channels in outputs
        )
        self.apply(initialise)

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """Map (B, N, inputs) to one (B, N, outputs[i]) per group."""
        tokens = self.bottleneck(tokens)
        restored = []
        for block in self.blocks:
            tokens = block(tokens)
            restored.append(tokens)
        size = len(self.blocks) // len(self.heads)
        groups = [restored[i : i + size] for i in range(0, len(restored), size)][::-1]
        return [head(torch.stack(group).mean(0)) for head, group in zip(self.heads, groups, strict=True)]


def initialise(module: nn.Module) -> None:
    """Initialise linear layers as the released code: normal with deviation 0.01, cut off at 0.03; bias 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.01, a=-0.03, b=0.03)
        nn.init.zeros_(module.bias)
