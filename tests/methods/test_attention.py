"""Linear attention equals its quadratic form, and the decoder restores groups from its blocks in reverse order."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from methods.attention import Block, LinearAttention, NoisyDecoder, linear_attention


def quadratic_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    weights = (elu(query) + 1) @ (elu(key) + 1).transpose(-2, -1)
    return weights / weights.sum(-1, keepdim=True) @ value


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tokens", [1, 7, 50])
def test_it_equals_the_quadratic_form(tokens: int) -> None:
    query, key, value = (noise(2, 3, tokens, 8, seed=seed) for seed in range(3))
    torch.testing.assert_close(linear_attention(query, key, value), quadratic_attention(query, key, value))


def test_a_layer_of_several_heads_equals_the_quadratic_form() -> None:
    torch.manual_seed(0)
    layer, tokens = LinearAttention(12, heads=3), noise(2, 5, 12)
    expected = []
    for head in range(3):
        parts = [
            tokens @ layer.qkv.weight[first : first + 4].T + layer.qkv.bias[first : first + 4]
            for first in (4 * head, 12 + 4 * head, 24 + 4 * head)
        ]
        expected.append(quadratic_attention(*parts))
    torch.testing.assert_close(layer(tokens), layer.proj(torch.cat(expected, -1)))


def test_its_output_is_an_average_of_the_values() -> None:
    query, key = noise(1, 6, 4, seed=1) * 3, noise(1, 6, 4, seed=2) * 3
    value = noise(1, 6, 4)
    output = linear_attention(query, key, value)
    assert (output <= value.max(1, keepdim=True).values + 1e-6).all()
    assert (output >= value.min(1, keepdim=True).values - 1e-6).all()
    torch.testing.assert_close(linear_attention(query, key, torch.ones(1, 6, 4)), torch.ones(1, 6, 4))


def test_small_weights_survive_bfloat16() -> None:
    query, key, value = (noise(1, 9, 8, seed=seed) - 7 * (seed < 2) for seed in range(3))
    expected = linear_attention(query, key, value)
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_attention(query.bfloat16(), key.bfloat16(), value.bfloat16())
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)


def test_the_last_blocks_restore_the_first_group() -> None:
    decoder = NoisyDecoder(4, [4, 4], width=4, heads=1, blocks=4, dropout=0.5).eval()
    decoder.bottleneck = nn.Sequential()
    for number, block in enumerate(decoder.blocks):
        block.forward = lambda tokens, number=number: tokens + 10**number
    first, second = decoder(torch.zeros(1, 2, 4))
    assert first.unique().tolist() == [(111 + 1111) / 2]
    assert second.unique().tolist() == [(1 + 11) / 2]


def test_a_group_of_another_width_ends_in_a_linear_layer() -> None:
    decoder = NoisyDecoder(5, [4, 7], width=4, heads=1, blocks=2, dropout=0)
    assert [output.shape for output in decoder(noise(2, 3, 5))] == [(2, 3, 4), (2, 3, 7)]
    assert [type(head) for head in decoder.heads] == [nn.Identity, nn.Linear]


def test_dropout_disturbs_the_bottleneck_in_training_alone() -> None:
    torch.manual_seed(0)
    decoder, tokens = NoisyDecoder(8, [8], width=8, heads=1, blocks=1, dropout=0.5), noise(1, 4, 8)
    decoder.train()
    assert not torch.equal(decoder(tokens)[0], decoder(tokens)[0])
    assert sum(isinstance(m, nn.Dropout) and m.p > 0 for m in decoder.modules()) == 3
    decoder.eval()
    assert torch.equal(decoder(tokens)[0], decoder(tokens)[0])


def test_linear_layers_start_as_released() -> None:
    torch.manual_seed(0)
    decoder = NoisyDecoder(128, [128, 128], width=128, heads=2, blocks=2, dropout=0)
    layers = [module for module in decoder.modules() if isinstance(module, nn.Linear)]
    assert len(layers) == 2 + 2 * 4
    # a normal distribution that is cut off at three deviations has 0.9866 of its deviation
    for layer in layers:
        assert layer.weight.std().item() == pytest.approx(0.009866, rel=0.05)
        assert layer.weight.abs().max() <= 0.03
        assert not layer.bias.any()


def test_a_block_adds_attention_and_then_an_mlp() -> None:
    torch.manual_seed(0)
    block, tokens = Block(8, heads=2), noise(2, 5, 8)
    between = tokens + block.attn(block.norm1(tokens))
    torch.testing.assert_close(block(tokens), between + block.mlp(block.norm2(between)))
    assert (block.norm1.eps, block.mlp.fc1.out_features) == (1e-8, 32)
    assert math.isfinite(block(torch.zeros(1, 2, 8)).sum().item())
