// What this machine can do at most: the ceilings that every measured number stands beside.
//
// A product's peak is that of the best instruction of this library, on random operands that stay in
// the first cache: registers alone would flatter it, and so would zeros. Read bandwidth is that of a
// buffer the caller makes larger than every cache.
#include <algorithm>
#include <atomic>

#include "api.h"
#include "pool.h"
#include "vector.h"

#if defined(__AMX_INT8__)
#include <immintrin.h>
#endif

namespace canvaslm {
namespace {

constexpr int64_t kPiece = 1 << 20;  // bytes that one thread reads in a go
constexpr int kDepth = 16;           // steps of depth whose operands stay in the first cache

#if defined(__AVX512F__)
constexpr int kRows = 6, kColumns = 4;  // accumulators: 24 of 32 registers
#elif defined(__AVX2__)
constexpr int kRows = 4, kColumns = 1;
#else
constexpr int kRows = 2, kColumns = 1;
#endif

uint64_t joined_piece(const uint64_t* data, int64_t count) {
#if defined(__AVX512F__)
    __m512i all[4] = {};
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        _mm_prefetch(reinterpret_cast<const char*>(data + i) + 2048, _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(data + i) + 2112, _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(data + i) + 2176, _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(data + i) + 2240, _MM_HINT_T0);
        for (int j = 0; j < 4; ++j)
            all[j] = _mm512_xor_si512(all[j], _mm512_loadu_si512(data + i + 8 * j));
    }
    uint64_t lanes[32], sum = 0;
    for (int j = 0; j < 4; ++j) _mm512_storeu_si512(lanes + 8 * j, all[j]);
    for (uint64_t lane : lanes) sum ^= lane;
    for (; i < count; ++i) sum ^= data[i];
    return sum;
#else
    uint64_t all[8] = {};
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; ++j) all[j] ^= data[i + j];
    uint64_t sum = 0;
    for (; i < count; ++i) sum ^= data[i];
    for (uint64_t lane : all) sum ^= lane;
    return sum;
#endif
}

// A dot instruction: what it reads, what it adds to, and how many operations it counts for.

struct Float {
    using Sum = Vec;
    static constexpr int64_t kOperations = 2 * 16;
    static Sum zero() { return set(0.0f); }
    static Sum dot(Sum sum, const char* a, const char* b) {
        float value;
        std::memcpy(&value, a, 4);
        return fma(set(value), load(reinterpret_cast<const float*>(b)), sum);
    }
    static float first(Sum sum) {
        float lanes[16];
        store(lanes, sum);
        return lanes[0];
    }
};

#if defined(__AVX512BF16__)
struct Bfloat {
    using Sum = __m512;
    static constexpr int64_t kOperations = 4 * 16;
    static Sum zero() { return _mm512_setzero_ps(); }
    static Sum dot(Sum sum, const char* a, const char* b) {
        int pair;
        std::memcpy(&pair, a, 4);
        return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32(pair),
                                (__m512bh)_mm512_loadu_si512(b));
    }
    static float first(Sum sum) { return _mm512_cvtss_f32(sum); }
};
#else
using Bfloat = Float;  // without an instruction of its own it is widened first
#endif

#if defined(__AVX512VNNI__)
struct Byte {
    using Sum = __m512i;
    static constexpr int64_t kOperations = 8 * 16;
    static Sum zero() { return _mm512_setzero_si512(); }
    static Sum dot(Sum sum, const char* a, const char* b) {
        int four;
        std::memcpy(&four, a, 4);
        // by hand: GCC 12 keeps a copy of every sum in memory when it writes this one itself
        asm("vpdpbusd %1, %2, %0"
            : "+v"(sum)
            : "v"(_mm512_loadu_si512(b)), "v"(_mm512_set1_epi32(four)));
        return sum;
    }
    static float first(Sum sum) { return _mm512_cvtss_f32(_mm512_castsi512_ps(sum)); }
};
#elif defined(__AVX2__)
struct Byte {
    struct Sum {
        __m256i low, high;
    };
    static constexpr int64_t kOperations = 8 * 16;
    static Sum zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static __m256i dot(__m256i sum, __m256i a, __m256i b) {
        __m256i pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1));
        return _mm256_add_epi32(sum, pairs);
    }
    static Sum dot(Sum sum, const char* a, const char* b) {
        int four;
        std::memcpy(&four, a, 4);
        const __m256i spread = _mm256_set1_epi32(four);
        return {dot(sum.low, spread, _mm256_loadu_si256((const __m256i*)b)),
                dot(sum.high, spread, _mm256_loadu_si256((const __m256i*)(b + 32)))};
    }
    static float first(Sum sum) {
        return static_cast<float>(_mm256_cvtsi256_si32(_mm256_add_epi32(sum.low, sum.high)));
    }
};
#else
struct Byte {
    struct Sum {
        int32_t v[16];
    };
    static constexpr int64_t kOperations = 8 * 16;
    static Sum zero() { return {}; }
    static Sum dot(Sum sum, const char* a, const char* b) {
        for (int i = 0; i < 16; ++i)
            for (int j = 0; j < 4; ++j) sum.v[i] += a[j] * b[4 * i + j];
        return sum;
    }
    static float first(Sum sum) { return static_cast<float>(sum.v[0]); }
};
#endif

