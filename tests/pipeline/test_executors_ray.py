"""Ray: the bytes of serial work, whoever dies. A cluster of this machine: a head and two nodes."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from served import portrait_file, small_model
from small_pipeline import Home, Take, chain, picture

from pipeline import __main__
from pipeline.executors import Lost, ray
from pipeline.executors.chunk_queue import LOSSES
from pipeline.executors.ray import ENVIRONMENT, Ray
from pipeline.sample import Sample
from pipeline.trouble import Trouble

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TIMEOUT = 4.0  # seconds; the same in each test, so that workers serve several
QUICK = {"health_check_period_ms": 200, "health_check_failure_threshold": 2}  # sees nodes end
SMALL = {"object_store_memory": 80_000_000, "include_dashboard": False}  # Ray takes no less


@dataclass
class TwoNodes:
    """A Ray cluster. The driver is on its head, which has no CPU; two nodes do the work."""

    cluster: Any
    address: str
    nodes: list[Any]

    def add(self, count: int) -> None:
        """More nodes of one CPU."""
        for _ in range(count):
            self.nodes.append(self.cluster.add_node(wait=False, num_cpus=1, **SMALL))
        self.cluster.wait_for_nodes()

    def without_dead(self) -> int:
        """Take nodes whose processes have ended out of the cluster; returns how many."""
        dead = [node for node in self.nodes if not node.remaining_processes_alive()]
        for node in dead:
            self.nodes.remove(node)
            self.cluster.remove_node(node)
        return len(dead)


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, HERE.parent, HERE))))
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "_system_config": QUICK, **SMALL}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        nodes = TwoNodes(cluster, cluster.address, [])
        nodes.add(2)
        with Ray(cluster.address, 2) as executor:
            executor.connect()  # once for all tests
            yield nodes
        cluster.shutdown()


def unlucky(number: int) -> int:
    """Goes wrong in three ways, by the number; returns the process that did the work."""
    match number:
        case 3:
            raise ValueError("three is bad")
        case 5:
            os.kill(os.getpid(), signal.SIGKILL)
        case 7:
            time.sleep(60)
    return os.getpid()


@dataclass(frozen=True)
class KillsRayWorker:
    """Ends the Ray worker above its process: at item 5 each time, at item 2 the first time."""

    mark: Path

    def __call__(self, number: int) -> int:
        if number == 5 or (number == 2 and not self.mark.exists()):
            self.mark.touch()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return 2 * number


@dataclass(frozen=True)
class SlowTake(Take):
    """As Take, but long enough for a node to die meanwhile."""

    def __call__(self, sample: Sample) -> Sample:
        time.sleep(0.05)
        return super().__call__(sample)


@dataclass(frozen=True)
class KillsNode(Take):
    """As Take, but the picture a/6.jpg ends its node: the raylet, then the workers."""

    def __call__(self, sample: Sample) -> Sample:
        if sample.key == "a/6.jpg":
            worker = os.getppid()
            raylet = subprocess.check_output(["ps", "-o", "ppid=", "-p", f"{worker}"])
            for process in (int(raylet), worker, os.getpid()):
                os.kill(process, signal.SIGKILL)
        return super().__call__(sample)


def lost_as(result: object) -> str:
    return result.reason if isinstance(result, Lost) else ""


def test_a_crash_a_hang_and_an_exception_cost_one_item_each(two_nodes: TwoNodes) -> None:
    with Ray(two_nodes.address, 2, TIMEOUT) as executor:
        results = dict(executor.map(unlucky, range(40)))
    assert isinstance(failure := results.pop(3), ValueError) and failure.args == ("three is bad",)
    assert lost_as(results.pop(5)) == "crashed"
    assert lost_as(results.pop(7)) == "timed_out"
    assert all(isinstance(pid, int) for pid in results.values())
    assert len(results) == 37 and os.getpid() not in results.values()


def test_an_item_over_which_two_ray_workers_die_is_lost_alone(
    two_nodes: TwoNodes, tmp_path: Path
) -> None:
    with Ray(two_nodes.address, 2, TIMEOUT) as executor:
        results = dict(executor.map(KillsRayWorker(tmp_path / "killed"), range(8)))
    assert lost_as(results.pop(5)) == "crashed"
    assert results == {number: 2 * number for number in (0, 1, 2, 3, 4, 6, 7)}


def test_a_node_that_is_lost_changes_neither_rows_nor_bytes(
    two_nodes: TwoNodes, tmp_path: Path
) -> None:
    homes = []
    for name in ("alone", "cluster"):
        (tmp_path / name).mkdir()
        homes.append(Home(tmp_path / name))
        for number in range(80):
            path = homes[-1].put(f"{'ab'[number % 2]}/{number}.jpg", picture(number))
            os.utime(path, ns=(10**18, 10**18))
    alone, cluster = homes
    alone.run(chain())  # the same stage but for the waiting
    done_at_loss: list[int] = []

    def lose_a_node() -> None:
        taken = cluster.path / "processed" / "taken"
        while len(done := list(taken.rglob("*.jpg"))) < 10:
            time.sleep(0.01)
        done_at_loss.append(len(done))
        two_nodes.cluster.remove_node(two_nodes.nodes.pop(), allow_graceful=False)

    killer = threading.Thread(target=lose_a_node, daemon=True)
    killer.start()
    cluster.run(chain(take=SlowTake()), Ray(two_nodes.address, 2, TIMEOUT))
    killer.join()
    assert done_at_loss[0] < 60
    assert cluster.rows() == alone.rows() and len(alone.rows()) == 5 * 80
    assert cluster.tree() == alone.tree()


def test_a_picture_that_takes_each_machine_down_is_crashed_and_its_neighbours_are_kept(
    two_nodes: TwoNodes, tmp_path: Path
) -> None:
    alone, cluster = Home(tmp_path / "alone"), Home(tmp_path / "cluster")
    for home in (alone, cluster):
        home.path.mkdir()
        for number in range(12):
            path = home.put(f"a/{number}.jpg", picture(number))
            os.utime(path, ns=(10**18, 10**18))
    alone.run(chain()[:2])
    two_nodes.add(LOSSES + 2 - len(two_nodes.nodes))
    cluster.run(chain(take=KillsNode())[:2], Ray(two_nodes.address, 2, TIMEOUT))
    assert two_nodes.without_dead() == LOSSES + 1
    ((verdict, reason, detail),) = cluster.rows("verdict, reason, detail", "key = 'a/6.jpg'")
    assert (verdict, reason) == ("error", "crashed")
    assert "its machine was lost 3 times, the last time with nothing else at work" in detail
    others = "key != 'a/6.jpg'"
    assert cluster.rows(where=others) == alone.rows(where=others)


def test_predict_labels_a_folder_on_a_cluster_as_without_one(
    two_nodes: TwoNodes, pipeline: Command, tmp_path: Path
) -> None:
    model, pictures = small_model(tmp_path), tmp_path / "pictures"
    pictures.mkdir()
    for suffix in (".jpg", ".png", ".bmp"):
        portrait_file(pictures, suffix)
    tables = []
    for flags in (("serial",), ("ray", "--address", two_nodes.address)):
        output = tmp_path / flags[0]
        words = ("--model", model, "--input", pictures, "--output", output, "--executor", *flags)
        pipeline("predict", *words, "--processed", tmp_path / "processed")
        tables.append((output / "predictions.csv").read_bytes())
    assert tables[0] == tables[1] and tables[0].count(b"portrait") == 3


def test_without_ray_one_sentence_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    flags = ["--raw", str(tmp_path / "raw"), "--processed", str(tmp_path / "processed")]
    assert __main__.main(["normalize", *flags, "--executor", "ray"]) == 2
    assert capsys.readouterr().err == (
        "--executor ray needs Ray: pip install 'lip-expression[ray]'\n"
    )


def test_an_address_where_nobody_listens_is_told_at_once(home: Home) -> None:
    (home.path / "raw" / "a" / "0.jpg").touch()  # something to do
    with pytest.raises(Trouble, match=r"cannot reach Ray at 127\.0\.0\.1:1: .*refused"):
        home.run(executor=Ray("127.0.0.1:1", 2))


def test_a_node_that_lacks_a_module_ends_the_command_with_a_sentence(
    two_nodes: TwoNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def same(number): return number\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    same = importlib.import_module("only_here").same
    with (
        Ray(two_nodes.address, 2, TIMEOUT) as executor,
        pytest.raises(Trouble, match=r"cannot do the work \(.*No module named 'only_here'"),
    ):
        list(executor.map(same, range(3)))


def test_a_cluster_without_a_node_left_ends_the_command_with_a_sentence(
    two_nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test here: it leaves no node."""
    for node in two_nodes.nodes:
        two_nodes.cluster.remove_node(node, allow_graceful=False)
    monkeypatch.setattr(ray, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(ray, "NO_CPU_SECONDS", 1.0)
    with (
        Ray(two_nodes.address, 2, TIMEOUT) as executor,
        pytest.raises(Trouble, match=r"the cluster has no CPU left: .* run the same command again"),
    ):
        list(executor.map(unlucky, range(3)))
