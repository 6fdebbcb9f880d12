// One thread's work: some rows of one kv head, shown one block of keys after the other.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "attention.h"
#include "attention_few.h"
#include "attention_pack.h"
#include "attention_tiles.h"
#include "attention_weigh.h"
#include "pool.h"

namespace canvaslm::attention {

// The keys of a block, wherever they lie
template <class In>
struct Block {
    int64_t start = 0, count = 0;
    const In* keys[kBlock];
    const In* values[kBlock];
    alignas(64) float key_scale[kBlock];
    alignas(64) float value_scale[kBlock];

    void gather(const Attention& x, int64_t group, int64_t from, int64_t to) {
        start = from;
        count = 0;
        int64_t at = 0;
        for (int64_t s = 0; s < x.pieces && at < to; at += x.segments[s++].count) {
            const Segment& piece = x.segments[s];
            int64_t n = std::max<int64_t>(from - at, 0), end = std::min(to - at, piece.count);
            for (; n < end; ++n) add(piece, group, n);
        }
        if constexpr (std::is_same_v<In, int8_t>)
            std::fill(value_scale + count, value_scale + kBlock, 0.0f);
    }

    void add(const Segment& piece, int64_t group, int64_t n) {
        keys[count] = reinterpret_cast<const In*>(piece.keys) + group * piece.key_head +
                      n * piece.key_token;
        values[count] = reinterpret_cast<const In*>(piece.values) + group * piece.value_head +
                        n * piece.value_token;
        if constexpr (std::is_same_v<In, int8_t>) {
            key_scale[count] = piece.key_scale[group * piece.key_scale_head + n];
            value_scale[count] = piece.value_scale[group * piece.value_scale_head + n];
        }
        ++count;
    }

    // the i-th of n shares of the block, on its way to L2
    void prefetch(int64_t i, int64_t n, int64_t size) const {
        int64_t bytes = size * static_cast<int64_t>(sizeof(In));
        for (int64_t k = count * i / n; k < count * (i + 1) / n; ++k)
            for (int64_t at = 0; at < bytes; at += 64) {
                __builtin_prefetch(reinterpret_cast<const char*>(keys[k]) + at, 0, 2);
                __builtin_prefetch(reinterpret_cast<const char*>(values[k]) + at, 0, 2);
            }
    }
};

// Rows of one kv head, and which parts of the keys they are shown
struct Item {
    int64_t group, row, rows;
    int64_t first_part, parts;
};

// Pieces of one thread's scratch memory
class Carver {
public:
    Carver(int slot, int64_t bytes) : at(static_cast<char*>(scratch(slot, bytes))) {}
    template <class T>
    T* take(int64_t count) {
        T* piece = reinterpret_cast<T*>(at);
        at += padded(count * static_cast<int64_t>(sizeof(T)), 64);
        return piece;
    }

private:
    char* at;
};

// E is what is multiplied, In what K and V lie in.
template <class E, class In>
class Stream {
public:
    Stream(const Attention& x, const Item& item)
        : x(x),
          item(item),
          depth(padded(x.size, kDepth<E>)),
          width(padded(x.size, 16)),
          tall(padded(item.rows, kRows)) {
        constexpr int64_t kE = sizeof(E), kMargin = 1024;
        Carver panels(0, kBlock * (depth + width) * kE + kMargin);
        keys = panels.take<E>(kBlock * depth);
        values = panels.take<E>(kBlock * width);
        Carver lines(1, tall * (depth * kE + 20) + kRows * kBlock * (kE + 4) + kMargin);
        q = lines.take<E>(tall * depth);
        scores = lines.take<float>(kRows * kBlock);
        weights = lines.take<E>(kRows * kBlock);
        sums.top = lines.take<float>(tall);
        sums.total = lines.take<float>(tall);
        tops = lines.take<float>(tall);
        totals = lines.take<float>(tall);
        started = lines.take<bool>(tall / kRows);
        sums.width = width;
        sums.mixed = Carver(2, tall * width * 4).take<float>(tall * width);
    }

    // All parts, merged in order; the result goes to x.out.
    void answer() {
        pack_q();
        bool several = item.parts > 1;
        std::fill(tops, tops + item.rows, kNothing);
        std::fill(totals, totals + item.rows, 0.0f);
        for (int64_t part = 0; part < item.parts; ++part) {
            read(item.first_part + part);
            for (int64_t i = 0; several && i < item.rows; ++i)
                merge(x.out_row(item.group, item.row + i), x.size, tops[i], totals[i],
                      sums.mixed + i * width, sums.top[i], sums.total[i]);
        }
        for (int64_t i = 0; i < item.rows; ++i) {
            float* out = x.out_row(item.group, item.row + i);
            finish(several ? out : sums.mixed + i * width, x.size,
                   several ? totals[i] : sums.total[i], out);
        }
    }

