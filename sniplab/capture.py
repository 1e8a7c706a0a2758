"""A training step as one graph of CUDA, so that no network waits for the processor."""

import contextlib
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def undone(
    network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator, *more: Tensor
) -> Iterator[None]:
    """Steps that are done inside are undone at the end: weights, statistics, what the optimiser
    remembers and `more` are put back in place, since a captured step knows them by where they
    are."""
    kept = [*network.parameters(), *network.buffers(), *more]
    kept = [(tensor, tensor.detach().clone()) for tensor in kept]
    memory = {
        (weight, name): value.clone()
        for weight, state in optimizer.state.items()
        for name, value in state.items()
    }
    drawn = generator.get_state()
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, before in kept:
                tensor.copy_(before)
            for weight, state in optimizer.state.items():
                for name, value in state.items():  # what came into being begins at 0
                    value.copy_(memory.get((weight, name), torch.zeros_like(value)))
        generator.set_state(drawn)


def captured(
    step: Callable[[], None],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    dropout: torch.Generator,
    counter: Tensor,
) -> Callable[[], None]:
    """The step as one graph of CUDA, whose operations are started all at once: one by one, most
    networks wait for the processor that starts them. On the CPU, the step as it is.

    What Python does in the step is done now, not when the graph is replayed: hooks of the network
    are called no more. Checkpoints must have been loaded. Where a network cannot be captured, since
    it asks for a value in mid-step, say, a warning says so, and the step stays as it is.
    """
    if not counter.is_cuda:
        return step
    with torch.cuda.device(counter.device), undone(network, optimizer, dropout, counter):
        graph, aside = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        started, before = graph.replay, torch.cuda.current_stream()
        aside.wait_stream(before)
        with torch.cuda.stream(aside), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This instance was constructed with capturable")
            for _ in range(3):  # libraries set themselves up, the optimiser makes its memory
                step()
            try:
                with torch.cuda.graph(graph, stream=aside):
                    step()
            except RuntimeError as error:
                text = f"the step cannot be captured ({error}): operations are started one by one"
                warnings.warn(text, UserWarning, stacklevel=4)  # whoever called `train`
                started = step
        before.wait_stream(aside)
    return started
