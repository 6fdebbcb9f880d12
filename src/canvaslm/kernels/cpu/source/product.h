// Rows times a weight: what the linear, experts and head kernels are made of.
#pragma once
#include <cstdint>

#include "panel.h"

namespace canvaslm {

// out[n][t] = sum over k of w[n0 + n][k] x[16 b0 + t][k], scales of both applied, for `count`
// outputs and `blocks` blocks of 16 tokens; `stride` floats lie between two outputs. Lanes beyond
// the last token are written, too, and mean nothing. One thread computes it, out of its scratch
// memory kProductScratch. What a token gets depends on nothing but its row and the weight: not on
// b0, n0, the blocks or the other rows.
//
// Weights are read once for all blocks, so give all of a call's tokens at a time, and some 16 to 64
// outputs: their products should stay in L1 or L2 until they are read. `next` is the output that this
// thread's next call starts with, if that is known: its weights are then fetched meanwhile.
void product(const Panel& x, int64_t b0, int64_t blocks, const Matrix& w, int64_t n0, int64_t count,
             float* out, int64_t stride, int64_t next = -1);

constexpr int kProductScratch = 7;

}  // namespace canvaslm
