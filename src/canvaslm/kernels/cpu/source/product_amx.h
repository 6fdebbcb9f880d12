// Products with the tiles of AMX: A is 16 weight rows, straight from the file where they fill it,
// B 16 tokens of the panel, C [16 outputs][16 tokens].
//
// A slab is 32 weight rows. It is taken 1 KB of depth at a time (32 KB, which L1 holds) against all
// tokens, whose panel comes out of L2; meanwhile the next piece of the slab is fetched from memory.
// With one scale for a row, four sums make the most of two A and two B. With groups, a group's sums
// leave the tiles as int32 and are scaled and added in registers.
#pragma once
#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "product_slab.h"

namespace canvaslm::dense::amx {

// The compiler's own intrinsics want literals for tiles, and do not say that they read memory.
template <int TILE>
inline void load_tile(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(TILE) : "memory");
}
template <int TILE>
inline void store_tile(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(TILE) : "memory");
}
template <int TILE>
inline void zero_tile() {
    asm volatile("tilezero %%tmm%c0" ::"i"(TILE));
}
template <bool kIntegers, int SUM, int A, int B>
inline void multiply() {
    if constexpr (kIntegers)
        asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
    else
        asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
}

constexpr int kA = 4, kB = 6;  // sums are 0 to 3
constexpr int64_t kRows = 32, kPiece = 16, kTileBytes = 1024;

// The tiles, shaped for `depth` bytes of a weight row, until the end of a product.
class Tiles {
  public:
    explicit Tiles(int depth) {
        alignas(64) struct {
            uint8_t palette = 1, start_row = 0, reserved[14] = {};
            uint16_t row_bytes[16] = {};
            uint8_t rows[16] = {};
        } config;
        for (int tile = 0; tile < 8; ++tile) {
            bool a = tile == kA || tile == kA + 1, b = tile >= kB;
            config.row_bytes[tile] = uint16_t(a ? depth : 64);
            config.rows[tile] = uint8_t(b ? depth / 4 : 16);
        }
        asm volatile("" ::: "memory");  // _tile_loadconfig does not say that it reads memory
        _tile_loadconfig(&config);
    }
    ~Tiles() { _tile_release(); }
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;
};

// The piece of the weight that comes next, `width` lines of each of `rows` rows: a few are fetched
// at every step.
struct Ahead {
    const uint8_t* row = nullptr;
    int64_t stride = 0, rows = 0, width = 1, each = 0, line = 0;

    void step() {
        for (int64_t i = 0; i < each && rows; ++i) {
            __builtin_prefetch(row + line * 64, 0, 2);
            if (++line < width) continue;
            line = 0;
            row += stride;
            --rows;
        }
    }
};

template <bool kIntegers, int NA, int NB>
void piece(const uint8_t* a, int64_t a_stride, const uint8_t* b, int64_t b_stride, int64_t steps,
           uint8_t* sums, int64_t sums_stride, bool first, Ahead& ahead) {
    uint8_t* lower = sums + 16 * sums_stride;
    if (first) {
        zero_tile<0>();
        if (NB > 1) zero_tile<1>();
        if (NA > 1) zero_tile<2>();
        if (NA > 1 && NB > 1) zero_tile<3>();
    } else {
        load_tile<0>(sums, sums_stride);
        if (NB > 1) load_tile<1>(sums + 64, sums_stride);
        if (NA > 1) load_tile<2>(lower, sums_stride);
        if (NA > 1 && NB > 1) load_tile<3>(lower + 64, sums_stride);
    }
    for (int64_t s = 0; s < steps; ++s, a += 64, b += kTileBytes) {
        load_tile<kB>(b, 64);
        load_tile<kA>(a, a_stride);
        multiply<kIntegers, 0, kA, kB>();
        if (NB > 1) load_tile<kB + 1>(b + b_stride, 64);
        if (NB > 1) multiply<kIntegers, 1, kA, kB + 1>();
        if (NA > 1) load_tile<kA + 1>(a + 16 * a_stride, a_stride);
        if (NA > 1) multiply<kIntegers, 2, kA + 1, kB>();
        if (NA > 1 && NB > 1) multiply<kIntegers, 3, kA + 1, kB + 1>();
        ahead.step();
    }
    store_tile<0>(sums, sums_stride);
    if (NB > 1) store_tile<1>(sums + 64, sums_stride);
    if (NA > 1) store_tile<2>(lower, sums_stride);
    if (NA > 1 && NB > 1) store_tile<3>(lower + 64, sums_stride);
}

