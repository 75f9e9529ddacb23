"""sha256 modulo the buckets, of many short texts side by side: one instruction does a step of all of them."""

from __future__ import annotations

import numba
import numpy as np

from recension.methods.audit.words import BUCKETS

LANES = 16  # numbers of 32 bits that a processor holds in one register, at best
_PRIMES = [number for number in range(2, 312) if all(number % other for other in range(2, number))]
_ROUNDS = np.array([int((prime ** (1 / 3) % 1) * (1 << 32)) for prime in _PRIMES[:64]], dtype=np.uint32)
_START = np.array([int((prime**0.5 % 1) * (1 << 32)) for prime in _PRIMES[:8]], dtype=np.uint32)


@numba.njit(cache=True, inline="always")
def _turned(value, by):
    return np.uint32((value >> np.uint32(by)) | (value << np.uint32(32 - by)))


@numba.njit(cache=True)
def _compress(words, state, work):
    """One block in each lane: `words` holds its sixteen numbers, and has room for those made of them."""
    for i in range(16, 64):
        for lane in range(LANES):
            x, y = words[i - 15, lane], words[i - 2, lane]
            low = _turned(x, 7) ^ _turned(x, 18) ^ (x >> np.uint32(3))
            high = _turned(y, 17) ^ _turned(y, 19) ^ (y >> np.uint32(10))
            words[i, lane] = np.uint32(words[i - 16, lane] + low + words[i - 7, lane] + high)
    for row in range(8):
        for lane in range(LANES):
            work[row, lane] = state[row, lane]
    for i in range(64):
        # The eight letters of the standard take turns among the rows, so that nothing is moved.
        a, b, c, d = work[-i & 7], work[1 - i & 7], work[2 - i & 7], work[3 - i & 7]
        e, f, g, h = work[4 - i & 7], work[5 - i & 7], work[6 - i & 7], work[7 - i & 7]
        now, constant = words[i], _ROUNDS[i]
        for lane in range(LANES):
            x, y = e[lane], a[lane]
            first = h[lane] + (_turned(x, 6) ^ _turned(x, 11) ^ _turned(x, 25)) + ((x & f[lane]) ^ (~x & g[lane]))
            first = np.uint32(first + constant + now[lane])
            second = (_turned(y, 2) ^ _turned(y, 13) ^ _turned(y, 22)) + (
                (y & b[lane]) ^ (y & c[lane]) ^ (b[lane] & c[lane])
            )
            d[lane] = np.uint32(d[lane] + first)
            h[lane] = np.uint32(first + second)
    for row in range(8):
        for lane in range(LANES):
            state[row, lane] = np.uint32(state[row, lane] + work[row, lane])


@numba.njit(cache=True, inline="always")
def _number(block, i):
    return (
        np.uint32(block[4 * i]) << np.uint32(24)
        | np.uint32(block[4 * i + 1]) << np.uint32(16)
        | np.uint32(block[4 * i + 2]) << np.uint32(8)
        | np.uint32(block[4 * i + 3])
    )


@numba.njit(cache=True)
def _rest(state, lane):
    """A digest as one large number, modulo the buckets."""
    rest = np.uint64(0)
    for row in range(8):
        rest = ((rest << np.uint64(32)) + np.uint64(state[row, lane])) % np.uint64(BUCKETS)
    return np.uint16(rest)


@numba.njit(cache=True)
def short_buckets(blocks, found):
    """The bucket of each of `LANES` texts that fill a block, with what the standard puts behind them."""
    words, state, work = (
        np.empty((64, LANES), np.uint32),
        np.empty((8, LANES), np.uint32),
        np.empty((8, LANES), np.uint32),
    )
    for lane in range(LANES):
        for i in range(16):
            words[i, lane] = _number(blocks[lane], i)
        for row in range(8):
            state[row, lane] = _START[row]
    _compress(words, state, work)
    for lane in range(LANES):
        found[lane] = _rest(state, lane)


@numba.njit(cache=True)
def long_bucket(room, length):
    """The bucket of the first bytes of `room`, which has room for what stands behind them: the same in one lane."""
    count = (length + 9 + 63) // 64
    room[length : count * 64] = 0
    room[length] = 0x80
    for place in range(8):
        room[count * 64 - 1 - place] = ((length * 8) >> (8 * place)) & 0xFF
    words, state, work = (
        np.zeros((64, LANES), np.uint32),
        np.zeros((8, LANES), np.uint32),
        np.empty((8, LANES), np.uint32),
    )
    state[:, 0] = _START
    for block in range(count):
        for i in range(16):
            words[i, 0] = _number(room[64 * block :], i)
        _compress(words, state, work)
    return _rest(state, 0)
