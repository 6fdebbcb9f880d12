// Rows turned into panels (panel.h): 16 rows by 16 dwords at a time, transposed in registers.
#pragma once
#include "panel.h"
#include "vector.h"

namespace canvaslm {

// The largest |x|, NaN where one is infinite or NaN: `max` alone would lose it, and the rounded row
// would look like any other.
class Peak {
  public:
    void see(Vec x) {
        most_ = max(most_, abs(x));
        odd_ = fma(x, set(0), odd_);
    }
    float value() const { return largest(most_) + sum(odd_); }
    Vec lanes() const { return most_ + odd_; }  // each lane's own

  private:
    Vec most_ = set(0), odd_ = set(0);
};

// What a row with this peak is multiplied by to be int8. Tiny rows are 0: 127 over their peak may
// be no float. Where the peak is NaN, so is the scale, and the numbers do not matter.
constexpr float kLeastPeak = 1e-36f;
inline float int8_unit(float peak) { return peak > kLeastPeak ? 127 / peak : 0; }
inline Vec int8_unit(Vec peak) {
    return select(less(set(kLeastPeak), peak), set(127) / peak, set(0));
}

template <Kind K>
constexpr int kPiece = K == Kind::kInt8 ? 64 : K == Kind::kBfloat16 ? 32 : 16;  // in 16 dwords

#if defined(__AVX512F__)

// 64 floats, rounded half to even, as bytes
inline void to_bytes(const Vec (&x)[4], void* to) {
    for (int i = 0; i < 4; ++i) {
        __m128i part = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x[i].v));
        _mm_storeu_si128(static_cast<__m128i*>(to) + i, part);
    }
}

inline void transpose(const uint32_t* from, uint32_t* to) {  // 16 x 16, `from` aligned
    __m512i a[16], b[16];
    for (int i = 0; i < 16; ++i) a[i] = _mm512_load_si512(from + 16 * i);
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88);
        b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xdd);
        b[i + 8] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x88);
        b[i + 12] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; ++i) {
        _mm512_storeu_si512(to + 16 * i, _mm512_shuffle_i32x4(b[i], b[i + 8], 0x88));
        _mm512_storeu_si512(to + 16 * (i + 8), _mm512_shuffle_i32x4(b[i], b[i + 8], 0xdd));
        _mm512_storeu_si512(to + 16 * (i + 4), _mm512_shuffle_i32x4(b[i + 4], b[i + 12], 0x88));
        _mm512_storeu_si512(to + 16 * (i + 12), _mm512_shuffle_i32x4(b[i + 4], b[i + 12], 0xdd));
    }
}

#elif defined(__AVX2__)

inline void to_bytes(const Vec (&x)[4], void* to) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int i = 0; i < 2; ++i) {
        const Vec &a = x[2 * i], &b = x[2 * i + 1];
        __m256i first = _mm256_packs_epi32(_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high));
        __m256i second = _mm256_packs_epi32(_mm256_cvtps_epi32(b.low), _mm256_cvtps_epi32(b.high));
        __m256i mixed = _mm256_packs_epi16(first, second);
        _mm256_storeu_si256(static_cast<__m256i*>(to) + i,
                            _mm256_permutevar8x32_epi32(mixed, order));
    }
}

