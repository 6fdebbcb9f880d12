// Attention as a stream: for each kv head, blocks of keys go by, packed once for all query rows.
//
// The r = H / G heads that share a kv head are folded into rows, row = query * r + head, so that a
// range of rows is a range of queries. Keys count from the start of the first segment; they come in
// blocks of kBlock and parts of kPart. A part is summed up by itself and the parts are merged in
// their order, whether one thread did them all or several: neither the threads nor the other rows
// change a row's bits.
#pragma once
#include <cstdint>

#include "panel.h"

namespace canvaslm::attention {

#if defined(__AMX_BF16__)
constexpr int64_t kBlock = 256;  // longer, so that fewer sums pass through L2 for each product
constexpr int64_t kRows = 32;
#else
constexpr int64_t kBlock = 128;
constexpr int64_t kRows = 24;
#endif
constexpr int64_t kSums = 1 << 19;  // bytes of a thread's running sums, in L2 beside the blocks
constexpr int64_t kPart = 4096;

// K and V [G, n, d] of some tokens; strides in elements. Scales are there for int8 only.
struct Segment {
    const char* keys;
    const char* values;
    const float* key_scale;
    const float* value_scale;
    int64_t count;
    int64_t key_head, key_token;
    int64_t value_head, value_token;
    int64_t key_scale_head, value_scale_head;
};

struct Attention {
    Kind kind;     // of q
    Kind kv_kind;  // of K and V
    const char* q;
    int64_t q_head, q_token;  // strides in elements
    int64_t heads, kv_heads, count, size;
    const Segment* segments;
    int64_t pieces;
    int64_t seen;    // S
    int64_t before;  // -1: every query sees every key
    int64_t window;  // 0: none
    float* out;      // [N, H, d]

    int64_t shared() const { return heads / kv_heads; }
    int64_t rows() const { return count * shared(); }
    int64_t parts() const { return (seen + kPart - 1) / kPart; }
    // the keys that a row may see: [low, high)
    int64_t low(int64_t row) const {
        int64_t first = before + row / shared() - window + 1;
        return before < 0 || window == 0 || first < 0 ? 0 : first;
    }
    int64_t high(int64_t row) const { return before < 0 ? seen : before + row / shared() + 1; }
    float* out_row(int64_t group, int64_t row) const {
        int64_t query = row / shared(), head = group * shared() + row % shared();
        return out + (query * heads + head) * size;
    }
};

}  // namespace canvaslm::attention
