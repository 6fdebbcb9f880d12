// Attention of training, with its gradient: softmax(q k) v of R rows of L queries, as one of
//
//   causal   query i of a row sees the keys of that row from i - window + 1 to i
//   canvas   every query sees all keys of its row, and before them what is visible of a document:
//            tokens [seen - window + 1, seen) of the prefix `row` names; no window: [0, seen)
//
// No table of scores is kept: the gradient makes a tile's scores anew from the log of its sums. The
// H / G heads that share a kv head are taken one after the other over keys packed once.
#pragma once
#include <algorithm>
#include <cstdint>

#include "panel.h"

namespace canvaslm::train {

// [rows, heads, tokens, d]; strides in elements, that of d is 1
struct Tensor {
    void* data;
    int64_t row, head, token;

    template <class T>
    T* at(int64_t r, int64_t h, int64_t t) const {
        return static_cast<T*>(data) + r * row + h * head + t * token;
    }
};

struct Attention {
    Kind kind;
    int64_t rows, heads, kv_heads, length, size;  // R, H, G, L, d
    int64_t documents, longest;                   // of the prefixes: B, M
    int64_t window;                               // 0: none
    int64_t causal;
    const int64_t* row;   // [R]: the document of each row; canvas only
    const int64_t* seen;  // [R]
    Tensor q, k, v, prefix_k, prefix_v, out;
    float* sums;  // [R, H, L]: the logarithm to base 2 of the sum of e^score
    Tensor out_grad, q_grad, k_grad, v_grad, prefix_k_grad, prefix_v_grad;  // gradient only

    int64_t shared() const { return heads / kv_heads; }
    float* sum(int64_t r, int64_t head) const { return sums + (r * heads + head) * length; }
    int64_t high(int64_t r) const { return causal ? 0 : seen[r]; }  // of the visible prefix
    int64_t low(int64_t r) const {
        return causal || !window ? 0 : std::max<int64_t>(0, seen[r] - window + 1);
    }
    int64_t before(int64_t r) const { return std::max<int64_t>(0, high(r) - low(r)); }
    int64_t keys(int64_t r) const { return before(r) + length; }
    int64_t most_keys() const { return (causal ? 0 : longest) + length; }
};

// The keys that a query may see, counted in those of its row: [low, high)
struct Sight {
    int64_t low, high;
};

inline Sight sight(const Attention& x, int64_t query, int64_t keys) {
    if (!x.causal) return {0, keys};
    return {x.window ? std::max<int64_t>(0, query - x.window + 1) : 0, query + 1};
}

}  // namespace canvaslm::train
