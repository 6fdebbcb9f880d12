// The same slices on AMX: 16 weight rows by 64 bytes are A, 64 bytes by 16 tokens are B.
//
// A loaded tile serves two products where it can: tokens those of two tiles of outputs, weights
// those of two blocks of tokens. Bytes are signed on both sides: sums start from zero. With groups,
// two pairs of sums take turns, so that one group's are stored while the next one's multiply.
#pragma once
#include <cstdint>
#include <cstring>

#include "experts_dots.h"
#include "experts_slice.h"

#if defined(__AMX_INT8__)
#include <immintrin.h>
#endif

namespace canvaslm {

#if defined(__AMX_INT8__)

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
template <int SUM, int A, int B>
inline void dot_bytes() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
}
template <int SUM, int A, int B>
inline void dot_bf16() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
}

constexpr int kA = 4, kB = 6;  // sums are 0 to 3
constexpr int kTurns = 4;      // groups whose products are kept before they are added

// One work item's hold on the tiles: shaped when first needed, released at its end.
class Tiles {
public:
    static constexpr bool kThere = true;

    ~Tiles() {
        if (depth_) _tile_release();
    }

    void shape(int depth) {  // bytes of a weight row in a tile, a multiple of 4 up to 64
        if (depth == depth_) return;
        struct alignas(64) {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t row_bytes[16] = {};
            uint8_t rows[16] = {};
        } config;
        for (int sum = 0; sum < 4; ++sum) set(config, sum, 16, 64);
        for (int i = 0; i < 2; ++i) {
            set(config, kA + i, 16, depth);
            set(config, kB + i, depth / 4, 64);
        }
        asm volatile("" ::: "memory");
        _tile_loadconfig(&config);
        depth_ = depth;
    }

    template <class Dot, bool GROUPED>
    void multiply(const Slice& s, const Lanes& x, float* sums) {
        s.tall > 1 ? multiply_tall<Dot, GROUPED, 2>(s, x, sums)
                   : multiply_tall<Dot, GROUPED, 1>(s, x, sums);
    }

private:
    // Groups' products, between the tiles and the sums
    template <class Dot>
    using Products = typename Dot::Number[kTall][kTurns][kTile];

    int depth_ = 0;

    template <class Config>
    static void set(Config& config, int tile, int rows, int row_bytes) {
        config.rows[tile] = static_cast<uint8_t>(rows);
        config.row_bytes[tile] = static_cast<uint16_t>(row_bytes);
    }

    template <class Dot, bool GROUPED, int TALL>
    void multiply_tall(const Slice& s, const Lanes& x, float* sums) {
        const char* tokens = x.data + s.first * s.row_bytes * kLanes;
        int block = 0, blocks = x.blocks();
        auto advance = [&](int by) {
            block += by;
            tokens += by * x.block_bytes;
            sums += by * kSums;
        };
        if constexpr (GROUPED) {
            for (; block < blocks; advance(1)) grouped<Dot, TALL>(s, tokens, block == 0, sums);
        } else {
            for (; block + 2 <= blocks; advance(2))
                whole<Dot, TALL, 2>(s, tokens, x.block_bytes, block == 0, sums);
            if (block < blocks) whole<Dot, TALL, 1>(s, tokens, x.block_bytes, block == 0, sums);
        }
    }

    template <class Dot, int SUM, int A, int B>
    static void dot() {
        if constexpr (Dot::kExact)
            dot_bytes<SUM, A, B>();
        else
            dot_bf16<SUM, A, B>();
    }

    // Of one group: the sums of both tiles of outputs in SUM and SUM + 1.
    template <class Dot, int TALL, int SUM>
    void one(const Slice& s, int group, const char* tokens, Products<Dot>& products) {
        constexpr int kTokens = SUM ? kB + 1 : kB;
        const uint8_t* weights = s.weights + group * kLanes * s.row_bytes;
        tokens += int64_t{group} * s.row_bytes * kLanes;
        zero_tile<SUM>();
        if constexpr (TALL > 1) zero_tile<SUM + 1>();
        for (int at = 0; at < s.row_bytes; at += depth_) {
            load_tile<kTokens>(tokens + at * kLanes, 64);
            load_tile<kA>(weights + at, s.row_bytes);
            dot<Dot, SUM, kA, kTokens>();
            if constexpr (TALL > 1) {
                load_tile<kA + 1>(weights + kSliceBytes + at, s.row_bytes);
                dot<Dot, SUM + 1, kA + 1, kTokens>();
            }
        }
        store_tile<SUM>(products[0][group % kTurns], 64);
        if constexpr (TALL > 1) store_tile<SUM + 1>(products[1][group % kTurns], 64);
    }