// An odd number of cache lines, or the rows of a tile would fall into few sets of L1.
inline int64_t stride_of_sums(const Task& task) { return (task.blocks | 1) * 64; }

// A slab and the memory for its sums, [32][stride_of_sums].
struct Sweep {
    const Task& task;
    Slab slab;
    int64_t rows;
    bool straight;        // its rows are the file's own
    const uint8_t* next;  // what the next slab is read from; null where it is unpacked first
    uint8_t* sums;

    const uint8_t* block(int64_t b) const {
        return static_cast<const uint8_t*>(task.x.data) + (task.b0 + b) * task.x.block_bytes();
    }
    int64_t sums_stride() const { return stride_of_sums(task); }
};

template <bool kIntegers>
void take_piece(const Sweep& s, int64_t from, int64_t steps, Ahead& ahead) {
    const uint8_t* a = s.slab.rows + from * 64;
    int64_t wide = s.task.x.block_bytes(), stride = s.sums_stride();
    for (int64_t b = 0; b < s.task.blocks; b += 2) {
        const uint8_t* tokens = s.block(b) + from * kTileBytes;
        bool two = b + 1 < s.task.blocks;
        auto run = s.rows > 16 ? (two ? piece<kIntegers, 2, 2> : piece<kIntegers, 2, 1>)
                               : (two ? piece<kIntegers, 1, 2> : piece<kIntegers, 1, 1>);
        run(a, s.slab.stride, tokens, wide, steps, s.sums + b * 64, stride, from == 0, ahead);
    }
}

// Sums of whole rows.
template <bool kIntegers>
void whole(const Sweep& s) {
    int64_t depth = padded(s.task.w.width * s.task.element(), 64) / 64;
    for (int64_t from = 0; from < depth; from += kPiece) {
        int64_t steps = std::min(kPiece, depth - from), slots = steps * ((s.task.blocks + 1) / 2);
        int64_t after = std::min(kPiece, depth - from - steps);
        Ahead ahead;
        if (after && s.straight)
            ahead = {s.slab.rows + (from + steps) * 64, s.slab.stride, s.rows, after};
        else if (!after && s.next)
            ahead = {s.next, s.slab.stride, kRows, std::min(kPiece, depth)};
        ahead.each = (ahead.rows * ahead.width + slots - 1) / slots;
        take_piece<kIntegers>(s, from, steps, ahead);
    }
}

// The sums of one group: of 16 rows into `upper`, of the next 16 into `lower`, if there are any.
template <bool kIntegers, bool kBoth>
inline void group_tiles(const uint8_t* a, int64_t a_stride, const uint8_t* b, int64_t tiles,
                        uint8_t* upper, uint8_t* lower) {
    zero_tile<0>();
    if (kBoth) zero_tile<1>();
    for (int64_t i = 0; i < tiles; ++i) {
        load_tile<kB>(b + i * kTileBytes, 64);
        load_tile<kA>(a + i * 64, a_stride);
        multiply<kIntegers, 0, kA, kB>();
        if (kBoth) load_tile<kA + 1>(a + 16 * a_stride + i * 64, a_stride);
        if (kBoth) multiply<kIntegers, 1, kA + 1, kB>();
    }
    store_tile<0>(upper, 64);
    if (kBoth) store_tile<1>(lower, 64);
}

constexpr int64_t kGroupsAtOnce = 8;

template <bool kIntegers>
inline Vec number(const uint8_t* sum) {
    if constexpr (kIntegers)
        return {_mm512_cvtepi32_ps(_mm512_load_si512(sum))};
    else
        return load(reinterpret_cast<const float*>(sum));
}

