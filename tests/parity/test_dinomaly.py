"""This suite and Dinomaly's released code, with equal weights: see tests/parity/test_parity.py.

The released decoder also sees the teacher's class and register tokens, which an option of its network removes: it is
set here. Dropout is off, as the order of its draws depends on the layout of the tokens.
"""

from functools import partial
from typing import Any

import pytest
import torch
import yaml
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmark.training.schedules import Schedule
from methods.backbone import FeatureBackbone
from methods.dinomaly import Dinomaly
from methods.stable_adamw import StableAdamW
from tests.conftest import PROJECT_ROOT
from tests.methods.samples import batch_of
from tests.parity.authors import check, checkout, modules_of, one_step
from tests.parity.test_parity import AFTER_A_STEP, ROUNDING, scores_of

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

LAYERS = [f"blocks.{i}" for i in range(2, 10)]
STEP = 500
"""Of the training: the share of easy locations is 0.45."""


class Encoder(nn.Module):
    """timm's vision transformer by the names that the released network expects."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.blocks = network, network.blocks

    def prepare_tokens(self, image: Tensor) -> Tensor:
        """Map (B, 3, H, W) to the tokens that the first block sees."""
        tokens: Tensor = self.network.norm_pre(self.network._pos_embed(self.network.patch_embed(image)))
        return tokens


def test_dinomaly() -> None:
    with modules_of(checkout("Dinomaly")) as load:
        uad, layers, utils = load("models.uad"), load("models.vision_transformer"), load("utils")
        optimizer_class = load("optimizers").StableAdamW
    backbone = FeatureBackbone("vit_tiny_patch16_224", "random")
    batch = batch_of(LAYERS, backbone=backbone)
    torch.manual_seed(0)
    ours = Dinomaly(backbone, dropout=0).eval()
    width, heads = 192, 3
    block = partial(layers.Block, num_heads=heads, qkv_bias=True, attn=layers.LinearAttention2)
    decoder = nn.ModuleList(block(width, norm_layer=partial(nn.LayerNorm, eps=1e-8)) for _ in range(8))
    bottleneck = nn.ModuleList([layers.bMlp(width, 4 * width, width)])
    halves = [[0, 1, 2, 3], [4, 5, 6, 7]]
    theirs = uad.ViTill(
        Encoder(backbone.teacher(LAYERS).network.model),
        bottleneck,
        decoder,
        fuse_layer_encoder=halves,
        fuse_layer_decoder=halves,
        remove_class_token=True,
    ).eval()
    with torch.no_grad():  # weights of usual size, so that the features have all directions
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    bottleneck[0].load_state_dict(ours.student.bottleneck[1].state_dict())
    decoder.load_state_dict(ours.student.blocks.state_dict())

    def compare(when: str, limit: float) -> None:
        with torch.no_grad():
            teacher, student = theirs(batch.image)
            for i, pair in enumerate(ours.pairs(batch)):
                check(f"dinomaly teacher, group {i}{when}", pair[0], teacher[i], ROUNDING)
                check(f"dinomaly student, group {i}{when}", pair[1], student[i], limit)
            maps, _ = utils.cal_anomaly_maps(teacher, student, batch.image.shape[-1])
            resized = interpolate(maps, size=256, mode="bilinear", align_corners=False)  # utils.py:369
            blurred = utils.get_gaussian_kernel(kernel_size=5, sigma=4)(resized)
            largest = blurred.flatten(1).sort(dim=1, descending=True)[0][:, : int(256 * 256 * 0.01)]
            anomaly_map = ours.anomaly_map(batch)
        check(f"dinomaly map{when}", anomaly_map, blurred[:, 0], limit)
        check(f"dinomaly score{when}", scores_of(ours, batch)[1], largest.mean(1), limit)

    compare("", ROUNDING)
    trainable = nn.ModuleList([bottleneck, decoder])
    optimizer = optimizer_class(  # dinomaly_mvtec_sep.py:143
        trainable.parameters(), lr=2e-3, betas=(0.9, 0.999), weight_decay=1e-4, amsgrad=True, eps=1e-8
    )
    loss = utils.global_cosine_hm_percent(*theirs(batch.image), p=min(0.9 * STEP / 1000, 0.9), factor=0.1)
    loss.backward()
    nn.utils.clip_grad_norm_(trainable.parameters(), max_norm=0.1)
    optimizer.step()
    ours.steps.fill_(STEP)
    check("dinomaly loss", one_step("dinomaly", next(ours.stages()), batch), loss.item(), ROUNDING)
    compare(" after a step", AFTER_A_STEP)


@pytest.mark.parametrize("amsgrad", [True, False])
def test_stable_adamw(amsgrad: bool) -> None:
    with modules_of(checkout("Dinomaly")) as load:
        released = load("optimizers").StableAdamW
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 5), torch.randn(20, 4, 5)
    gradients[10:] *= 30  # its steps are clipped
    ends = []
    for optimizer_class in (StableAdamW, released):
        weights = nn.Parameter(start.clone())
        optimizer = optimizer_class([weights], lr=2e-3, weight_decay=0.1, amsgrad=amsgrad)
        for gradient in gradients:
            weights.grad = gradient.clone()
            optimizer.step()
        ends.append(weights)
    check(f"StableAdamW, 20 steps, {amsgrad=}", ends[0], ends[1], ROUNDING)


def test_the_learning_rates_of_dinomaly() -> None:
    with modules_of(checkout("Dinomaly")) as load:
        utils = load("utils")
    settings = yaml.safe_load((PROJECT_ROOT / "conf/method/dinomaly.yaml").read_text())["training"]
    count = settings["stages"]["student"]["steps"]
    own, released = (torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=2e-3) for _ in range(2))
    schedule = Schedule(settings["schedule"], own, count)
    scheduler = utils.WarmCosineScheduler(  # dinomaly_mvtec_sep.py:145
        released, base_value=2e-3, final_value=2e-4, total_iters=count, warmup_iters=100
    )
    rates: list[tuple[float, float]] = []
    for _ in range(count):
        rates.append((own.param_groups[0]["lr"], released.param_groups[0]["lr"]))
        for optimizer, schedule_of in ((own, schedule), (released, scheduler)):
            optimizer.step()
            schedule_of.step()
    check("dinomaly learning rates", [rate for rate, _ in rates], [rate for _, rate in rates], ROUNDING)


@torch.no_grad()
def test_the_features_of_dinomaly() -> None:
    with modules_of(checkout("Dinomaly")) as load:
        transformer = load("dinov2.models.vision_transformer")
    side = 518  # of the position embedding: others are interpolated differently, see docs/methods.md
    torch.manual_seed(0)
    released = transformer.vit_small(14, 4, img_size=side, block_chunks=0, init_values=0.5).eval()
    backbone = FeatureBackbone("vit_small_patch14_reg4_dinov2", "random")
    teacher = backbone.teacher(LAYERS)
    network: Any = teacher.network.model
    state = checkpoint_filter_fn(released.state_dict(), network)
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    image = torch.randn(1, 3, side, side)
    tokens, features = released.prepare_tokens(image), teacher(image)
    for number, block in enumerate(released.blocks):
        tokens = block(tokens)
        if f"blocks.{number}" in features:
            patches = tokens[:, 5:].transpose(1, 2).unflatten(2, (side // 14,) * 2)
            check(f"dinomaly features, blocks.{number}", features[f"blocks.{number}"], patches, ROUNDING)
