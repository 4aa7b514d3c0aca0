"""The loop: the plain one's numbers, the same ones each time, and an end where one is due."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from small_sets import Kept, changed, crops, weights_of
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.trouble import Trouble, Usage
from stages.training.augment import apply
from stages.training.augmentation import centre, draw
from stages.training.batches import BatchSource
from stages.training.data import Crops
from stages.training.loop import fit
from stages.training.models import simpleconv3
from stages.training.recipes import RECIPES, Recipe
from stages.training.schedule import HASTE, LEARNT, SETTLED, WARM, end_of, learning_rate
from stages.training.state import State
from stages.training.validation import logits_of

CPU = torch.device("cpu")
TWO = ["none", "openmouth"]
CLASSIC = replace(RECIPES["classic"], batch=16, epochs=3)


def plain_loop(
    recipe: Recipe, seed: int, train: Crops, weight: Tensor | None = None
) -> tuple[nn.Module, list[float], list[float]]:
    """SGD as in a tutorial; the network, and loss and accuracy a picture in each epoch."""
    torch.manual_seed(seed)
    network = simpleconv3(2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, recipe.step_epochs, recipe.step_gamma)
    generator = torch.Generator().manual_seed(seed)
    losses, accuracies = [], []
    for _ in range(recipe.epochs):
        network.train()
        lost = right = 0.0
        order = torch.randperm(len(train), generator=generator)
        drawn = draw(len(train), train.pictures.shape[2], recipe, generator)
        for places in torch.arange(len(train)).split(recipe.batch):
            part = order[places]
            logits = network(apply(train.pictures[part], drawn[places], recipe))
            each = F.cross_entropy(logits, train.classes[part], weight=weight, reduction="none")
            optimizer.zero_grad()
            each.mean().backward()
            optimizer.step()
            lost += each.sum().item()
            right += (logits.argmax(1) == train.classes[part]).sum().item()
        schedule.step()
        losses.append(lost / len(train))
        accuracies.append(right / len(train))
    return network, losses, accuracies


def farthest(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return float(max((a.float() - b.float()).abs().max() for a, b in pairs))


@pytest.mark.parametrize("step_epochs", [100, 1])
def test_classic_is_the_plain_loop_with_loss_by_picture_and_an_uneven_last_batch(
    step_epochs: int,
) -> None:
    recipe, train, record = replace(CLASSIC, step_epochs=step_epochs), crops((19, 18)), Kept()
    state = fit(recipe, 7, train, None, TWO, CPU, record)
    network, losses, accuracies = plain_loop(recipe, 7, train)
    assert farthest(state.network, network) < 1e-5
    assert [one["data/trainloss"] for one in record.numbers] == pytest.approx(losses, abs=1e-5)
    assert [one["data/trainacc"] for one in record.numbers] == pytest.approx(accuracies)
    rates = [0.1 * 0.1 ** (epoch // step_epochs) for epoch in range(3)]
    assert [one["lr"] for one in record.numbers] == pytest.approx(rates)


def test_balance_by_weights_is_a_loss_weighted_against_the_label_s_size() -> None:
    recipe, train = replace(CLASSIC, balance="weights"), crops((30, 6))
    state = fit(recipe, 7, train, None, TWO, CPU)
    network, _, _ = plain_loop(recipe, 7, train, torch.tensor([36 / 60, 36 / 12]))
    assert farthest(state.network, network) < 1e-5


def test_balance_by_sampler_draws_the_labels_equally_often() -> None:
    train, generator = crops((900, 100)), torch.Generator().manual_seed(0)
    drawn_from = BatchSource.of(train, 2, CPU)
    assert drawn_from.label_weights.tolist() == pytest.approx([1000 / 1800, 1000 / 200])
    shares = {}
    for balance in ("none", "sampler"):
        recipe = Recipe(balance=balance, batch=64)
        batches = drawn_from.order(recipe, generator)
        assert [len(one) for one in batches] == [64] * 15 + [40]
        shares[balance] = train.classes[torch.cat(list(batches))].float().mean().item()
    assert shares["none"] == pytest.approx(0.1)  # each picture once
    assert abs(shares["sampler"] - 0.5) < 0.08


def test_balance_by_sampler_trains_on_what_it_draws() -> None:
    """Drawn equally often, a label that is one in ten is no longer overlooked."""
    train, val = crops((90, 10)), crops((20, 20), 5)
    recipe = Recipe(epochs=2, batch=25, balance="sampler")
    drawn = fit(recipe, 0, train, val, TWO, CPU)
    plain = fit(replace(recipe, balance="none"), 0, train, val, TWO, CPU)
    assert farthest(drawn.network, plain.network) > 1e-3


def test_step_is_torchs_step_schedule() -> None:
    recipe = RECIPES["classic"]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 100, 0.1)
    for epoch in range(300):
        assert learning_rate(recipe, epoch, epoch + 0.5) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    points = {epoch: learning_rate(recipe, epoch, epoch) for epoch in (0, 99, 100, 199, 200)}
    assert points == pytest.approx({0: 0.1, 99: 0.1, 100: 0.01, 199: 0.01, 200: 0.001})


def test_one_cycle_rises_to_its_peak_and_falls_on_cosines() -> None:
    recipe = Recipe(epochs=10, lr=0.05)
    rates = [learning_rate(recipe, int(at / 100), at / 100) for at in range(1001)]
    top = round(WARM * 1000)
    assert rates[0] == pytest.approx(0.05 / 25)
    assert max(rates) == rates[top] == pytest.approx(0.05)
    assert rates[1000] == pytest.approx(0.05 / 10_000)
    assert rates[top // 2] == pytest.approx((0.05 + 0.05 / 25) / 2)
    assert rates[(1000 + top) // 2] == pytest.approx((0.05 + 0.05 / 10_000) / 2)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_constant_is_constant() -> None:
    recipe = RECIPES["alexnet"]
    assert {learning_rate(recipe, epoch, epoch + 0.3) for epoch in range(8)} == {0.003}


@pytest.mark.parametrize("name", ["simpleconv3", "committee", "resnet9"])
def test_a_seed_names_the_weights_to_the_bit(name: str) -> None:
    recipe = Recipe(model=name, epochs=2, batch=16, input_size=48, blur=1.0, erase=0.5)

    def trained(seed: int) -> dict[str, Tensor]:
        return weights_of(fit(recipe, seed, crops((20, 20)), None, TWO, CPU).network)

    one, repeated, other = trained(3), trained(3), trained(4)
    assert not set(changed(one, repeated))
    assert {name for name in one if name.endswith("weight")} <= set(changed(one, other))


def on_a_processor(able: bool, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> State:
    """Training as on a processor that has, or has no, instructions for bfloat16."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": able})
    return fit(recipe, 3, crops((20, 20)), None, TWO, CPU)