// Adds the sums of some groups [2][8][16][16] to the totals of a block, in their order.
template <bool kIntegers>
void add_groups(const Sweep& s, int64_t b, int64_t g0, int64_t count, const uint8_t* sums) {
    int64_t groups = s.task.groups();
    for (int64_t r = 0; r < s.rows; ++r) {
        auto at = reinterpret_cast<float*>(s.sums + r * s.sums_stride() + b * 64);
        const float* scale = s.slab.scale + r * groups + g0;
        const uint8_t* sum = sums + r / 16 * kGroupsAtOnce * kTileBytes + r % 16 * 64;
        Vec total = g0 ? load(at) : set(0.0f);
        for (int64_t g = 0; g < count; ++g)
            total = fma(number<kIntegers>(sum + g * kTileBytes), set(scale[g]), total);
        store(at, total);
    }
}

// Totals of rows whose groups have scales.
template <bool kIntegers>
void grouped(const Sweep& s) {
    alignas(64) uint8_t sums[2 * kGroupsAtOnce * kTileBytes];
    int64_t bytes = s.task.w.group * s.task.element(), tiles = std::max<int64_t>(1, bytes / 64);
    int64_t groups = s.task.groups(), stride = s.slab.stride;
    for (int64_t g0 = 0; g0 < groups; g0 += kGroupsAtOnce) {
        int64_t count = std::min(kGroupsAtOnce, groups - g0);
        for (int64_t b = 0; b < s.task.blocks; ++b) {
            for (int64_t g = 0; g < count; ++g) {
                const uint8_t* a = s.slab.rows + (g0 + g) * bytes;
                const uint8_t* tokens = s.block(b) + (g0 + g) * bytes * kLanes;
                uint8_t* upper = sums + g * kTileBytes;
                uint8_t* lower = upper + kGroupsAtOnce * kTileBytes;
                if (s.rows > 16)
                    group_tiles<kIntegers, true>(a, stride, tokens, tiles, upper, lower);
                else
                    group_tiles<kIntegers, false>(a, stride, tokens, tiles, upper, lower);
            }
            add_groups<kIntegers>(s, b, g0, count, sums);
        }
    }
}

// From sums to the product: a row's scale, where groups have not had theirs, and the tokens'.
template <bool kIntegers>
void finish(const Sweep& s, const float* last, float* out) {
    bool scaled = s.task.w.group != 0;
    for (int64_t r = 0; r < s.rows; ++r)
        for (int64_t b = 0; b < s.task.blocks; ++b) {
            const uint8_t* sum = s.sums + r * s.sums_stride() + b * 64;
            Vec value = scaled ? number<false>(sum)
                               : number<kIntegers>(sum) * set(s.slab.scale[r]);
            store(out + r * s.task.stride + b * kLanes, value * load(last + b * kLanes));
        }
}

inline int64_t room(const Task& task) {
    return SlabMaker::room(task, kRows) + task.blocks * 64 + stride_of_sums(task) * kRows + 1024;
}

template <bool kIntegers>
void by_tiles(const Task& task, Arena arena) {
    SlabMaker maker(task, {0, 64, kRows}, arena);
    auto last = arena.take<float>(task.blocks * kLanes);
    auto sums = arena.take<uint8_t>(stride_of_sums(task) * kRows);
    token_scale(task, last);
    Tiles tiles(kIntegers && task.w.group == 32 ? 32 : 64);
    for (int64_t n = 0; n < task.count; n += kRows) {
        int64_t rows = std::min(kRows, task.count - n);
        Slab slab = maker.make(task.n0 + n, rows);
        bool straight = maker.straight() && rows == kRows;
        int64_t next = n + kRows < task.count ? task.n0 + n + kRows : task.next;
        bool more = maker.straight() && next >= 0 && next + kRows <= task.w.outputs;
        Sweep sweep{task, slab, rows, straight, more ? row_of(task.w, next) : nullptr, sums};
        if (task.w.group)
            grouped<kIntegers>(sweep);
        else
            whole<kIntegers>(sweep);
        finish<kIntegers>(sweep, last, task.out + n * task.stride);
    }
}

}  // namespace canvaslm::dense::amx
#endif
