// What one item of attention works with: a thread's memory dealt out, keys found and
// packed, what comes next fetched.
#pragma once
#include <cstdint>
#include <type_traits>

#include "attention_product.h"
#include "pool.h"
#include "train_attention.h"

namespace canvaslm::train {

using attention::Bfloat;
using attention::kPair;
using attention::Product;

// Deals out pieces of memory, each aligned to 64 bytes.
class Dealer {
public:
    explicit Dealer(void* memory = nullptr) : at_(reinterpret_cast<uintptr_t>(memory)) {}

    template <class T>
    T* take(int64_t count) {
        uintptr_t here = at_ + used_;
        used_ += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
        return reinterpret_cast<T*>(here);
    }
    size_t used() const { return used_; }

private:
    uintptr_t at_;
    size_t used_ = 0;
};

// A `Room` in this thread's memory; made once before, to know how much it takes.
template <class Room>
Room room_of(const Attention& x) {
    Dealer counting;
    Room{counting, x};
    Dealer dealer(scratch(0, counting.used()));
    return Room{dealer, x};
}

template <class E>
constexpr int64_t whole(int64_t steps) {
    return padded(steps, kPair<E>);
}

inline int64_t sixteens(int64_t width) { return padded(width, 16); }

// The keys, or values, that a row sees: those of its prefix, then its own. How many there are.
template <class In>
int64_t find(const Attention& x, const Tensor& prefix, const Tensor& own, int64_t r, int64_t group,
             const In** to) {
    int64_t count = 0;
    for (int64_t p = x.low(r); p < x.high(r); ++p)
        to[count++] = prefix.at<In>(x.row[r], group, p);
    for (int64_t t = 0; t < x.length; ++t) to[count++] = own.at<In>(r, group, t);
    return count;
}

// A row and a kv head; no row: none.
struct Place {
    int64_t row, group;
};

// Lines of some tokens, to be read soon: rows lie too far apart for the machine to foresee it.
// Inlined, for GCC leaves out calls of what does nothing but this.
template <class In>
[[gnu::always_inline]] inline void fetch(const Attention& x, const Tensor& tensor, int64_t row,
                                         int64_t head, int64_t token, int64_t count) {
    constexpr int64_t kLine = 64 / sizeof(In);
    for (int64_t t = token; t < token + count; ++t)
        for (int64_t d = 0; d < x.size; d += kLine)
            __builtin_prefetch(tensor.at<In>(row, head, t) + d, 0, 2);
}

template <class E>
struct Rows {
    const E* at;
    int64_t stride;
};

// Rows as products read them: where they lie, or converted into `room`.
template <class E, class In>
Rows<E> rows_of(const In* from, int64_t stride, int64_t count, int64_t size, E* room) {
    if constexpr (std::is_same_v<E, In>) {
        return {from, stride};
    } else {
        for (int64_t i = 0; i < count; ++i)
            attention::pack_row(from + i * stride, size, room + i * size, size);
        return {room, size};
    }
}

constexpr int64_t kScores = 1 << 16;  // numbers of a table of scores, in L2 beside the keys

// How many queries to take at a time: at most `most`, so many that no small rest is left.
inline int64_t tile_of(const Attention& x, int64_t most) {
    most = std::clamp(kScores / x.most_keys(), std::min<int64_t>(12, most), most);
    const int64_t tiles = (x.length + most - 1) / most;
    return padded((x.length + tiles - 1) / tiles, 2);
}

// The panels of 16 keys that some queries look at.
struct Span {
    int64_t first, end;  // multiples of 16, and no more than there are keys

    Span(const Attention& x, int64_t query, int64_t queries, int64_t keys)
        : first(sight(x, query, keys).low / 16 * 16),
          end(sight(x, query + queries - 1, keys).high) {}
    int64_t width() const { return sixteens(end - first); }
};

}  // namespace canvaslm::train
