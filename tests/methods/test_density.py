"""The density sketch: it estimates the kernel it names, and adds up however a corpus is cut."""

from __future__ import annotations

import numpy as np
import pytest

from recension.methods import density
from recension.methods.density import Shape, Sketch, codes, kernel, merged_bytes, to_bytes

SHAPE = Shape(rows=400, columns=5_000)


def vectors(count: int, dimensions: int = 128, seed: int = 0) -> np.ndarray:
    """Clusters of different width around one middle, of length 1."""
    random = np.random.default_rng(seed)
    width = random.choice([0.1, 0.5, 2.0], (count, 1))
    rows = random.normal(size=dimensions) / 8 + width * random.normal(size=(count, dimensions)) / np.sqrt(dimensions)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_the_sketch_estimates_the_mean_of_its_kernel():
    rows = vectors(600)
    sketch = Sketch.empty(SHAPE)
    sketch.add(rows)
    apart = np.sqrt(np.maximum(0, 2 - 2 * rows.astype(np.float64) @ rows.T))
    grid = np.linspace(0, 2, 201)
    wanted = np.interp(apart, grid, [kernel(c, SHAPE) for c in grid]).mean(axis=1)
    found = sketch.density(rows)
    assert np.abs(found / wanted - 1).mean() < 0.08  # the spread of 400 rows
    assert abs((found / wanted).mean() - 1) < 0.05
    assert wanted.max() / wanted.min() > 5  # else a constant would pass


def test_known_points_of_the_kernel():
    assert (
        kernel(0) == 1
        and kernel(0.2) == pytest.approx(0.499, abs=0.005)
        and kernel(1) == pytest.approx(0.0185, abs=0.001)
    )
    one = vectors(1)
    sketch = Sketch.empty(SHAPE)
    assert sketch.density(one).tolist() == [0]
    sketch.add(np.repeat(one, 7, axis=0))
    assert sketch.density(one).tolist() == [1]


def test_a_sketch_is_the_same_to_the_byte_however_the_corpus_is_cut():
    rows = vectors(300, dimensions=768)
    whole, parts = Sketch.empty(SHAPE), [Sketch.empty(SHAPE) for _ in range(3)]
    whole.add(rows)
    for sketch, part in zip(parts, (rows[200:], rows[:1], rows[1:200][::-1]), strict=True):
        sketch.add(part)
    packed = [to_bytes(sketch) for sketch in parts]
    assert merged_bytes(merged_bytes(packed[0], packed[1]), packed[2]) == to_bytes(whole)
    alone = np.concatenate([codes(rows[i : i + 1], SHAPE) for i in range(0, 300, 7)], axis=1)
    assert (alone == codes(rows, SHAPE)[:, ::7]).all()
    assert density.from_bytes(to_bytes(whole)).density(rows).tolist() == whole.density(rows).tolist()
    many = Sketch(SHAPE, whole.counters * 300, whole.count * 300)  # more than two bytes hold
    assert (density.from_bytes(to_bytes(many)).counters == many.counters).all()


def test_what_does_not_add_up_is_refused():
    with pytest.raises(ValueError, match="different shapes"):
        density.merged(Sketch.empty(SHAPE), Sketch.empty(Shape(400, 5_000, seed=1)))
    with pytest.raises(ValueError, match="length 1"):
        Sketch.empty(SHAPE).add(2 * vectors(1))
    with pytest.raises(ValueError, match="columns"):
        Sketch.empty(Shape(columns=1 << 17))