// `operands` holds kDepth steps of kRows * 4 bytes, then kDepth steps of kColumns * 64 bytes.
template <class Op>
float multiply(int64_t rounds, const char* operands) {
    typename Op::Sum sums[kRows][kColumns];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) sums[r][c] = Op::zero();
    const char* columns = operands + kDepth * kRows * 4;
    for (int64_t round = 0; round < rounds; ++round)
        for (int k = 0; k < kDepth; ++k)
#pragma GCC unroll 8
            for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
                for (int c = 0; c < kColumns; ++c)
                    sums[r][c] = Op::dot(sums[r][c], operands + 4 * (k * kRows + r),
                                         columns + 64 * (k * kColumns + c));
    float sum = 0;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) sum += Op::first(sums[r][c]);
    return sum;
}

template <class Op>
int64_t operations(int64_t rounds) {
    return rounds * kDepth * kRows * kColumns * Op::kOperations;
}

#if defined(__AMX_INT8__)

struct alignas(64) TileShape {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

constexpr int kTile = 1024, kSteps = 8;  // 4 tiles a step: 32 KB of operands

// 2 x 2 tiles of sums; the operands of every step come from the first cache.
template <bool kInt8>
float tiles(int64_t rounds, const char* operands) {
    const TileShape shape;
    asm volatile("" ::: "memory");
    _tile_loadconfig(&shape);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t round = 0; round < rounds; ++round)
        for (int k = 0; k < kSteps; ++k) {
            const char* at = operands + 4 * kTile * k;
            _tile_loadd(4, at, 64);
            _tile_loadd(5, at + kTile, 64);
            _tile_loadd(6, at + 2 * kTile, 64);
            _tile_loadd(7, at + 3 * kTile, 64);
            if constexpr (kInt8) {
                _tile_dpbssd(0, 4, 6);
                _tile_dpbssd(1, 4, 7);
                _tile_dpbssd(2, 5, 6);
                _tile_dpbssd(3, 5, 7);
            } else {
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
    alignas(64) float out[4][256];
    _tile_stored(0, out[0], 64);
    _tile_stored(1, out[1], 64);
    _tile_stored(2, out[2], 64);
    _tile_stored(3, out[3], 64);
    _tile_release();
    return out[0][0] + out[1][0] + out[2][0] + out[3][0];
}

float multiply_by(int kind, int64_t rounds, const char* operands) {
    if (kind == 2) return tiles<true>(rounds, operands);
    if (kind == 1) return tiles<false>(rounds, operands);
    return multiply<Float>(rounds, operands);
}

int64_t operations_of(int kind, int64_t rounds) {
    if (kind == 0) return operations<Float>(rounds);
    return rounds * kSteps * 4 * 2 * 16 * 16 * (kind == 2 ? 64 : 32);
}

#else

float multiply_by(int kind, int64_t rounds, const char* operands) {
    if (kind == 2) return multiply<Byte>(rounds, operands);
    if (kind == 1) return multiply<Bfloat>(rounds, operands);
    return multiply<Float>(rounds, operands);
}

int64_t operations_of(int kind, int64_t rounds) {
    if (kind == 2) return operations<Byte>(rounds);
    return kind == 1 ? operations<Bfloat>(rounds) : operations<Float>(rounds);
}

#endif

}  // namespace
}  // namespace canvaslm

// Reads all of the buffer once; what it returns keeps the compiler from leaving that out.
CANVASLM_API uint64_t canvaslm_peak_read(int threads, const void* data, int64_t bytes) {
    using namespace canvaslm;
    std::atomic<uint64_t> sum{0};
    parallel(threads, (bytes + kPiece - 1) / kPiece, [&](int64_t item, int) {
        const int64_t count = std::min(kPiece, bytes - item * kPiece) / 8;
        const auto* piece = static_cast<const uint64_t*>(data) + item * (kPiece / 8);
        sum.fetch_xor(joined_piece(piece, count), std::memory_order_relaxed);
    });
    return sum.load();
}

// Multiplies the operands (32 KB, random) over and over, `items` times `rounds`, and returns how
// many operations that were. kind: 0 float32, 1 bfloat16, 2 int8.
CANVASLM_API int64_t canvaslm_peak_product(int threads, int kind, int64_t items, int64_t rounds,
                                           const void* operands, float* sink) {
    using namespace canvaslm;
    parallel(threads, items, [&](int64_t item, int) {
        sink[item] = multiply_by(kind, rounds, static_cast<const char*>(operands));
    });
    return items * operations_of(kind, rounds);
}
