"""Scores from weights and gradients, SNIP's and those that came before and after it, and the masks
that keep the largest. `sniplab.controls` has the masks that are drawn at random.

Each `…_masks` is called as `make_masks` says, and leaves the model as it was. Parameters are scored
as SNIP scores them, biases among them: where these start at 0, every score here makes them 0, too.
The public implementations of SynFlow, GraSP and FORCE prune weights alone: compare with
`biases=False`.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from snipcore import (
    BATCH_NORM,
    check_batch,
    check_statistics,
    checked_logits,
    keep_top,
    prunable,
    sensitivity,
    sensitivity_of,
)

# The report prunes little on purpose: pixels that are always black have scores of 0, and some stay.
ZEROS_KEPT = r"[\d,]+ of the [\d,]+ kept have a score of 0"
warnings.filterwarnings("ignore", ZEROS_KEPT, module=r"sniplab\.")

SCORING_CHUNK = 1000  # images per pass: a batch of the whole train split needs no more memory
ROUNDS = 100  # of SynFlow, iterative SNIP and FORCE
TEMPERATURE = 200.0  # of GraSP's loss
IMAGES_PER_CLASS = 10  # of GraSP's scoring batch


def keep(scores: Mapping[str, Tensor], sparsity: float, biases: bool) -> dict[str, Tensor]:
    """`keep_top`; without `biases`, they all stay and do not count."""
    counted = {name: score for name, score in scores.items() if biases or score.ndim > 1}
    masks = keep_top(counted, sparsity)
    masks |= {n: torch.ones_like(scores[n], dtype=bool) for n in scores.keys() - masks.keys()}
    return {name: masks[name] for name in scores}  # in module order


def keep_in_rounds(
    model: nn.Module,
    score: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    sparsity: float,
    biases: bool,
    revive: bool = False,
    rounds: int = ROUNDS,
) -> dict[str, Tensor]:
    """Masks made in rounds, each scored under the mask of the one before: round k of n keeps the
    share (1 − sparsity)^(k/n), so that every round removes the same share of what is left.

    Args:
        score: from the mask of a round to non-negative scores. Those of pruned parameters count in
            the next round if `revive`; else they rank below all others, those of score 0 included.

    Raises what `score` raises: of a network that is cut in two before the last round, say.
    """
    masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in prunable(model).items()}
    for k in range(1, rounds + 1):
        scores = score(masks)
        if not revive:
            scores = {name: s.masked_fill(~masks[name], -1) for name, s in scores.items()}
        # The last is exact, whatever the power rounds to.
        left = sparsity if k == rounds else 1 - (1 - sparsity) ** (k / rounds)
        masks = keep(scores, left, biases)
    return masks


# -------------------------------------------------------------------------------- SNIP and its kin


def _chunk(x: Tensor) -> int:
    """Images per pass: one less where the last would be of one, as batch statistics need two."""
    return SCORING_CHUNK - (len(x) % SCORING_CHUNK == 1)


def snip_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """SNIP: the largest connection sensitivities (Lee, Ajanthan & Torr, Eqs. 5 and 6)."""
    return keep(sensitivity(model, x, y, norm, _chunk(x)), sparsity, biases)


def masked_sensitivity(
    model: nn.Module, masks: Mapping[str, Tensor], x: Tensor, y: Tensor, norm: str = "running"
) -> dict[str, Tensor]:
    """|w · ∂L/∂w| where the gradient is that of the pruned network: of what is kept, its connection
    sensitivity under the mask; of a pruned parameter, that of putting its own weight back.

    Arguments and errors as for `sensitivity`, to which it is equal, but for rounding, where nothing
    is pruned; divided by the sum over all parameters, the pruned ones, too.
    """
    check_batch(model, x, y)
    chunk = _chunk(x)
    if norm == "batch":
        check_statistics(model, min(chunk, len(x) % chunk or chunk))

    def losses() -> Iterator[Tensor]:
        for part_x, part_y in zip(x.split(chunk), y.split(chunk), strict=True):
            # Forwards w ⊙ mask; backwards as if there were no mask, so that all have a gradient.
            pruned = {n: w - (w * ~masks[n]).detach() for n, w in prunable(model).items()}
            logits = checked_logits(partial(functional_call, model, pruned), part_x, part_y)
            yield F.cross_entropy(logits, part_y) * len(part_x) / len(x)

    return sensitivity_of(model, losses, norm)


def iterative_snip_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """Iterative SNIP: SNIP in 100 rounds on one scoring batch; what is pruned stays pruned.

    Score: |w ⊙ ∂L/∂w|, w and the gradient those of the network as it is pruned so far.

    de Jorge, Sanyal, Behl, Torr, Rogez & Dokania. Progressive skeletonization: trimming more fat
    from a network at initialization. ICLR 2021, arXiv:2006.09081. Also Verdenius, Stol & Forré.
    Pruning via iterative ranking of sensitivity statistics. arXiv:2006.00896 (SNIP-it, which takes
    fewer rounds and prunes in training, too). The public code (naver/force, `prune_method=1`) has
    the same schedule with 10 rounds by default, prunes weights alone, each round on batches of its
    own, and differs in what we do not copy: its loss is `nll_loss` of raw logits, no cross-entropy;
    pruned weights get the smallest score of all, the very one that a live weight may have; weights
    that tie with the threshold are all kept.

    The rounds are chaotic: weights nudged by a relative 10⁻⁶ leave less than half of the mask of
    LeNet-300-100 at 98 %. Masks on another processor have similar counts at other places.
    """
    score = partial(masked_sensitivity, model, x=x, y=y, norm=norm)
    return keep_in_rounds(model, score, sparsity, biases)


def force_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """FORCE: as iterative SNIP, but what is pruned may come back in a later round.

    Score: |w̄ ⊙ ∂L/∂w|, w̄ the weights as drawn, the gradient that of the pruned network, w̄ ⊙ mask:
    of a pruned weight, too, which is why it can come back. Source, differences from the public code
    (`prune_method=3`) and a word on chaos: see `iterative_snip_masks`.
    """
    score = partial(masked_sensitivity, model, x=x, y=y, norm=norm)
    return keep_in_rounds(model, score, sparsity, biases, revive=True)


# ------------------------------------------------------------------------------------- SynFlow


def synflow_scores(
    model: nn.Module, masks: Mapping[str, Tensor], shape: tuple[int, ...]
) -> dict[str, Tensor]:
    """|w ⊙ ∂R/∂w| of R = 1ᵀ f(1; |w| ⊙ mask), in float64: what flows through each parameter when
    every weight is positive and the input, of `shape`, is all ones. Pruned ones have score 0.

    Raises ValueError for a recurrent network: where all is positive, its gates saturate, the flow
    is 0 in floating point, and the mask would cut the network in two.
    """
    twin = copy.deepcopy(model).eval().double()
    if any(isinstance(layer, nn.RNNBase | nn.RNNCellBase) for layer in twin.modules()):
        raise ValueError("SynFlow is not for recurrent networks: their gates saturate")
    weights = prunable(twin)
    with torch.no_grad():
        for tensor in twin.state_dict().values():  # of normalisation layers, too
            tensor.abs_()
        for name, weight in weights.items():
            weight.mul_(masks[name])
            weight.requires_grad_(True)
    ones = torch.ones(1, *shape, dtype=torch.float64, device=next(twin.parameters()).device)
    with torch.enable_grad():
        flow = twin(ones).sum()
    gradients = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
    pairs = zip(weights.items(), gradients, strict=True)
    return {name: (weight.detach() * gradient).abs() for (name, weight), gradient in pairs}


def synflow_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """SynFlow: in 100 rounds, without data, keep what carries most of the flow from a constant
    input to the output; no layer is ever emptied while another has more to give.

    Score: |w ⊙ ∂R/∂w|, R = 1ᵀ f(1; |w|): see `synflow_scores`. Of x only the shape is used;
    `norm` is not: normalisation is in evaluation mode.

    Tanaka, Kunin, Yamins & Ganguli. Pruning neural networks without any data by iteratively
    conserving synaptic flow. NeurIPS 2020, arXiv:2006.05467. Their code (ganguli-lab/Synaptic-Flow)
    takes the absolute values of all parameters and statistics, normalisation included, evaluation
    mode, one input of ones and the same exponential schedule, as here; it prunes weights alone. Not
    copied: it scores in float32, where R of a deep network overflows or scores vanish (its lines
    for float64 are commented out), and a pruned weight, of score 0, ranks with live ones of score
    0.
    """
    score = partial(synflow_scores, model, shape=tuple(x.shape[1:]))
    return keep_in_rounds(model, score, sparsity, biases)


# ---------------------------------------------------------------------------------------- GraSP


def first_of_each_class(x: Tensor, y: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """The first `images` of each class of a batch, in order; all it has of a class with fewer."""
    places = [(y == label).nonzero()[:images, 0] for label in y.unique()]
    chosen = torch.cat(places).sort().values
    return x[chosen], y[chosen]


def grasp_scores(
    model: nn.Module, x: Tensor, y: Tensor, biases: bool = True, temperature: float = TEMPERATURE
) -> dict[str, Tensor]:
    """S = −w ⊙ (H g), of which GraSP removes the largest: by how much half of the squared gradient
    grows, to first order, when a parameter is removed.

    g and H are gradient and Hessian of the cross-entropy of logits/`temperature`, over all prunable
    parameters or, without `biases`, over weights alone, whose scores are then 0. Normalisation is
    by the batch, as in training; nothing is dropped out.
    """
    check_batch(model, x, y)
    check_statistics(model, len(x))
    twin = copy.deepcopy(model).eval()
    for layer in twin.modules():
        if isinstance(layer, BATCH_NORM):
            layer.train()
    every = prunable(twin)
    weights = {name: w.requires_grad_(True) for name, w in every.items() if biases or w.ndim > 1}
    # cuDNN's recurrent layers have no second derivative.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        loss = F.cross_entropy(checked_logits(twin, x, y) / temperature, y)
        options = {"create_graph": True, "materialize_grads": True}
        gradients = torch.autograd.grad(loss, list(weights.values()), **options)
        product = sum((g * g.detach()).sum() for g in gradients)
        curved = torch.autograd.grad(product, list(weights.values()), materialize_grads=True)
    scores = {name: torch.zeros_like(weight) for name, weight in every.items()}
    for (name, weight), hg in zip(weights.items(), curved, strict=True):
        scores[name] = -weight.detach() * hg
    return scores


def grasp_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """GraSP: remove what the gradient flow can best do without, so as to train fast after pruning.

    Score: S = −w ⊙ (H g), the largest removed; once, with logits over 200 and at most ten images a
    class, the first of the scoring batch (one of 100 images has eight to twelve of most classes: it
    gives what it has). `norm` is not used: normalisation is by the batch. A score of 0, as of all
    biases that start at 0, lies in the middle, not at the end: they go once about half is pruned.

    Wang, Zhang & Grosse. Picking winning tickets before training by preserving gradient flow. ICLR
    2020, arXiv:2002.07376. Sign and mode are where others went wrong: the paper's S has the minus,
    and their code (alecwangcq/GraSP) removes the largest of it, in training mode. Not copied: it
    draws the linear layers anew in the copy that it scores, so that the mask is not of the weights
    that are trained; it orders the images by class and normalises each half, five classes, by
    itself; it keeps one of those to be removed, the threshold. (Its division by |Σ S| changes no
    order.) ganguli-lab/Synaptic-Flow keeps the largest of +w ⊙ (H g), which is the same, but scores
    in evaluation mode. At a temperature of 1 the layers get other counts.
    """
    x, y = first_of_each_class(x, y, IMAGES_PER_CLASS)
    scores = grasp_scores(model, x, y, biases)
    return keep({name: -score for name, score in scores.items()}, sparsity, biases)


# --------------------------------------------------------------------------- simpler scores


def magnitude_scores(model: nn.Module) -> dict[str, Tensor]:
    """Control: |w| as drawn, so that `keep_top` prunes by magnitude at initialisation."""
    return {name: weight.detach().abs() for name, weight in prunable(model).items()}


def magnitude_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """Control: the largest weights at initialisation."""
    return keep(magnitude_scores(model), sparsity, biases)


def gradient_scores(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """A common slip: |∂L/∂w| without the weight, in evaluation mode. x: (B, …), y: (B,)."""
    twin = copy.deepcopy(model).eval()
    twin.zero_grad()
    # In evaluation mode cuDNN's recurrent layers have no backward pass.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for part_x, part_y in zip(x.split(SCORING_CHUNK), y.split(SCORING_CHUNK), strict=True):
            loss = F.cross_entropy(twin(part_x), part_y) * len(part_x) / len(x)
            loss.backward()
    return {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad.abs()  # not used
        for name, weight in prunable(twin).items()
    }


def gradient_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """A common slip: the largest gradients, without the weight; normalised by initial statistics.

    Raises ValueError for those of the batch.
    """
    if norm != "running":
        raise ValueError("the gradient alone is taken with running statistics only")
    return keep(gradient_scores(model, x, y), sparsity, biases)
