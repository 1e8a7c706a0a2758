"""The mini-batches of a training run, drawn ahead on the CPU and laid out on the device."""

import torch
from torch import Tensor

from snipcore import generator_for
from sniplab.data import Data, draw_moves, moved, take_images
from sniplab.recipe import Recipe

CHUNK = 100  # steps whose random numbers are drawn ahead, and whose losses are read together


class Batches:
    """The mini-batches of a run: shuffled anew every epoch, augmented, by a generator of its own.
    Images left over at the end of an epoch sit out until the next.

    The random numbers of a chunk of steps are drawn ahead on the CPU. They lie on the device, and
    the learning rates with them; `counter` says there which step it is. So every step is the same
    operations on the same memory, and can be captured.
    """

    def __init__(self, data: Data, recipe: Recipe, seed: int):
        self.data, self.recipe = data, recipe
        self.generator = generator_for(seed, "batches")
        self.order = torch.empty(0, dtype=torch.int64)
        self.first = self.end = 0  # the chunk's steps
        options = {"dtype": torch.int64, "device": data.y_train.device}
        self.counter = torch.zeros(1, **options)  # steps of the chunk that are done
        self.index = torch.zeros(CHUNK, recipe.batch_size, **options)
        self.moves = torch.zeros(CHUNK, 3, recipe.batch_size, **options)
        # On CUDA, PyTorch's fused optimisers read the rate as float32; elsewhere as any number.
        kind = torch.float32 if self.counter.is_cuda else torch.float64
        self.rates = torch.zeros(CHUNK, dtype=kind, device=self.counter.device)

    def prepare(self, step: int) -> None:
        """Lay the numbers of a step ready, drawing a chunk of them at its start; steps must come in
        their order."""
        if step < self.end:
            return
        self.begun = {"generator": self.generator.get_state(), "order": self.order}
        self.first, self.end = step, min((step // CHUNK + 1) * CHUNK, self.recipe.iterations)
        steps = range(step, self.end)
        index, moves = (torch.stack(part) for part in zip(*map(self.draw, steps), strict=True))
        rates = torch.tensor([self.recipe.rate(i) for i in steps], device="cpu", dtype=torch.double)
        for buffer, drawn in ((self.index, index), (self.moves, moves), (self.rates, rates)):
            buffer[: len(steps)].copy_(drawn)
        self.counter.zero_()

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Which images a step takes, (B,), and how they are moved, (3, B); on the CPU."""
        count, size = len(self.data.y_train), self.recipe.batch_size
        place = step % (count // size) * size
        if place == 0:
            self.order = torch.randperm(count, generator=self.generator, device="cpu")
        moves = torch.zeros(3, size, dtype=torch.int64, device="cpu")
        if self.recipe.shift or self.recipe.flip:
            moves = draw_moves(size, self.generator, self.recipe.shift, self.recipe.flip)
        return self.order[place : place + size], moves

    def at_counter(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, C, H, W) and labels (B,) of the step at the counter, and its rate, (1,)."""
        index = self.index.index_select(0, self.counter)[0]
        x, y = take_images(self.data.x_train, index), self.data.y_train.index_select(0, index)
        if self.recipe.shift or self.recipe.flip:
            x = moved(x, self.moves.index_select(0, self.counter)[0], self.recipe.shift)
        return x, y, self.rates.index_select(0, self.counter)

    def take(self, step: int) -> tuple[Tensor, Tensor]:
        """Images and labels of a step, for a loop that is not captured."""
        self.prepare(step)
        x, y, _ = self.at_counter()
        self.counter.add_(1)
        return x, y

    def state(self, done: int) -> dict:
        """What to go on from after so many steps. What is drawn beyond them is drawn anew."""
        self.go_on(self.begun)
        for step in range(self.first, done):
            self.draw(step)
        self.end = done
        return {"generator": self.generator.get_state(), "order": self.order}

    def go_on(self, state: dict) -> None:
        self.generator.set_state(state["generator"])
        self.order = state["order"]