def test_bfloat16_is_for_processors_that_have_it_and_gives_the_same_bits_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = Recipe(model="resnet9", epochs=1, batch=20, bfloat16=True, input_size=32)
    one, repeated = (on_a_processor(True, recipe, monkeypatch).network for _ in range(2))
    assert not set(changed(weights_of(one), weights_of(repeated)))
    without = on_a_processor(False, recipe, monkeypatch).network
    plain = on_a_processor(True, replace(recipe, bfloat16=False), monkeypatch).network
    assert farthest(without, plain) < 1e-3 < farthest(one, plain)
    assert {value.dtype for value in one.parameters()} == {torch.float32}


def test_gradients_lie_as_the_weights_do() -> None:
    """Fused optimizers go through both by address."""
    recipe = Recipe(model="resnet9", epochs=1, batch=16, bfloat16=True, input_size=32)
    network = fit(recipe, 0, crops((8, 8)), None, TWO, CPU).network
    for parameter in network.parameters():
        assert parameter.grad is not None and parameter.grad.stride() == parameter.stride()


@pytest.mark.parametrize("name", ["best", "large"])
def test_the_large_recipes_train_in_small_on_a_cpu(name: str) -> None:
    recipe = replace(RECIPES[name], epochs=2, batch=4, input_size=32, resize=32)
    record = Kept()
    state = fit(recipe, 0, crops((5, 5)), crops((2, 2), 1), TWO, CPU, record)
    assert state.epoch == 2 and all(math.isfinite(row["data/valloss"]) for row in record.numbers)


