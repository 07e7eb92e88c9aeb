"""The gates of one time step, forward and backward, as compiled loops.

Each loop reads few arrays, so that the compiler can vectorise it, and a row of the batch stays in
the first-level cache from loop to loop. All arrays are (B, ·), for one time step. `pre` holds the
input's part W x_t + b, `rec` the recurrent part U h_{t-1}, each G blocks of H columns. The forward
functions overwrite `pre` with the values of the gates; the backward functions read them as `gates`.
A name that begins with `d` is the gradient of the loss with respect to the rest of the name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...compiled import Int, compiled_arithmetic
from ...compiled.deferred import deferred

Array = np.ndarray[Any, np.dtype[Any]]  # of float32 or float64

_ZERO, _ONE = np.float32(0), np.float32(1)

tanh = deferred("nextword.nn.kernels.activations", "tanh")
sigmoid = deferred("nextword.nn.kernels.activations", "sigmoid")


@compiled_arithmetic
def transpose(x: Array, out: Array, start: Int, stop: Int) -> None:
    """Copy the columns start to stop - 1 of x (M, N) to the rows of out (N, M)."""
    rows = x.shape[0]
    for j0 in range(start, stop, 16):
        for i0 in range(0, rows, 64):
            for j in range(j0, min(stop, j0 + 16)):
                for i in range(i0, min(rows, i0 + 64)):
                    out[j, i] = x[i, j]


@compiled_arithmetic
def lstm(pre: Array, rec: Array, p: Array, c0: Array, c1: Array, h1: Array) -> None:
    """One step of the LSTM: from the cell state c0 compute c1 and h1. p holds the peephole weights
    (3, H), or is (0, H) without peepholes. An empty `rec` (0, ·) means that `pre` already holds the
    sum of both parts."""
    B, H = c0.shape
    peep = len(p) > 0
    for row in range(B):
        g, c, new, h = pre[row], c0[row], c1[row], h1[row]
        i, f, n, o = g[:H], g[H : 2 * H], g[2 * H : 3 * H], g[3 * H :]
        if len(rec):
            r = rec[row]
            for j in range(4 * H):
                g[j] += r[j]
        if peep:
            for j in range(H):
                i[j] += p[0, j] * c[j]
            for j in range(H):
                f[j] += p[1, j] * c[j]
        for j in range(2 * H):
            g[j] = sigmoid(g[j])
        for j in range(H):
            n[j] = tanh(n[j])
        for j in range(H):
            new[j] = f[j] * c[j] + i[j] * n[j]
        if peep:
            for j in range(H):
                o[j] += p[2, j] * new[j]
        for j in range(H):
            o[j] = sigmoid(o[j])
        for j in range(H):
            h[j] = o[j] * tanh(new[j])


@compiled_arithmetic
def lstm_backward(
    gates: Array, p: Array, c0: Array, c1: Array, dout: Array, dh: Array, dc: Array, dpre: Array
) -> None:
    """From dh and dc after the step compute dpre. dout is added to dh first; dc is overwritten with
    the gradient before the step."""
    B, H = c0.shape
    peep = len(p) > 0
    for row in range(B):
        g, d = gates[row], dpre[row]
        i, f, n, o = g[:H], g[H : 2 * H], g[2 * H : 3 * H], g[3 * H :]
        di, df, dn, do = d[:H], d[H : 2 * H], d[2 * H : 3 * H], d[3 * H :]
        c, new, h, e, above = c0[row], c1[row], dh[row], dc[row], dout[row]
        for j in range(H):
            h[j] += above[j]
        for j in range(H):
            do[j] = tanh(new[j])
        for j in range(H):
            e[j] += h[j] * o[j] * (_ONE - do[j] * do[j])
        for j in range(H):
            do[j] *= h[j] * o[j] * (_ONE - o[j])
        if peep:
            for j in range(H):
                e[j] += p[2, j] * do[j]
        for j in range(H):
            di[j] = e[j] * n[j] * i[j] * (_ONE - i[j])
        for j in range(H):
            df[j] = e[j] * c[j] * f[j] * (_ONE - f[j])
        for j in range(H):
            dn[j] = e[j] * i[j] * (_ONE - n[j] * n[j])
        for j in range(H):
            e[j] *= f[j]
        if peep:
            for j in range(H):
                e[j] += p[0, j] * di[j] + p[1, j] * df[j]


@compiled_arithmetic
def gru(pre: Array, rec: Array, b: Array, h0: Array, inner: Array, h1: Array) -> None:
    """One step of the GRU that resets after the product: from h0 compute h1. `inner` is filled with
    b plus the candidate's block of rec, which the backward function needs."""
    B, H = h0.shape
    for row in range(B):
        g, u, h, new, m = pre[row], rec[row], h0[row], h1[row], inner[row]
        r, z, n, u_n = g[:H], g[H : 2 * H], g[2 * H :], u[2 * H :]
        for j in range(2 * H):
            g[j] = sigmoid(g[j] + u[j])
        for j in range(H):
            m[j] = u_n[j] + b[j]
        for j in range(H):
            n[j] = tanh(n[j] + r[j] * m[j])
        for j in range(H):
            new[j] = n[j] + z[j] * (h[j] - n[j])