    // Adds to the sums of 16 outputs what some groups' products come to, in their order.
    template <class Dot>
    static void add(const typename Dot::Number (&products)[kTurns][kTile], int count,
                    const float* scales, int64_t stride, float* sums) {
        __m512 sum[kLanes];
#pragma GCC unroll 16
        for (int r = 0; r < kLanes; ++r) sum[r] = _mm512_loadu_ps(sums + r * kLanes);
        for (int g = 0; g < count; ++g) {
#pragma GCC unroll 16
            for (int r = 0; r < kLanes; ++r) {
                __m512 scale = _mm512_set1_ps(scales[r * stride + g]);
                auto product = Dot::template begin<Sixteen>(products[g] + r * kLanes);
                sum[r] = _mm512_fmadd_ps(Sixteen::converted(product), scale, sum[r]);
            }
        }
#pragma GCC unroll 16
        for (int r = 0; r < kLanes; ++r) _mm512_storeu_ps(sums + r * kLanes, sum[r]);
    }

    template <class Dot, int TALL>
    void grouped(const Slice& s, const char* tokens, bool fetches, float* sums) {
        alignas(64) Products<Dot> products;
        for (int first = 0; first < s.groups; first += kTurns) {
            int end = std::min(first + kTurns, s.groups);
            for (int group = first; group < end; group += 2) {
                one<Dot, TALL, 0>(s, group, tokens, products);
                if (fetches) s.fetch(group, 0, kOutputs);
                if (group + 1 == end) break;
                one<Dot, TALL, 2>(s, group + 1, tokens, products);
                if (fetches) s.fetch(group + 1, 0, kOutputs);
            }
            const float* scales = s.scales + s.first + first;
            for (int t = 0; t < TALL; ++t)
                add<Dot>(products[t], end - first, scales + t * kLanes * s.scale_stride,
                         s.scale_stride, sums + t * kTile);
        }
    }

    // TALL tiles of outputs by WIDE of tokens: as many sums, and a loaded tile serves two of them.
    template <class Dot, int TALL, int WIDE>
    void whole(const Slice& s, const char* tokens, int64_t next_block, bool fetches, float* sums) {
        constexpr bool kBoth = TALL > 1 && WIDE > 1;
        float *lower = sums + kTile, *right = sums + kSums;
        load_tile<0>(sums, 64);
        if constexpr (WIDE > 1) load_tile<1>(right, 64);
        if constexpr (TALL > 1) load_tile<2>(lower, 64);
        if constexpr (kBoth) load_tile<3>(right + kTile, 64);
        for (int group = 0; group < s.groups; ++group) {
            const uint8_t* weights = s.weights + group * kLanes * s.row_bytes;
            const char* from = tokens + int64_t{group} * s.row_bytes * kLanes;
            load_tile<kB>(from, 64);
            load_tile<kA>(weights, s.row_bytes);
            dot<Dot, 0, kA, kB>();
            if constexpr (WIDE > 1) load_tile<kB + 1>(from + next_block, 64);
            if constexpr (WIDE > 1) dot<Dot, 1, kA, kB + 1>();
            if constexpr (TALL > 1) load_tile<kA + 1>(weights + kSliceBytes, s.row_bytes);
            if constexpr (TALL > 1) dot<Dot, 2, kA + 1, kB>();
            if constexpr (kBoth) dot<Dot, 3, kA + 1, kB + 1>();
            if (fetches) s.fetch(group, 0, kOutputs);
        }
        store_tile<0>(sums, 64);
        if constexpr (WIDE > 1) store_tile<1>(right, 64);
        if constexpr (TALL > 1) store_tile<2>(lower, 64);
        if constexpr (kBoth) store_tile<3>(right + kTile, 64);
    }
};

#else

class Tiles {
public:
    static constexpr bool kThere = false;
    void shape(int) {}
    template <class Dot, bool GROUPED>
    void multiply(const Slice&, const Lanes&, float*) {}
};

#endif

}  // namespace canvaslm