def test_validation_changes_nothing_that_is_trained() -> None:
    recipe, train = Recipe(epochs=3, batch=16), crops((20, 20))
    with_val = fit(recipe, 0, train, crops((5, 5), 9), TWO, CPU).network
    without = fit(recipe, 0, train, None, TWO, CPU).network
    assert not set(changed(weights_of(with_val), weights_of(without)))


def test_prediction_leaves_no_gradient_and_no_trace_in_the_network() -> None:
    network = simpleconv3(2).train()
    before = weights_of(network)
    logits = logits_of(network, crops((600, 5)).pictures, Recipe(), CPU)
    assert logits.shape == (605, 2) and not logits.requires_grad and logits.grad_fn is None
    assert all(one.grad is None for one in network.parameters())
    assert not set(changed(before, weights_of(network)))


def test_prediction_averages_a_picture_and_its_mirror_image() -> None:
    network, given = simpleconv3(2).eval(), crops((3, 3)).pictures
    alone = logits_of(network, given, Recipe(flip_test=False), CPU)
    mirrored = logits_of(network, given.flip(3), Recipe(flip_test=False), CPU)
    both = logits_of(network, given, Recipe(), CPU)
    assert not torch.allclose(alone, mirrored, atol=1e-5)
    assert torch.allclose(both, (alone + mirrored) / 2, atol=1e-5)


def test_validation_loss_and_accuracy_are_those_of_the_weights_at_the_end_of_the_epoch() -> None:
    recipe, val, record = Recipe(epochs=2, batch=16), crops((7, 6), 5), Kept()
    state = fit(recipe, 0, crops((20, 20)), val, TWO, CPU, record)
    with torch.no_grad():
        seen = apply(val.pictures, centre(32, recipe), recipe)
        logits = (state.network(seen) + state.network(seen.flip(3))) / 2
    printed = record.numbers[-1]
    assert printed["data/valloss"] == pytest.approx(F.cross_entropy(logits, val.classes).item())
    assert printed["data/valacc"] == pytest.approx((logits.argmax(1) == val.classes).sum() / 13)


@pytest.mark.parametrize("counts", [(40, 40), (24, 24, 24, 24)])
def test_a_few_epochs_are_enough_for_a_bright_bar(counts: tuple[int, ...]) -> None:
    val = crops(tuple(10 for _ in counts), 5)
    labels = ["none", "openmouth", "pouting", "smile"][: len(counts)]
    state = fit(Recipe(epochs=8, batch=16), 0, crops(counts), val, labels, CPU)
    assert state.best["data/valacc"] >= 0.95


def test_the_best_epoch_is_that_of_highest_accuracy_then_lowest_loss() -> None:
    record, recipe = Kept(), Recipe(epochs=8, batch=16, schedule="constant")
    state = fit(recipe, 0, crops((20, 20)), crops((6, 6), 5), TWO, CPU, record)
    ranks = [(one["data/valacc"], -one["data/valloss"]) for one in record.numbers]
    assert state.best == record.numbers[ranks.index(max(ranks))]
    expected = [rank == max(ranks[: place + 1]) for place, rank in enumerate(ranks)]
    assert record.better == expected


def test_one_cycle_keeps_its_last_weights_whatever_validation_says() -> None:
    train, record = crops((20, 20)), Kept()
    wrong = Crops(train.pictures, 1 - train.classes, train.samples)  # the more learnt the worse
    state = fit(Recipe(epochs=6, batch=16), 0, train, wrong, TWO, CPU, record)
    assert record.better == [True] * 6
    assert state.best == record.numbers[-1]
    losses = [numbers["data/valloss"] for numbers in record.numbers]
    assert losses[-1] > min(losses)


