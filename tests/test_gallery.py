"""Networks that no one here wrote, one of each family: what snipcore promises holds for them.

Untrained, as small as their makers' configurations allow. What scoring costs: tests/benchmark.py.
"""

import copy
import warnings
from collections.abc import Callable
from fnmatch import fnmatch
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import timm
import torch
import torchvision
import transformers
from timm.layers import StdConv2d
from timm.models import convmixer, levit, metaformer, mlp_mixer, pvt_v2, resnetv2, tiny_vit, xcit
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torchvision.models import convnext, densenet, regnet, resnet, segmentation
from torchvision.models import swin_transformer as swin
from torchvision.models import vision_transformer as vit
from transformers.pytorch_utils import Conv1D

import snipcore as snip

pytestmark = pytest.mark.slow

CLASSES, SPARSITY = 3, 0.95
UNREACHED = "no path from input to output"


# -------------------------------------------------------------------------------------- inputs


def images(size: int) -> Callable[[], tuple]:
    return lambda: (torch.randn(2, 3, size, size),)


def tokens(**more: Callable[[], Any]) -> Callable[[], dict]:
    """(2, 8) token identifiers, as a tokenizer's batch; `more` are further arguments."""

    def draw() -> dict:
        ids = torch.randint(5, 50, (2, 8))
        made = {name: make() for name, make in more.items()}
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **made}

    return draw


def pixels(size: int) -> Callable[[], dict]:
    return lambda: {"pixel_values": torch.randn(2, 3, size, size)}


def main_output(output) -> Tensor:
    """The predictions among what a network gives."""
    for name in ("logits", "logits_per_image", "last_hidden_state", "out"):
        if not isinstance(output, Tensor) and name in output:
            return output[name]
    return output


class Network(NamedTuple):
    """A row: how to build it and what to feed it, and what is known of it by hand."""

    name: str
    build: Callable[[], nn.Module]
    cut: str | None  # a weight without which its predictions are constant; None: none is known
    around: str  # a weight that a skip connection, or another branch, leads around
    inputs: Callable[[], tuple | dict] = images(32)  # arguments, by place or name, of its forward
    share: float = 1.0  # of its tensors of two dimensions or more, at least so much is listed
    include: Any = None
    exclude: Any = None


# -------------------------------------------------------------------------------------- builders


def of_timm(name: str, **sizes) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=CLASSES, **sizes)


def of_torchvision(name: str, **sizes) -> Callable[[], nn.Module]:
    sizes = {"weights": None, "num_classes": CLASSES, **sizes}
    return lambda: torchvision.models.get_model(name, **sizes)


def of_transformers(family: str, head: str, **sizes) -> Callable[[], nn.Module]:
    """In evaluation mode, without a cache of keys and values among its outputs."""

    def build() -> nn.Module:
        config = getattr(transformers, f"{family}Config")(**sizes)
        if hasattr(config, "use_cache"):
            config.use_cache = False
        return getattr(transformers, family + head)(config).eval()

    return build


