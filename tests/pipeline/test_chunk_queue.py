"""What becomes of chunks that are lost with their worker or their node."""

from __future__ import annotations

from pipeline.executors.chunk_queue import LOSSES, Chunk, ChunkQueue


def test_lost_chunks_come_before_new_ones_and_items_that_are_alone_come_last() -> None:
    queue = ChunkQueue(range(5))
    queue.put_back([Chunk([8], alone=True), Chunk([6, 7])])
    order = [queue.next(2, under_way) for under_way in range(4)]
    assert [chunk and chunk.items for chunk in order] == [[6, 7], [0, 1], [2, 3], [4]]
    assert queue.next(2, under_way=1) is None
    assert queue.next(2, under_way=0) == Chunk([8], alone=True)
    assert queue.next(2, under_way=0) is None


def test_a_chunk_is_halved_with_each_worker_and_a_single_item_is_suspect() -> None:
    chunk = Chunk([1, 2, 3], nodes=1)
    assert chunk.after_worker_loss() == [Chunk([1], nodes=1), Chunk([2, 3], nodes=1)]
    assert Chunk([1]).after_worker_loss() == [Chunk([1], suspect=True)]


def test_the_items_of_a_chunk_that_is_lost_with_node_after_node_are_done_alone() -> None:
    chunk = Chunk([1, 2, 3])
    for _ in range(LOSSES - 1):
        (chunk,) = chunk.after_node_loss()
        assert chunk.items == [1, 2, 3] and not chunk.alone
    assert chunk.after_node_loss() == [Chunk([item], alone=True) for item in (1, 2, 3)]