@compiled_arithmetic
def gru_backward(
    gates: Array, inner: Array, h0: Array, dout: Array, dh: Array, dpre: Array, drec: Array
) -> None:
    """From dh after the step compute dpre and drec. dh is overwritten with the part of the gradient
    before the step that does not go through the recurrent product."""
    B, H = h0.shape
    for row in range(B):
        g, d, e = gates[row], dpre[row], drec[row]
        r, z, n = g[:H], g[H : 2 * H], g[2 * H :]
        dr, dz, dn, en = d[:H], d[H : 2 * H], d[2 * H :], e[2 * H :]
        h, m, back, above = h0[row], inner[row], dh[row], dout[row]
        for j in range(H):
            back[j] += above[j]
        for j in range(H):
            dn[j] = back[j] * (_ONE - z[j]) * (_ONE - n[j] * n[j])
        for j in range(H):
            dz[j] = back[j] * (h[j] - n[j]) * z[j] * (_ONE - z[j])
        for j in range(H):
            dr[j] = dn[j] * m[j] * r[j] * (_ONE - r[j])
        for j in range(2 * H):
            e[j] = d[j]
        for j in range(H):
            en[j] = dn[j] * r[j]
        for j in range(H):
            back[j] *= z[j]


@compiled_arithmetic
def gru_before_gates(pre: Array, rec: Array, h0: Array, reset: Array) -> None:
    """First half of a step of the GRU that resets before the product: compute r and z from rec
    (B, 2H), and reset = r ∘ h0, the input of the candidate's product."""
    B, H = h0.shape
    for row in range(B):
        g, u, h, out = pre[row], rec[row], h0[row], reset[row]
        for j in range(2 * H):
            g[j] = sigmoid(g[j] + u[j])
        for j in range(H):
            out[j] = g[j] * h[j]


@compiled_arithmetic
def gru_before(pre: Array, rec: Array, h0: Array, h1: Array) -> None:
    """Second half of the step: compute the candidate from rec (B, H), and h1 from h0."""
    B, H = h0.shape
    for row in range(B):
        g, u, h, new = pre[row], rec[row], h0[row], h1[row]
        z, n = g[H : 2 * H], g[2 * H :]
        for j in range(H):
            n[j] = tanh(n[j] + u[j])
        for j in range(H):
            new[j] = n[j] + z[j] * (h[j] - n[j])


@compiled_arithmetic
def gru_before_backward(gates: Array, h0: Array, dout: Array, dh: Array, dpre: Array) -> None:
    """From dh after the step compute the blocks of dpre for z and the candidate. dh is overwritten
    with z ∘ dh."""
    B, H = h0.shape
    for row in range(B):
        g, d, h, back, above = gates[row], dpre[row], h0[row], dh[row], dout[row]
        z, n, dz, dn = g[H : 2 * H], g[2 * H :], d[H : 2 * H], d[2 * H :]
        for j in range(H):
            back[j] += above[j]
        for j in range(H):
            dn[j] = back[j] * (_ONE - z[j]) * (_ONE - n[j] * n[j])
        for j in range(H):
            dz[j] = back[j] * (h[j] - n[j]) * z[j] * (_ONE - z[j])
        for j in range(H):
            back[j] *= z[j]


@compiled_arithmetic
def gru_before_backward_gates(
    gates: Array, h0: Array, dreset: Array, dh: Array, dpre: Array
) -> None:
    """From the gradient of r ∘ h0 compute the block of dpre for r, and add r ∘ dreset to dh."""
    B, H = h0.shape
    for row in range(B):
        r, dr, h, e, back = gates[row], dpre[row], h0[row], dreset[row], dh[row]
        for j in range(H):
            dr[j] = e[j] * h[j] * r[j] * (_ONE - r[j])
        for j in range(H):
            back[j] += e[j] * r[j]


@compiled_arithmetic
def elman(pre: Array, rec: Array, h1: Array) -> None:
    """One step of the plain RNN: h1 = tanh(pre + rec)."""
    B, H = h1.shape
    for row in range(B):
        g, r, h = pre[row], rec[row], h1[row]
        for j in range(H):
            h[j] = tanh(g[j] + r[j])


@compiled_arithmetic
def elman_backward(h1: Array, dout: Array, dh: Array, dpre: Array) -> None:
    """From dh after the step, plus dout, compute dpre."""
    B, H = h1.shape
    for row in range(B):
        h, d, back, above = h1[row], dpre[row], dh[row], dout[row]
        for j in range(H):
            d[j] = (back[j] + above[j]) * (_ONE - h[j] * h[j])


@compiled_arithmetic
def logistic(pre: Array, rec: Array, h1: Array) -> None:
    """One step of the plain RNN with the logistic function: h1 = σ(pre + rec)."""
    B, H = h1.shape
    for row in range(B):
        g, r, h = pre[row], rec[row], h1[row]
        for j in range(H):
            h[j] = sigmoid(g[j] + r[j])


@compiled_arithmetic
def logistic_backward(h1: Array, dout: Array, dh: Array, dpre: Array) -> None:
    """From dh after the step, plus dout, compute dpre."""
    B, H = h1.shape
    for row in range(B):
        h, d, back, above = h1[row], dpre[row], dh[row], dout[row]
        for j in range(H):
            d[j] = (back[j] + above[j]) * h[j] * (_ONE - h[j])


@compiled_arithmetic
def relu(pre: Array, rec: Array, h1: Array) -> None:
    """One step of the ReLU RNN: h1 = max(0, pre + rec). NaN stays NaN."""
    B, H = h1.shape
    for row in range(B):
        g, r, h = pre[row], rec[row], h1[row]
        for j in range(H):
            x = g[j] + r[j]
            h[j] = _ZERO if x < _ZERO else x


@compiled_arithmetic
def relu_backward(h1: Array, dout: Array, dh: Array, dpre: Array) -> None:
    """From dh after the step, plus dout, compute dpre."""
    B, H = h1.shape
    for row in range(B):
        h, d, back, above = h1[row], dpre[row], dh[row], dout[row]
        for j in range(H):
            e = back[j] + above[j]
            d[j] = e if h[j] > _ZERO else _ZERO
