// x weight^T for one weight: float32 [T][N].
#include <algorithm>

#include "api.h"
#include "pool.h"
#include "product.h"
#include "product_transpose.h"

namespace canvaslm {
namespace {

constexpr int kOwnScratch = 6;
constexpr int64_t kPanelBytes = 1 << 20;  // of activations that are read again and again: from L2

// Outputs of a work item: enough to stream, few enough for all threads to have some. With few
// tokens there is nothing to keep in the cache, and what an item begins with counts for more.
int64_t outputs_of_item(int64_t outputs, int64_t tokens, int threads) {
    int64_t share = outputs / (4 * threads);
    if (tokens <= 4 && share >= 128) return share >= 256 ? 256 : 128;
    return share >= 64 ? 64 : share >= 32 ? 32 : 16;
}

// Blocks of tokens that go through the weight together.
int64_t blocks_of_item(const Panel& x) {
    int64_t blocks = blocks_of(x.tokens);
    int64_t most = std::max<int64_t>(16, kPanelBytes / std::max<int64_t>(1, x.block_bytes()));
    int64_t passes = (blocks + most - 1) / most;
    return (blocks + passes - 1) / passes;
}

// Items are slabs of outputs, so that each weight is read from memory once in a pass.
void linear(int threads, const Panel& x, const Matrix& w, float* y_TN) {
    if (!x.tokens || !w.outputs) return;
    int64_t outputs = outputs_of_item(w.outputs, x.tokens, threads), blocks = blocks_of_item(x);
    int64_t slabs = (w.outputs + outputs - 1) / outputs;
    int64_t passes = (blocks_of(x.tokens) + blocks - 1) / blocks;
    parallel(threads, slabs * passes, [&](int64_t item, int) {
        int64_t n0 = item % slabs * outputs, b0 = item / slabs * blocks;
        int64_t count = std::min(outputs, w.outputs - n0);
        int64_t take = std::min(blocks, blocks_of(x.tokens) - b0), stride = take * kLanes;
        auto out = static_cast<float*>(scratch(kOwnScratch, size_t(outputs * stride) * 4));
        int64_t then = item + threads;  // most likely: they take turns
        int64_t next = then < slabs * passes ? then % slabs * outputs : -1;
        product(x, b0, take, w, n0, count, out, stride, next);
        for (int64_t b = 0; b < take; ++b) {
            int64_t t = (b0 + b) * kLanes, tokens = std::min<int64_t>(kLanes, x.tokens - t);
            for (int64_t n = 0; n < count; n += 16)
                dense::turn(out + n * stride + b * kLanes, stride, std::min<int64_t>(16, count - n),
                            tokens, y_TN + t * w.outputs + n0 + n, w.outputs);
        }
    });
}

}  // namespace
}  // namespace canvaslm

CANVASLM_API void canvaslm_linear(int threads, const canvaslm::Panel* x, const canvaslm::Matrix* w,
                                  float* y_TN) {
    canvaslm::linear(threads, *x, *w, y_TN);
}
