// The vocabulary head: one pass over the table leaves the statistics of each position's
// distribution, and logits are never kept. Work items are slabs of the vocabulary, so that the
// table is read once; what an item leaves does not depend on the other positions.
#include <algorithm>
#include <cstdint>

#include "api.h"
#include "head_kept.h"
#include "head_merge.h"
#include "head_tile.h"
#include "panel.h"
#include "pool.h"
#include "product.h"

namespace canvaslm::head {
namespace {

constexpr int64_t kSlab = 2 * kTile;  // tokens of the vocabulary in a work item
constexpr int64_t kBlocks = 16;       // of 16 positions whose products lie in L2 together
constexpr int kLogits = 0, kMass = 1, kAll = 2;  // scratch

// An odd number of cache lines, or the rows of a tile would all fall into a few sets of L1.
constexpr int64_t stride_of(int64_t blocks) { return (blocks | 1) * kLanes; }

struct Question {
    const Panel& x;
    const Matrix& table;
    Shape shape;
    float* statistics;  // [C][tiles][4][16]
    const Kept* kept;

    int64_t tiles() const { return tiles_of(table.outputs); }
    float* of(int64_t block, int64_t tile) const {
        return statistics + (block * tiles() + tile) * kStatistics * kLanes;
    }
};

template <class Weight>
void keep(const Question& q, float* c, int64_t stride, int64_t count, Vec largest, int64_t block,
          int64_t tile) {
    alignas(64) float by_token[kTile * kLanes];
    sum_up(c, stride, count, largest, q.shape.steep(), q.of(block, tile),
           [&](int64_t v, Vec weight) { store(by_token + v * kLanes, weight); });
    std::fill(by_token + count * kLanes, by_token + kTile * kLanes, 0.0f);
    int64_t at = tile * blocks_of(q.x.tokens) + block;
    keep_tile(by_token, static_cast<Weight*>(q.kept->weights) + at * kLanes * kTile);
}

void one_tile(const Question& q, float* c, int64_t stride, int64_t block, int64_t tile) {
    int64_t count = std::min(kTile, q.table.outputs - tile * kTile);
    Vec largest = bend(c, stride, count, q.shape, tile * kTile);
    if (!q.kept)
        sum_up(c, stride, count, largest, q.shape.steep(), q.of(block, tile), [](int64_t, Vec) {});
    else if (q.kept->wide)
        keep<float>(q, c, stride, count, largest, block, tile);
    else
        keep<uint16_t>(q, c, stride, count, largest, block, tile);
}

// Calls f(c, stride, block, v0, count) with the products of tokens v0 and on with one block.
template <class F>
void multiply(const Panel& x, const Matrix& table, int64_t slab, F&& f) {
    int64_t v0 = slab * kSlab, count = std::min(kSlab, table.outputs - v0);
    int64_t blocks = blocks_of(x.tokens), stride = stride_of(std::min(kBlocks, blocks));
    auto c = static_cast<float*>(scratch(kLogits, kSlab * stride * sizeof(float)));
    for (int64_t b0 = 0; b0 < blocks; b0 += kBlocks) {
        int64_t some = std::min(kBlocks, blocks - b0);
        product(x, b0, some, table, v0, count, c, stride);
        for (int64_t b = 0; b < some; ++b) f(c + b * kLanes, stride, b0 + b, v0, count);
    }
}

int64_t slabs_of(const Matrix& table) { return (table.outputs + kSlab - 1) / kSlab; }

void merge_block(const Question& q, const Answer& answer, int64_t block) {
    int64_t t0 = block * kLanes, count = std::min<int64_t>(kLanes, q.x.tokens - t0);
    auto mass = static_cast<float*>(scratch(kMass, q.tiles() * kLanes * sizeof(float)));
    Merge all = merge(q.of(block, 0), q.tiles(), q.shape, mass);
    conclude(all, q.shape, count, answer, t0);
    for (int64_t t = 0; answer.drawn && t < count; ++t)
        choose_tile(all, mass, q.tiles(), t, answer, t0 + t);
    if (q.kept)
        keep_shares(q.of(block, 0), all, mass, q.tiles(), count, q.shape.steep(), *q.kept, t0);
}

// The token within the tile that was chosen for position t, from its logits computed once more.
void draw(const Question& q, const Answer& answer, int64_t t) {
    int64_t block = t / kLanes, tile = answer.drawn[t], v0 = tile * kTile;
    int64_t count = std::min(kTile, q.table.outputs - v0);
    auto c = static_cast<float*>(scratch(kLogits, kTile * kLanes * sizeof(float)));
    product(q.x, block, 1, q.table, v0, count, c, kLanes);
    bend(c, kLanes, count, q.shape, v0);
    Vec m = finite(load(q.of(block, tile))), steep = set(q.shape.steep());
    double total = 0, upper = 0;
    for (int64_t v = 0; v < count; ++v) {
        store(c + v * kLanes, exp2((load(c + v * kLanes) - m) * steep));
        total += c[v * kLanes + t % kLanes];
    }
    int64_t token = 0;
    for (int64_t v = 0; v < count && upper <= answer.within[t] * total; ++v) {
        float e = c[v * kLanes + t % kLanes];
        upper += e;
        if (e > 0) token = v;
    }
    answer.drawn[t] = v0 + token;
}

void believe(int threads, Question& q, const Answer& answer) {
    int64_t blocks = blocks_of(q.x.tokens);
    size_t numbers = blocks * q.tiles() * kStatistics * kLanes;
    q.statistics = static_cast<float*>(scratch(kAll, numbers * sizeof(float)));
    parallel(threads, slabs_of(q.table), [&](int64_t slab, int) {
        multiply(q.x, q.table, slab,
                 [&](float* c, int64_t stride, int64_t block, int64_t v0, int64_t count) {
                     for (int64_t v = 0; v < count; v += kTile)
                         one_tile(q, c + v * stride, stride, block, (v0 + v) / kTile);
                 });
    });
    parallel(threads, blocks, [&](int64_t block, int) { merge_block(q, answer, block); });
    if (answer.drawn)
        parallel(threads, q.x.tokens, [&](int64_t t, int) { draw(q, answer, t); });
}

void logits(int threads, const Panel& x, const Matrix& table, float cap, float* out_TV) {
    parallel(threads, slabs_of(table), [&](int64_t slab, int) {
        multiply(x, table, slab,
                 [&](float* c, int64_t stride, int64_t block, int64_t v0, int64_t count) {
                     bend(c, stride, count, {cap, 1, nullptr}, v0);
                     int64_t lanes = std::min<int64_t>(kLanes, x.tokens - block * kLanes);
                     float* out = out_TV + block * kLanes * table.outputs + v0;
                     for (int64_t t = 0; t < lanes; ++t)
                         for (int64_t v = 0; v < count; ++v)
                             out[t * table.outputs + v] = c[v * stride + t];
                 });
    });
}

}  // namespace
}  // namespace canvaslm::head

CANVASLM_API void canvaslm_believe(int threads, const canvaslm::Panel* x,
                                   const canvaslm::Matrix* table, const canvaslm::head::Shape* shape,
                                   const canvaslm::head::Answer* answer,
                                   const canvaslm::head::Kept* kept) {
    canvaslm::head::Question question{*x, *table, *shape, nullptr, kept};
    canvaslm::head::believe(threads, question, *answer);
}

CANVASLM_API void canvaslm_logits(int threads, const canvaslm::Panel* x,
                                  const canvaslm::Matrix* table, float cap, float* out_TV) {
    canvaslm::head::logits(threads, *x, *table, cap, out_TV);
}
