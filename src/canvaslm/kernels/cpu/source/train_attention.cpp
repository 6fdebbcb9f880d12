// Attention of training: what Python calls.
#include <vector>

#include "api.h"
#include "pool.h"
#include "train_attention_backward.h"
#include "train_attention_forward.h"

namespace canvaslm::train {
namespace {

// The place of an item; that of the next one is most often the same thread's next.
Place place_of(const Attention& x, int64_t item) {
    if (item >= x.rows * x.kv_heads) return {-1, 0};
    return {item / x.kv_heads, item % x.kv_heads};
}

template <class E, class In>
void forward(int threads, const Attention& x) {
    parallel(threads, x.rows * x.kv_heads, [&](int64_t item, int) {
        room_of<Forward<E, In>>(x).row(place_of(x, item), place_of(x, item + 1));
    });
}

// The rows of each document, in their order
struct Readers {
    std::vector<int64_t> start, rows;

    explicit Readers(const Attention& x)
        : start(static_cast<size_t>(x.documents) + 1), rows(static_cast<size_t>(x.rows)) {
        for (int64_t r = 0; r < x.rows; ++r) ++start[static_cast<size_t>(x.row[r]) + 1];
        for (size_t b = 1; b < start.size(); ++b) start[b] += start[b - 1];
        std::vector<int64_t> next = start;
        for (int64_t r = 0; r < x.rows; ++r)
            rows[static_cast<size_t>(next[static_cast<size_t>(x.row[r])]++)] = r;
    }
};

template <class E, class In>
void backward(int threads, const Attention& x) {
    if (x.causal) {
        parallel(threads, x.rows * x.kv_heads, [&](int64_t item, int) {
            room_of<Backward<E, In>>(x).row(place_of(x, item), place_of(x, item + 1));
        });
        return;
    }
    const Readers readers(x);
    parallel(threads, x.documents * x.kv_heads, [&](int64_t item, int) {
        const int64_t document = item / x.kv_heads;
        const int64_t* start = readers.start.data() + document;
        room_of<Backward<E, In>>(x).document(document, item % x.kv_heads,
                                             readers.rows.data() + start[0], start[1] - start[0]);
    });
}

}  // namespace
}  // namespace canvaslm::train

using namespace canvaslm::train;

#if defined(__AVX512BF16__)
using Half = Bfloat;
#else
using Half = float;
#endif

CANVASLM_API void canvaslm_train_attention(int threads, const Attention* x) {
    if (x->kind == canvaslm::Kind::kFloat32)
        forward<float, float>(threads, *x);
    else
        forward<Half, Bfloat>(threads, *x);
}

CANVASLM_API void canvaslm_train_attention_back(int threads, const Attention* x) {
    if (x->kind == canvaslm::Kind::kFloat32)
        backward<float, float>(threads, *x);
    else
        backward<Half, Bfloat>(threads, *x);
}