    // One part, to be merged by others: top, total and mixed of each row.
    const Sums& share() {
        pack_q();
        read(item.first_part);
        return sums;
    }

private:
    void pack_q() {
        for (int64_t i = 0; i < tall; ++i) {
            E* to = q + i * depth;
            int64_t row = item.row + i, head = item.group * x.shared() + row % x.shared();
            int64_t offset = head * x.q_head + row / x.shared() * x.q_token;
            if (i >= item.rows)
                std::fill(to, to + depth, E(0));
            else if (x.kind == Kind::kFloat32)
                pack_q_row(reinterpret_cast<const float*>(x.q) + offset, to);
            else
                pack_q_row(reinterpret_cast<const Bfloat*>(x.q) + offset, to);
        }
    }

    template <class Q>
    void pack_q_row([[maybe_unused]] const Q* from, [[maybe_unused]] E* to) {
        if constexpr (sizeof(Q) <= sizeof(E)) pack_row(from, x.size, to, depth);
    }

    // The blocks of a part that any of the rows may see
    void read(int64_t part) {
        std::fill(sums.top, sums.top + tall, kNothing);
        std::fill(sums.total, sums.total + tall, 0.0f);
        std::fill(started, started + tall / kRows, false);
        int64_t from = std::max(part * kPart, x.low(item.row) / kBlock * kBlock);
        int64_t to = std::min({(part + 1) * kPart, x.seen, x.high(item.row + item.rows - 1)});
        Block<In> blocks[2];
        blocks[0].gather(x, item.group, from, std::min(from + kBlock, to));
        for (int turn = 0; from < to; from += kBlock, turn ^= 1) {
            Block<In>&now = blocks[turn], &next = blocks[turn ^ 1];
            next.gather(x, item.group, from + kBlock, std::min(from + 2 * kBlock, to));
            deep = padded(now.count, 16);
            if (!direct()) pack(now);
            for (int64_t row = 0; row < item.rows; row += kRows) {
                if (!direct()) next.prefetch(row / kRows, tall / kRows, x.size);
                show(now, next, row);
            }
        }
    }

    void pack(const Block<In>& block) {
        int64_t panels = padded(block.count, 16);
        deep = padded(panels, kDepth<E>);
        pack_keys(block.keys, block.count, x.size, depth, keys);
        std::fill(keys + panels * depth, keys + deep * depth, E(0));
        pack_values(block.values, block.count, x.size, deep, values);
    }

    // Whether the block is read where it lies
    bool direct() const { return kDirect<E> && item.rows <= kFewRows; }

    // Rows to fetch while the first of the queries' rows are at work
    Coming coming(const In* const* rows, int64_t count) const {
        return {reinterpret_cast<const void* const*>(rows), count,
                x.size * static_cast<int64_t>(sizeof(In))};
    }

    void ask(const Block<In>& block, const Block<In>& next, int64_t row, int64_t count) {
        if (direct()) {
            Reading<In> reading{block.keys, block.count, x.size};
            return ask_directly(reading, q + row * depth, count, depth, scores,
                                coming(next.keys, row ? 0 : next.count));
        }
        multiply_block(product_of(q + row * depth, depth, keys, depth, scores, kBlock, false), count,
                       deep / 16);
    }

    void tell(const Block<In>& block, const Block<In>& next, int64_t row, int64_t count) {
        bool& add = started[row / kRows];
        float* mixed = sums.mixed + row * width;
        if (direct()) {
            Reading<In> reading{block.values, block.count, x.size};
            tell_directly(reading, weights, count, mixed, width, add,
                          coming(next.values, row ? 0 : next.count));
        } else {
            multiply_block(product_of(weights, kBlock, values, deep, mixed, width, add), count,
                           width / 16);
        }
        add = true;
    }

    // Some rows: their scores with the block's keys, the weights, the values so weighed
    void show(Block<In>& block, const Block<In>& next, int64_t row) {
        constexpr bool kScaled = std::is_same_v<In, int8_t>;
        int64_t count = std::min(item.rows - row, kRows), at = item.row + row;
        if (x.low(at) >= block.start + block.count || x.high(at + count - 1) <= block.start) return;
        ask(block, next, row, count);
        for (int64_t i = 0; i < count; ++i) {
            float* line = scores + i * kBlock;
            if (kScaled) bear(line, block.key_scale, block.count);
            weigh(line, deep, x.low(at + i) - block.start,
                  std::min(x.high(at + i) - block.start, block.count), sums, row + i,
                  weights + i * kBlock, kScaled ? block.value_scale : nullptr);
        }
        tell(block, next, row, count);
    }

    const Attention& x;
    const Item& item;
    [[no_unique_address]] Tiles<E> tiles;
    int64_t depth, width;  // d, padded
    int64_t tall;          // rows, padded
    int64_t deep = 0;      // keys of the block, padded
    E* keys;
    E* values;
    E* q;
    float* scores;
    E* weights;
    Sums sums;
    float* tops;  // of the parts merged so far
    float* totals;
    bool* started;  // whether a block of rows has sums
};

}  // namespace canvaslm::attention