def test_the_schedule_hurries_to_its_end_once_nothing_is_left_to_gain() -> None:
    """The rate never jumps, and ends where it ends in an undisturbed run."""
    recipe, record = Recipe(epochs=60, batch=16, rotate=0.0, colour=0.0), Kept()
    state = fit(recipe, 0, crops((40, 40)), crops((10, 10), 5), TWO, CPU, record)
    settled = state.hurries_from
    assert settled is not None and settled < 40
    perfect = [
        numbers["data/valacc"] == 1 and numbers["data/trainacc"] >= LEARNT
        for numbers in record.numbers
    ]
    assert all(perfect[settled - SETTLED : settled])
    assert not any(all(perfect[end - SETTLED : end]) for end in range(SETTLED, settled))
    assert state.epoch == end_of(state, recipe) == settled + math.ceil((60 - settled) / HASTE)
    rates = [numbers["lr"] for numbers in record.numbers]
    assert rates[-1] < 0.01 * recipe.lr
    steps = [abs(after - before) for before, after in itertools.pairwise(rates)]
    assert max(steps) < 0.25 * recipe.lr


def test_mistakes_in_validation_keep_the_schedule_as_it_is() -> None:
    train, val = crops((40, 40)), crops((10, 10), 5)
    val.classes[0] = 1 - val.classes[0]
    recipe = Recipe(epochs=30, batch=16, rotate=0.0, colour=0.0)
    state = fit(recipe, 0, train, val, TWO, CPU)
    assert state.epoch == 30 and state.hurries_from is None


def test_patience_ends_a_run_that_gets_no_better() -> None:
    train = crops((20, 20))
    wrong = Crops(train.pictures, 1 - train.classes, train.samples)  # the more learnt the worse
    recipe = Recipe(epochs=40, batch=16, patience=3)
    state = fit(recipe, 0, train, wrong, TWO, CPU)
    assert state.epoch == state.best["epoch"] + 3 < 40


def test_a_loss_that_is_no_number_ends_in_a_sentence() -> None:
    recipe = Recipe(epochs=3, batch=16, lr=1e30, schedule="constant")
    with pytest.raises(Trouble, match=r"^the loss is no longer finite in epoch 1: lower --lr$"):
        fit(recipe, 0, crops((20, 20)), None, TWO, CPU)


@pytest.mark.parametrize(("lr", "lines"), [(2.0, 1), (0.01, 0)])
def test_a_loss_that_explodes_but_stays_finite_is_told_once(
    capsys: pytest.CaptureFixture[str], lr: float, lines: int
) -> None:
    recipe = Recipe(epochs=1, batch=16, optimizer="sgd", lr=lr, schedule="constant")
    state = fit(recipe, 0, crops((22, 22)), crops((4, 4), 5), TWO, CPU)
    written = capsys.readouterr().out.splitlines()
    assert state.epoch == 1 and len(written) == lines
    for line in written:
        assert line.startswith("train: the loss was ") and line.endswith(
            " in epoch 1 (a guess has 0.7): training diverges; stop it and lower --lr"
        )


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_small"])
def test_a_batch_of_one_that_batch_norm_cannot_take_is_one_sentence(model: str) -> None:
    recipe = Recipe(model=model, batch=1, input_size=32, resize=32)
    with pytest.raises(Usage) as usage:
        fit(recipe, 0, crops((3, 3)), None, TWO, CPU)
    assert str(usage.value) == (
        f"--batch 1 is too few for {model}: its batch norm compares the pictures of a batch; "
        "give --batch 2 or more"
    )


def test_a_batch_of_one_that_the_network_can_take_is_trained_on() -> None:
    state = fit(Recipe(batch=1, epochs=1), 0, crops((3, 3)), None, TWO, CPU)
    assert state.epoch == 1


def test_a_run_ends_after_the_epoch_in_which_it_is_asked_to() -> None:
    record = Kept(stop_after=2)
    state = fit(Recipe(epochs=9, batch=16), 0, crops((10, 10)), None, TWO, CPU, record)
    assert state.epoch == 2 and [one["epoch"] for one in record.numbers] == [1, 2]


def test_a_last_batch_of_one_picture_does_no_harm() -> None:
    """Batch norm cannot measure one picture whose layers have shrunk to a pixel."""
    recipe = Recipe(
        model="resnet18", epochs=1, batch=4, input_size=32, resize=32, flip_test=False, lr=1e-3
    )
    state = fit(recipe, 0, crops((5, 4)), None, TWO, CPU)
    assert all(math.isfinite(one.sum().item()) for one in state.network.parameters())
