"""Networks: published shapes, heads for our labels on any other, where weights come from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_sets import changed, crops, weights_of
from torch import nn
from torchvision import models as torchvision_models

from pipeline.trouble import Trouble, Usage
from stages.training.heads import head_of
from stages.training.loop import fit
from stages.training.models import (
    build,
    committee,
    resnet8,
    resnet9,
    resnet11,
    resnet17,
    resnet_pair,
    simpleconv3,
)
from stages.training.recipes import RECIPES, Recipe

CPU = torch.device("cpu")
FAMILIES = [  # name, side of a picture it takes
    ("resnet18", 64),
    ("mobilenet_v3_small", 64),
    ("alexnet", 224),
    ("vgg11", 64),
    ("squeezenet1_1", 64),
    ("densenet121", 64),
    ("efficientnet_b0", 64),
    ("convnext_tiny", 64),
    ("vit_b_16", 224),
    ("swin_t", 64),
    ("regnet_y_400mf", 64),
    ("shufflenet_v2_x1_0", 64),
    ("mnasnet0_5", 64),
    ("maxvit_t", 224),
    ("googlenet", 64),
    ("inception_v3", 128),
]


def test_simpleconv3_has_the_published_shapes() -> None:
    network, seen, sides = simpleconv3(4), torch.rand(2, 3, 48, 48), []
    for layer in network:
        seen = layer(seen)
        if isinstance(layer, nn.Conv2d):
            sides.append(tuple(seen.shape[1:]))
        if isinstance(layer, nn.Flatten):
            assert seen.shape == (2, 1200)
    assert sides == [(12, 23, 23), (24, 11, 11), (48, 5, 5)]
    assert seen.shape == (2, 4)
    linear = [(one.in_features, one.out_features) for one in network if isinstance(one, nn.Linear)]
    assert linear == [(1200, 1200), (1200, 128), (128, 4)]


def test_simpleconv3_has_the_published_number_of_parameters() -> None:
    convolutions = (3 * 9 + 1) * 12 + (12 * 9 + 1) * 24 + (24 * 9 + 1) * 48 + 2 * (12 + 24 + 48)
    linear = (1200 + 1) * 1200 + (1200 + 1) * 128 + (128 + 1) * 4
    total = sum(one.numel() for one in simpleconv3(4).parameters())
    assert total == convolutions + linear == 1_608_980


def test_a_committee_answers_with_the_mean_of_its_members_shares() -> None:
    network = committee(3)
    seen = torch.rand(4, 3, 48, 48)
    assert network(seen).shape == (4, 5, 3)
    network.eval()
    shares = torch.stack([member(seen).softmax(1) for member in network.members]).mean(0)
    assert torch.allclose(network(seen).softmax(1), shares, atol=1e-6)
    assert torch.allclose(network(seen).exp(), shares, atol=1e-6)
    first = [next(member.parameters()) for member in network.members]
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("side", [32, 47, 64])
@pytest.mark.parametrize("network", [resnet8, resnet9, resnet11, resnet17, resnet_pair])
def test_residual_networks_take_pictures_of_several_sizes(
    network: Callable[[int], nn.Module], side: int
) -> None:
    with torch.device("meta"):  # shapes without the work
        assert network(7).eval()(torch.empty(2, 3, side, side)).shape == (2, 7)


def test_resnet11_has_a_residual_block_in_each_of_three_stages() -> None:
    def convolution(before: int, after: int) -> int:
        return 9 * before * after + 2 * after  # with batch norm

    stages = sum(
        convolution(before, after) + 2 * convolution(after, after)
        for before, after in ((32, 64), (64, 128), (128, 256))
    )
    total = sum(parameter.numel() for parameter in resnet11(7).parameters())
    assert total == convolution(3, 32) + stages + (256 + 1) * 7 == 1_940_775


def test_resnet8_halves_the_picture_in_its_first_convolution() -> None:
    network, seen, sides = resnet8(7), torch.rand(2, 3, 48, 48), []
    for layer in network:
        seen = layer(seen)
        if seen.ndim == 4:
            sides.append(tuple(seen.shape[1:]))
    assert sides == [(16, 24, 24), *2 * [(32, 12, 12)], *2 * [(64, 6, 6)], (64, 3, 3)]
    assert sum(parameter.numel() for parameter in network.parameters()) == 116_695 + 8 * 64 * 7


def test_the_resnet_pair_looks_at_every_pixel_and_at_the_picture_halved() -> None:
    pair = resnet_pair(7)
    sides = [
        tuple(next(member.children())(torch.rand(2, 3, 56, 56)).shape[1:])
        for member in pair.members
    ]
    assert sides == [(24, 56, 56), (32, 28, 28)]
    counts = [sum(value.numel() for value in member.parameters()) for member in pair.members]
    assert counts == [1_092_703, 1_940_775]


@pytest.mark.parametrize("hidden", [0, 16])
@pytest.mark.parametrize(("name", "side"), FAMILIES)
def test_any_family_of_torchvision_gets_a_head_for_our_labels(
    name: str, side: int, hidden: int
) -> None:
    recipe = Recipe(model=name, head_hidden=hidden, freeze=True)
    if name == "squeezenet1_1" and hidden:
        with pytest.raises(
            Usage, match=r"^squeezenet1_1 has no classifier .*: drop --head-hidden$"
        ):
            build(recipe, 5)
        return
    real = name.startswith("regnet")  # its construction reads tensors
    with torch.device("cpu" if real else "meta"):  # shapes without the work
        network = build(recipe, 5).eval()
        assert network(torch.empty(2, 3, side, side)).shape == (2, 5)
    learning = {name for name, one in network.named_parameters() if one.requires_grad}
    head = {id(one) for one in head_of(network, recipe).parameters()}
    assert learning == {name for name, one in network.named_parameters() if id(one) in head}
    assert 0 < len(learning) < len(list(network.parameters()))


def test_the_published_alexnet_has_a_new_classifier() -> None:
    network = build(replace(RECIPES["alexnet"], weights="none"), 5)
    described = [str(one) for one in network.get_submodule("classifier").children()]
    assert described == [
        "Linear(in_features=9216, out_features=1000, bias=True)",
        "ReLU()",
        "Dropout(p=0.2, inplace=False)",
        "Linear(in_features=1000, out_features=5, bias=True)",
    ]
    frozen = [name for name, one in network.named_parameters() if not one.requires_grad]
    assert frozen and all(name.startswith("features.") for name in frozen)


def test_the_published_mobilenet_has_a_new_last_layer_and_no_more() -> None:
    network = build(replace(RECIPES["mobilenet_v3_small"], weights="none"), 7)
    assert str(network.get_submodule("classifier.3")) == (
        "Linear(in_features=1024, out_features=7, bias=True)"
    )
    learning = [name for name, one in network.named_parameters() if one.requires_grad]
    assert learning == ["classifier.3.weight", "classifier.3.bias"]


SMALL_MOBILENET = Recipe(
    model="mobilenet_v3_small", freeze=True, epochs=2, batch=8, optimizer="adam", lr=0.01,
    schedule="constant", input_size=32, resize=32, normalization="imagenet", flip_test=False,
)  # fmt: skip


def test_a_frozen_backbone_stays_the_same_to_the_bit_batch_norm_included() -> None:
    torch.manual_seed(0)
    before = weights_of(build(SMALL_MOBILENET, 2))
    state = fit(SMALL_MOBILENET, 0, crops((8, 8)), crops((2, 2), 1), ["a", "b"], CPU)
    after = weights_of(state.network)
    assert any("running_mean" in name for name in after)
    assert set(changed(before, after)) == {"classifier.3.weight", "classifier.3.bias"}


def test_a_thawed_network_learns_as_a_whole_from_that_epoch_on() -> None:
    torch.manual_seed(0)
    before = weights_of(build(SMALL_MOBILENET, 2))
    for epochs, thawed in ((1, False), (2, True)):
        recipe = replace(SMALL_MOBILENET, unfreeze_at=2, epochs=epochs)
        after = weights_of(fit(recipe, 0, crops((8, 8)), None, ["a", "b"], CPU).network)
        names = set(changed(before, after))
        assert ("features.0.0.weight" in names) == thawed
        assert ("features.0.1.running_mean" in names) == thawed


def test_an_unknown_name_gives_its_near_misses() -> None:
    with pytest.raises(Usage, match=r"--model resnet81 is unknown; did you mean .*resnet18"):
        build(Recipe(model="resnet81"), 2)
    with pytest.raises(Usage, match="did you mean simpleconv3"):
        build(Recipe(model="simpleconv"), 2)


def test_own_networks_have_no_pretrained_weights() -> None:
    with pytest.raises(Usage, match="simpleconv3 has no pretrained weights: give --weights none"):
        build(Recipe(weights="DEFAULT"), 2)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of torch's own, and no way into the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setattr("urllib.request._opener", None)
    return tmp_path / "hub" / "checkpoints"


def test_weights_that_cannot_be_had_give_one_sentence_that_says_what_to_do(alone: Path) -> None:
    with pytest.raises(Trouble) as trouble:
        build(RECIPES["mobilenet_v3_small"], 7)
    printed = str(trouble.value)
    assert "\n" not in printed
    assert printed.startswith("pretrained weights for mobilenet_v3_small cannot be downloaded (")
    assert "https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth" in printed
    assert f"put mobilenet_v3_small-047dcff4.pth into {alone}" in printed
    assert printed.endswith(
        "or train the whole network from nothing with --weights none --no-freeze"
    )


def test_weights_put_where_the_sentence_says_are_used(alone: Path) -> None:
    theirs = torchvision_models.mobilenet_v3_small(weights=None)
    alone.mkdir(parents=True)
    torch.save(theirs.state_dict(), alone / "mobilenet_v3_small-047dcff4.pth")
    ours = build(RECIPES["mobilenet_v3_small"], 7)
    same = dict(theirs.state_dict())
    for name, value in ours.state_dict().items():
        if not name.startswith("classifier.3"):
            assert torch.equal(value, same[name]), name


def as_safetensors(network: nn.Module, folder: Path) -> Path:
    save_file(network.state_dict(), folder / "w.safetensors")
    return folder / "w.safetensors"


def as_pth(network: nn.Module, folder: Path) -> Path:
    torch.save(network.state_dict(), folder / "w.pth")
    return folder / "w.pth"


@pytest.mark.parametrize("save", [as_safetensors, as_pth])
def test_weights_of_a_file_are_taken_where_they_fit(
    tmp_path: Path, save: Callable[[nn.Module, Path], Path]
) -> None:
    torch.manual_seed(1)
    given = simpleconv3(2)
    path = save(given, tmp_path)
    torch.manual_seed(2)
    ours = build(Recipe(weights=str(path)), 4)
    differing = {
        name
        for name, value in given.state_dict().items()
        if not torch.equal(value, ours.state_dict()[name])
    }
    assert differing == {"14.weight", "14.bias"}
    assert ours.get_submodule("14").weight.shape == (4, 128)


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_a_pickled_object_is_refused_and_not_run(tmp_path: Path) -> None:
    mark, path = tmp_path / "was-run", tmp_path / "w.pth"
    torch.save({"0.weight": torch.zeros(1), "more": Hostile(mark)}, path)
    with pytest.raises(Trouble) as trouble:
        build(Recipe(weights=str(path)), 2)
    assert not mark.exists()
    assert str(trouble.value).startswith(f"--weights {path} cannot be read: ")
    assert "\n" not in str(trouble.value)


def write_empty(path: Path) -> None:
    path.write_bytes(b"")


def write_text(path: Path) -> None:
    path.write_text("not at all weights")


def write_tensor(path: Path) -> None:
    torch.save(torch.zeros(3), path)


def write_list(path: Path) -> None:
    torch.save([torch.zeros(3)], path)


def write_half(path: Path) -> None:
    torch.save(simpleconv3(2).state_dict(), path)
    path.write_bytes(path.read_bytes()[:5000])


def write_others(path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {"x": torch.zeros(2)}}, path)


def write_nothing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    "write",
    [write_empty, write_text, write_tensor, write_list, write_half, write_others, write_nothing],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_holds_no_weights_gives_one_sentence(
    tmp_path: Path, write: Callable[[Path], None], suffix: str
) -> None:
    path = tmp_path / f"w{suffix}"
    write(path)
    with pytest.raises(Trouble) as trouble:
        build(Recipe(weights=str(path)), 2)
    assert str(path) in str(trouble.value) and "\n" not in str(trouble.value)


@pytest.mark.parametrize(("name", "side"), [("simpleconv3", 64), ("alexnet", 48), ("vit_b_16", 48)])
def test_a_size_that_the_network_cannot_take_gives_a_sentence(name: str, side: int) -> None:
    recipe = Recipe(model=name, input_size=side, resize=side, epochs=1)
    with pytest.raises(Trouble, match=r"input.size"):
        fit(recipe, 0, crops((2, 2)), None, ["a", "b"], CPU)