inline void transpose8(const uint32_t* from, uint32_t* to) {  // a quarter of 16 x 16
    __m256 a[8], b[8];
    for (int i = 0; i < 8; ++i) a[i] = _mm256_loadu_ps((const float*)(from + 16 * i));
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    for (int i = 0; i < 4; ++i) {
        _mm256_storeu_ps((float*)(to + 16 * i), _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
        _mm256_storeu_ps((float*)(to + 16 * (i + 4)), _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
    }
}

inline void transpose(const uint32_t* from, uint32_t* to) {
    transpose8(from, to);
    transpose8(from + 8, to + 16 * 8);
    transpose8(from + 16 * 8, to + 8);
    transpose8(from + 16 * 8 + 8, to + 16 * 8 + 8);
}

#else

inline void to_bytes(const Vec (&x)[4], void* to) {
    for (int i = 0; i < 64; ++i)
        static_cast<int8_t*>(to)[i] = static_cast<int8_t>(round(x[i / 16]).v[i % 16]);
}

inline void transpose(const uint32_t* from, uint32_t* to) {
    for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 16; ++j) to[16 * j + i] = from[16 * i + j];
}

#endif

// The sums of 32 neighbours of each token: 8 dwords of 4 bytes, transposed already.
inline void sum_bytes(const void* from, int32_t* to) {
#if defined(__AVX512VNNI__)
    __m512i total = _mm512_setzero_si512(), ones = _mm512_set1_epi8(1);
    for (int i = 0; i < 8; ++i)
        total = _mm512_dpbusd_epi32(
            total, ones, _mm512_loadu_si512(static_cast<const char*>(from) + 64 * i));
    _mm512_storeu_si512(to, total);
#else
    const int8_t* bytes = static_cast<const int8_t*>(from);
    for (int token = 0; token < kLanes; ++token) {
        int32_t total = 0;
        for (int i = 0; i < 8; ++i)
            for (int j = 0; j < 4; ++j) total += bytes[64 * i + 4 * token + j];
        to[token] = total;
    }
#endif
}

inline Whole less_by(Whole, int) { return {}; }
inline int64_t less_by(int64_t left, int n) { return left - n; }

// 16 dwords of a row from `column` on. value(row, column, left) gives 16 neighbours; `left` says
// how many there are, possibly less than none: the others must be 0.
template <Kind K, class F, class N>
inline void piece(F&& value, int row, int64_t column, N left, float unit, uint32_t* to) {
    if constexpr (K == Kind::kInt8) {
        Vec x[4];
        for (int i = 0; i < 4; ++i)
            x[i] = value(row, column + 16 * i, less_by(left, 16 * i)) * set(unit);
        to_bytes(x, to);
    } else if constexpr (K == Kind::kBfloat16) {
        auto half = reinterpret_cast<uint16_t*>(to);
        store(half, value(row, column, left));
        store(half + 16, value(row, column + 16, less_by(left, 16)));
    } else {
        store(reinterpret_cast<float*>(to), value(row, column, left));
    }
}

// Sixteen rows' pieces, transposed.
template <Kind K, class F, class N>
inline void tile_of(F&& value, int count, int64_t column, N left, const float* unit, uint32_t* to) {
    alignas(64) uint32_t tile[16 * 16];
    for (int row = 0; row < count; ++row)
        piece<K>(value, row, column, left, unit[row], tile + 16 * row);
    if (count < kLanes)
        std::memset(tile + 16 * count, 0, static_cast<size_t>(kLanes - count) * 64);
    transpose(tile, to);
}

// Write one block of a panel. int8: `peak` is the largest |x| of each of its rows.
template <Kind K, class F>
void pack(const Panel& to, int64_t block, const float* peak, F&& value) {
    const int64_t left = to.tokens - block * kLanes, depth = to.depth();
    const int count = left < kLanes ? static_cast<int>(left) : kLanes;
    float unit[kLanes] = {};
    if constexpr (K == Kind::kInt8) {
        for (int row = 0; row < count; ++row) {
            to.scale[block * kLanes + row] = peak[row] / 127;
            unit[row] = int8_unit(peak[row]);
        }
        for (int row = count; row < kLanes; ++row) to.scale[block * kLanes + row] = 0;
    }
    auto data = reinterpret_cast<uint32_t*>(static_cast<char*>(to.data) + block * to.block_bytes());
    for (int64_t column = 0; column < depth; column += kPiece<K>, data += 16 * 16) {
        if (column + kPiece<K> <= to.width) {
            tile_of<K>(value, count, column, Whole{}, unit, data);
        } else if (K == Kind::kFloat32) {  // not padded
            alignas(64) uint32_t last[16 * 16];
            tile_of<K>(value, count, column, depth - column, unit, last);
            std::memcpy(data, last, static_cast<size_t>(depth - column) * kLanes * 4);
        } else {
            tile_of<K>(value, count, column, to.width - column, unit, data);
        }
        if constexpr (K == Kind::kInt8) {
            int32_t* sums = to.sums + (block * depth + column) / 32 * kLanes;
            sum_bytes(data, sums);
            sum_bytes(data + 8 * 16, sums + kLanes);
        }
    }
}

// The same where the kind is known only when running.
template <class F>
void pack(const Panel& to, int64_t block, const float* peak, F&& value) {
    if (to.kind == Kind::kInt8) return pack<Kind::kInt8>(to, block, peak, value);
    if (to.kind == Kind::kBfloat16) return pack<Kind::kBfloat16>(to, block, peak, value);
    pack<Kind::kFloat32>(to, block, peak, value);
}

}  // namespace canvaslm
