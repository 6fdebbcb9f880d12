// The same slices on AMX: 16 weight rows by 64 bytes are A, 64 bytes by 16 tokens are B.
//
// Four sums take turns, so that one group's tile is stored and scaled while the next ones multiply.
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
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
}
template <int SUM, int A, int B>
inline void dot_bf16() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
}

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
        for (int a : {4, 6}) set(config, a, 16, depth);
        for (int b : {5, 7}) set(config, b, depth / 4, 64);
        asm volatile("" ::: "memory");
        _tile_loadconfig(&config);
        depth_ = depth;
    }

    template <class Dot, bool GROUPED>
    void multiply(const Slice& s, const Lanes& x, float* sums) {
        for (int block = 0; block < x.blocks(); ++block) {
            bool fetches = block == 0;
            const char* tokens = x.data + block * x.block_bytes + s.first * s.row_bytes * kLanes;
            const int32_t* start =
                x.start ? x.start + block * x.starts + s.first * kLanes : nullptr;
            if constexpr (GROUPED)
                grouped<Dot>(s, tokens, start, fetches, sums + block * kTile);
            else
                whole<Dot>(s, tokens, fetches, sums + block * kTile);
        }
    }

private:
    int depth_ = 0;

    template <class Config>
    static void set(Config& config, int tile, int rows, int row_bytes) {
        config.rows[tile] = static_cast<uint8_t>(rows);
        config.row_bytes[tile] = static_cast<uint16_t>(row_bytes);
    }

    template <class Dot, int SUM>
    static void step(const uint8_t* weights, int stride, const char* tokens) {
        constexpr int kA = SUM % 2 ? 6 : 4, kB = kA + 1;
        load_tile<kA>(weights, stride);
        load_tile<kB>(tokens, 64);
        if constexpr (Dot::kExact)
            dot_bytes<SUM, kA, kB>();
        else
            dot_bf16<SUM, kA, kB>();
    }

    // A group's sum into `out`; all 16 outputs start from the same row of `start`.
    template <class Dot, int SUM>
    void one(const Slice& s, int group, const char* tokens, const int32_t* start, void* out) {
        const uint8_t* weights = s.weights + group * kLanes * s.row_bytes;
        tokens += int64_t{group} * s.row_bytes * kLanes;
        if constexpr (Dot::kExact)
            load_tile<SUM>(start + group * kLanes, 0);
        else
            zero_tile<SUM>();
        for (int at = 0; at < s.row_bytes; at += depth_)
            step<Dot, SUM>(weights + at, s.row_bytes, tokens + at * kLanes);
        store_tile<SUM>(out, 64);
    }

    template <class Dot>
    void grouped(const Slice& s, const char* tokens, const int32_t* start, bool fetches,
                 float* sums) {
        alignas(64) typename Dot::Number products[4][kTile];
        __m512 sum[kLanes];
#pragma GCC unroll 16
        for (int r = 0; r < kLanes; ++r) sum[r] = _mm512_loadu_ps(sums + r * kLanes);
        for (int group = 0; group < s.groups; group += 4) {
            int count = std::min(4, s.groups - group);
            one<Dot, 0>(s, group, tokens, start, products[0]);
            if (count > 1) one<Dot, 1>(s, group + 1, tokens, start, products[1]);
            if (count > 2) one<Dot, 2>(s, group + 2, tokens, start, products[2]);
            if (count > 3) one<Dot, 3>(s, group + 3, tokens, start, products[3]);
            for (int g = 0; g < count; ++g) {
                if (fetches) s.fetch(group + g, 0, kLanes);
                const float* scale = s.scales + s.first + group + g;
#pragma GCC unroll 16
                for (int r = 0; r < kLanes; ++r) {
                    __m512 scaled = _mm512_set1_ps(scale[r * s.scale_stride]);
                    auto product = Dot::template begin<Sixteen>(products[g] + r * kLanes);
                    sum[r] = _mm512_fmadd_ps(Sixteen::converted(product), scaled, sum[r]);
                }
            }
        }
#pragma GCC unroll 16
        for (int r = 0; r < kLanes; ++r) _mm512_storeu_ps(sums + r * kLanes, sum[r]);
    }

    template <class Dot>
    void whole(const Slice& s, const char* tokens, bool fetches, float* sums) {
        load_tile<0>(sums, 64);
        for (int group = 0; group < s.groups; ++group) {
            if (fetches) s.fetch(group, 0, kLanes);
            step<Dot, 0>(s.weights + group * kLanes * s.row_bytes, s.row_bytes,
                         tokens + int64_t{group} * s.row_bytes * kLanes);
        }
        store_tile<0>(sums, 64);
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