def awake(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Gains and heads that start at 0 pass no gradient on: they get random values."""

    def rebuilt() -> nn.Module:
        model = build()
        for name, weight in model.named_parameters():
            if not weight.any() and "bias" not in name:
                nn.init.normal_(weight, std=0.5)
        return model

    return rebuilt


def small_regnet() -> nn.Module:
    blocks = regnet.BlockParams.from_init_params(depth=6, w_0=16, w_a=16, w_m=2.5, group_width=8)
    return regnet.RegNet(blocks, num_classes=CLASSES)


def small_convnext() -> nn.Module:
    blocks = [convnext.CNBlockConfig(16, 32, 1), convnext.CNBlockConfig(32, None, 1)]
    return convnext.ConvNeXt(blocks, layer_scale=1.0, num_classes=CLASSES)


@awake
def small_bit() -> nn.Module:
    """BiT: convolutions whose weights are standardised in the forward pass."""
    sizes = {"layers": (1, 1), "channels": (128, 256), "stem_chs": 32}
    return resnetv2.ResNetV2(**sizes, num_classes=CLASSES, conv_layer=StdConv2d)


BERT = {"vocab_size": 50, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
BERT |= {"intermediate_size": 64, "max_position_embeddings": 16}
GPT = {"vocab_size": 50, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}
GPT |= {"bos_token_id": 1, "eos_token_id": 2}
T5 = {"vocab_size": 50, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
DISTIL = {"vocab_size": 50, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2}
DISTIL |= {"max_position_embeddings": 16}
XL = {"vocab_size": 50, "d_model": 32, "d_inner": 64, "n_layer": 2, "n_head": 2}
XL |= {"use_mems_eval": False, "use_mems_train": False}
WHISPER = {"vocab_size": 50, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1}
WHISPER |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_mel_bins": 8}
WHISPER |= {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_source_positions": 16}
WHISPER |= {"max_target_positions": 16}
WHISPER |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
SPEECH = {"conv_dim": (16, 16), "conv_stride": (5, 2), "conv_kernel": (10, 3), **BERT}
SPEECH |= {"num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "mask_time_prob": 0.0}
SPEECH |= {"num_conv_pos_embedding_groups": 2, "classifier_proj_size": 16, "layerdrop": 0.0}
SEGFORMER = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "decoder_hidden_size": 16}
SEGFORMER |= {"num_attention_heads": [1, 1, 2, 2], "num_labels": CLASSES}
SIGHT = {"image_size": 32, "patch_size": 16, **BERT, "num_labels": CLASSES}
STATE = {"vocab_size": 50, "hidden_size": 32, "state_size": 4, "num_hidden_layers": 2}
STATE |= {"tie_word_embeddings": False}
MODERN = {**BERT, "num_key_value_heads": 1, "pad_token_id": 0}
CLIP_TEXT = {**BERT, "bos_token_id": 1, "eos_token_id": 2}
CLIP = {"text_config": CLIP_TEXT, "vision_config": SIGHT, "projection_dim": 16}


def decoder_tokens() -> Tensor:
    return torch.randint(5, 50, (2, 6))


GALLERY = (
    # torchvision
    Network("squeezenet", of_torchvision("squeezenet1_1"),
            "features.0.weight", "features.3.expand1x1.weight", inputs=images(64)),
    Network("resnet", lambda: resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES),
            "conv1.weight", "layer1.0.conv1.weight"),
    # The cut one is depthwise, in a block without a skip.
    Network("mobilenet_v2", of_torchvision("mobilenet_v2", width_mult=0.25),
            "features.2.conv.1.0.weight", "features.3.conv.1.0.weight"),
    # The other one is of a gate: its bias opens it.
    Network("mobilenet_v3", of_torchvision("mobilenet_v3_small", width_mult=0.5),
            "features.0.0.weight", "features.1.block.1.fc2.weight"),
    Network("shufflenet", of_torchvision("shufflenet_v2_x0_5"),
            "conv5.0.weight", "stage2.0.branch1.0.weight"),
    Network("mnasnet", of_torchvision("mnasnet0_5"),
            "layers.3.weight", "layers.8.1.layers.3.weight"),
    Network("densenet", lambda: densenet.DenseNet(8, (2, 2, 2, 2), 16, num_classes=CLASSES),
            "features.transition1.conv.weight", "features.denseblock1.denselayer1.conv2.weight"),
    Network("googlenet", of_torchvision("googlenet", aux_logits=False, init_weights=False),
            "conv2.conv.weight", "inception3a.branch2.1.conv.weight"),
    Network("regnet", small_regnet, "stem.0.weight", "trunk_output.block1.block1-0.f.b.0.weight"),
    # Not listed: the scales of its layers, of shape (C, 1, 1).
    Network("convnext", small_convnext,
            "features.2.1.weight", "features.1.0.block.0.weight", share=0.99),
    # Not listed: positions and the class token.
    Network("vit", awake(lambda: vit.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=CLASSES)),
            "conv_proj.weight", "encoder.layers.encoder_layer_0.self_attention.in_proj_weight",
            share=0.96),
    # Not listed: relative positions.
    Network("swin", lambda: swin.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4],
                num_classes=CLASSES, stochastic_depth_prob=0.0),
            "features.2.reduction.weight", "features.1.0.attn.qkv.weight", share=0.98),
    Network("lraspp", lambda: segmentation.lraspp_mobilenet_v3_large(weights=None,
                weights_backbone=None, num_classes=CLASSES),
            "backbone.0.0.weight", "classifier.scale.1.weight"),
    # timm
    # Weights standardised in the forward pass. Not listed, perhaps: gains of shape (C, 1, 1, 1).
    Network("nfnet", awake(of_timm("test_nfnet")),
            "stem.conv1.weight", "stages.0.0.conv2.weight", inputs=images(64), share=0.99),
    Network("efficientnet", of_timm("test_efficientnet"),
            "blocks.1.0.conv_exp.weight", "blocks.3.0.se.conv_expand.weight", inputs=images(64)),
    Network("byobnet", awake(of_timm("test_byobnet")),
            "stem.conv.weight", "stages.0.0.conv1_kxk.conv.weight", inputs=images(64)),
    Network("mambaout", of_timm("test_mambaout"),
            "stem.conv2.weight", "stages.0.blocks.0.fc1.weight", inputs=images(64)),
    Network("maxvit", of_timm("test_maxvit", img_size=64),
            "stem.conv1.weight", "stages.0.blocks.0.conv.conv2_kxk.weight", inputs=images(64),
            share=0.99),
    Network("coatnet", of_timm("test_coatnet", img_size=64),
            "stem.conv2.weight", "stages.3.blocks.0.mlp.fc1.weight", inputs=images(64), share=0.99),
    # It keeps a dictionary of attention biases.
    Network("levit", awake(lambda: levit.Levit(64, num_classes=CLASSES, embed_dim=(32, 48),
                key_dim=8, depth=(1, 1), num_heads=(2, 3))),
            "stem.conv1.linear.weight", "stages.0.blocks.0.attn.qkv.linear.weight",
            inputs=images(64), share=0.99),
    # So does it.
    Network("tiny_vit", awake(lambda: tiny_vit.TinyVit(num_classes=CLASSES,
                embed_dims=(16, 32, 32, 48), depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2),
                window_sizes=(4, 4, 4, 2), drop_path_rate=0.0)),
            "stages.1.downsample.conv1.conv.weight", "stages.1.blocks.0.attn.qkv.weight",
            inputs=images(64), share=0.99),
    Network("mlp_mixer", awake(lambda: mlp_mixer.MlpMixer(CLASSES, 32, num_blocks=2, embed_dim=16,
                patch_size=8)),
            "stem.proj.weight", "blocks.0.mlp_tokens.fc1.weight"),
    Network("convmixer", lambda: convmixer.ConvMixer(16, 2, 5, 4, num_classes=CLASSES),
            "blocks.0.1.weight", "blocks.0.0.fn.0.weight"),
    Network("pvt_v2", lambda: pvt_v2.PyramidVisionTransformerV2(num_classes=CLASSES,
                depths=(1, 1, 1, 1), embed_dims=(8, 16, 16, 32), num_heads=(1, 1, 2, 2),
                mlp_ratios=(2, 2, 2, 2)),
            "stages.1.downsample.proj.weight", "stages.0.blocks.0.attn.kv.weight"),
    Network("poolformer", lambda: metaformer.MetaFormer(num_classes=CLASSES, depths=(1, 1, 1, 1),
                dims=(8, 16, 16, 32), use_mlp_head=False),
            "stages.1.downsample.conv.weight", "stages.1.blocks.0.mlp.fc2.weight"),
    Network("xcit", lambda: xcit.Xcit(32, 8, num_classes=CLASSES, embed_dim=32, depth=2,
                num_heads=2, eta=1.0),
            "patch_embed.proj.2.0.weight", "pos_embed.token_projection.weight", share=0.99),
    Network("bit", small_bit, "stem.conv.weight", "stages.0.blocks.0.conv2.weight"),
    Network("ghostnet", of_timm("ghostnet_050"),
            "conv_stem.weight", "blocks.0.0.ghost1.cheap_operation.0.weight"),
    # transformers
    # Asked for hidden states, it installs hooks at its first forward pass. Not listed: embeddings.
    Network("bert", of_transformers("Bert", "ForSequenceClassification", **BERT),
            "bert.pooler.dense.weight", "bert.encoder.layer.0.attention.self.query.weight",
            inputs=tokens(output_hidden_states=lambda: True), share=0.87),
    Network("distilbert", of_transformers("DistilBert", "ForSequenceClassification", **DISTIL),
            "pre_classifier.weight", "distilbert.transformer.layer.0.ffn.lin1.weight",
            inputs=tokens(), share=0.87),
    # One layer, run twice.
    Network("albert",
            of_transformers("Albert", "ForSequenceClassification", **BERT, embedding_size=16),
            "albert.encoder.embedding_hidden_mapping_in.weight",
            "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight", inputs=tokens(),
            share=0.87),
    # Linear maps of its own make, and a head that is its embedding.
    Network("gpt2", of_transformers("GPT2", "LMHeadModel", **GPT),
            None, "transformer.h.0.mlp.c_fc.weight", inputs=tokens(), share=0.90, include=Conv1D),
    Network("llama", of_transformers("Llama", "ForCausalLM", **MODERN),
            "lm_head.weight", "model.layers.0.mlp.down_proj.weight", inputs=tokens(), share=0.92),
    # Experts are raw parameters of three dimensions. Not listed: the embedding and the router.
    Network("mixtral", of_transformers("Mixtral", "ForCausalLM", **MODERN, num_local_experts=4),
            "lm_head.weight", "model.layers.0.mlp.experts.down_proj", inputs=tokens(), share=0.96,
            include="*experts*"),
    Network("mamba", of_transformers("Mamba", "ForCausalLM", **STATE),
            "lm_head.weight", "backbone.layers.0.mixer.in_proj.weight",
            inputs=lambda: {"input_ids": torch.randint(5, 50, (2, 8))}, share=0.88),
    # Its head is its embedding.
    Network("t5", of_transformers("T5", "ForConditionalGeneration", **T5),
            None, "decoder.block.0.layer.1.EncDecAttention.k.weight",
            inputs=tokens(decoder_input_ids=decoder_tokens), share=0.95),
    # Raw parameters, some of them used by torch.einsum.
    Network("xlnet", of_transformers("XLNet", "ForSequenceClassification", **XL),
            "sequence_summary.summary.weight", "transformer.layer.0.rel_attn.q", inputs=tokens(),
            share=0.90, include="*rel_attn.[qkvor]"),
    Network("clip", of_transformers("CLIP", "Model", **CLIP),
            None, "text_model.encoder.layers.0.self_attn.v_proj.weight",
            inputs=tokens(pixel_values=lambda: torch.randn(2, 3, 32, 32)), share=0.96),
    Network("beit", of_transformers("Beit", "ForImageClassification", **SIGHT),
            "beit.embeddings.patch_embeddings.projection.weight",
            "beit.layers.0.attention.v_proj.weight", inputs=pixels(32), share=0.99),
    Network("segformer", of_transformers("Segformer", "ForSemanticSegmentation", **SEGFORMER),
            "segformer.stages.0.patch_embeddings.proj.weight",
            "decode_head.linear_projections.2.proj.weight", inputs=pixels(64)),
    # One of its convolutions is parametrised.
    Network("wav2vec2", of_transformers("Wav2Vec2", "ForSequenceClassification", **SPEECH),
            "wav2vec2.feature_extractor.conv_layers.0.conv.weight",
            "wav2vec2.encoder.layers.0.feed_forward.intermediate_dense.weight",
            inputs=lambda: {"input_values": torch.randn(2, 400)}, share=0.89,
            exclude="*pos_conv_embed*"),
    Network("whisper", of_transformers("Whisper", "ForConditionalGeneration", **WHISPER),
            None, "model.encoder.conv1.weight",
            inputs=lambda: {"input_features": torch.randn(2, 8, 32),
                            "decoder_input_ids": decoder_tokens()}, share=0.90),
)  # fmt: skip


# -------------------------------------------------------------------------------------- the tests


def run(model: nn.Module, inputs: tuple | dict) -> Any:
    return model(**inputs) if isinstance(inputs, dict) else model(*inputs)


def loss_of(model: nn.Module, inputs: tuple | dict) -> Tensor:
    """Squared distance of the predictions from a ramp, which suits any shape."""
    output = main_output(run(model, inputs))
    ramp = torch.linspace(-1, 1, output.numel()).view(output.shape)
    return nn.functional.mse_loss(output, ramp)


def built(network: Network) -> nn.Module:
    """The same weights at every call."""
    torch.manual_seed(0)
    return network.build()


def drawn(network: Network, seed: int = 1) -> tuple | dict:
    torch.manual_seed(seed)
    return network.inputs()


def listed(network: Network, model: nn.Module) -> dict[str, nn.Parameter]:
    return snip.prunable(model, include=network.include, exclude=network.exclude)


def share(model: nn.Module, names) -> float:
    """Of the entries of all tensors of two dimensions or more, the fraction in `names`."""
    sizes = {name: w.numel() for name, w in model.named_parameters() if w.ndim > 1}
    return sum(size for name, size in sizes.items() if name in names) / sum(sizes.values())


def described(value: Any) -> Any:
    """A number or a word itself, the type and length of a container, else the type alone."""
    if isinstance(value, bool | int | float | str | None):
        return value
    sized = isinstance(value, dict | list | set | tuple)
    return type(value).__name__, len(value) if sized else None


def snapshot(model: nn.Module) -> dict[str, Any]:
    """All that a forward pass could leave behind, hooks and caches too, as values that compare."""
    seen: dict[str, Any] = {}
    for name, module in model.named_modules():
        seen |= {f"{name}: {key}": described(value) for key, value in vars(module).items()}
    for name, tensor in model.state_dict().items():
        seen[f"bits of {name}"] = tensor.numpy().tobytes()
    for name, weight in model.named_parameters():
        seen[f"flags of {name}"] = weight.requires_grad, weight.grad is None
    return seen


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs, without the bits: they would fill the screen."""
    return sorted(key for key in before | after if before.get(key) != after.get(key))


@pytest.fixture(scope="module", params=GALLERY, ids=lambda network: network.name)
def scored(request):
    """A network, scored once: with its masks, its state before, and what was warned of."""
    network = request.param
    model, inputs = built(network), drawn(network)
    before, random = snapshot(model), torch.get_rng_state()
    choice = {"include": network.include, "exclude": network.exclude}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        scores = snip.sensitivity_of(model, lambda: loss_of(model, inputs), **choice)
    assert torch.equal(torch.get_rng_state(), random)
    return SimpleNamespace(
        network=network,
        model=model,
        inputs=inputs,
        before=before,
        scores=scores,
        masks=snip.keep_top(scores, SPARSITY),
        said=[str(w.message) for w in said if "not pruned" in str(w.message)],
    )


def test_its_layers_are_listed(scored):
    weights = listed(scored.network, scored.model)
    assert list(weights) == list(scored.scores)
    assert scored.network.share <= share(scored.model, weights) <= 1


def test_what_is_left_out_is_said_where_it_is_much(scored):
    excluded = [] if scored.network.exclude is None else [scored.network.exclude]
    sizes = {
        name: weight.numel()
        for name, weight in scored.model.named_parameters()
        if weight.ndim > 1
        and weight.requires_grad
        and not any(fnmatch(name, pattern) for pattern in excluded)
    }
    left_out = {name: size for name, size in sizes.items() if name not in scored.scores}
    much = sum(left_out.values()) > 0.05 * sum(sizes.values())
    assert len(scored.said) == much
    if much:
        assert max(left_out, key=left_out.get) in scored.said[0]


def test_scores_are_those_of_a_backward_pass(scored):
    twin = built(scored.network).eval()
    loss_of(twin, scored.inputs).backward()
    weights = {name: twin.get_parameter(name) for name in scored.scores}
    raw = {
        name: torch.zeros_like(w) if w.grad is None else (w * w.grad).abs().detach()
        for name, w in weights.items()
    }
    total = sum(part.double().sum() for part in raw.values())
    largest = max(float(score.max()) for score in scored.scores.values())
    for name, score in scored.scores.items():
        expected = (raw[name] / total).float()
        torch.testing.assert_close(score, expected, rtol=1e-4, atol=1e-6 * largest)
    assert sum(score.double().sum() for score in scored.scores.values()) == pytest.approx(
        1, abs=1e-5
    )


def test_it_is_left_as_it_was(scored):
    assert changes(scored.before, snapshot(scored.model)) == []
    snip.collapsed(scored.model, scored.masks, scored.inputs)
    assert changes(scored.before, snapshot(scored.model)) == []
    copied = copy.deepcopy(scored.model).eval()
    twin = built(scored.network).eval()
    with torch.no_grad():
        outputs = [tree_leaves(run(each, scored.inputs)) for each in (twin, copied)]
    fresh, after = ([t for t in leaves if isinstance(t, Tensor)] for leaves in outputs)
    assert len(fresh) == len(after)
    assert all(torch.equal(one, other) for one, other in zip(fresh, after, strict=True))


def test_what_is_pruned_stays_zero(scored):
    model = built(scored.network).train()
    before = {name: model.get_parameter(name).detach().clone() for name in scored.masks}
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, weight_decay=1e-2)
    snip.hold(optimizer, model, scored.masks)
    for _ in range(3):
        loss_of(model, scored.inputs).backward()
        optimizer.step()
    moved = 0
    for name, mask in scored.masks.items():
        weight = model.get_parameter(name)
        assert not weight[~mask].any() and weight.isfinite().all(), name
        moved += int((weight != before[name])[mask].sum())
    assert moved > 0


def test_nothing_is_cut_where_all_is_kept(scored):
    model, inputs = scored.model, scored.inputs
    whole = {name: torch.ones_like(mask) for name, mask in scored.masks.items()}
    assert snip.collapsed(model, whole, inputs) == []
    assert snip.collapsed(model, whole, lambda: main_output(run(model, inputs))) == []


def responds_without(network: Network, name: str) -> bool:
    """Whether, with this weight at zero, two inputs still give two outputs."""
    model = built(network).eval()
    with torch.no_grad():
        model.get_parameter(name).zero_()
        one, other = (main_output(run(model, drawn(network, seed))) for seed in (1, 2))
    return not torch.equal(one, other)


def test_a_cut_layer_is_named(scored):
    model, inputs = scored.model, scored.inputs
    for name, severed in ((scored.network.cut, True), (scored.network.around, False)):
        if name is None:
            continue
        assert responds_without(scored.network, name) != severed
        masks = {key: torch.full_like(mask, key != name) for key, mask in scored.masks.items()}
        found = snip.collapsed(model, masks, lambda: main_output(run(model, inputs)))
        assert found == ([name, UNREACHED] if severed else [name])
