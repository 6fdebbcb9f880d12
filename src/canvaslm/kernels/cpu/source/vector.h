// Sixteen floats at once, and the mathematics of them: one register of AVX-512, two of AVX2, or
// whatever the compiler makes of a vector elsewhere.
//
// A sum over the lanes adds lane i to lane i + 8, then + 4, + 2, + 1, whichever the set. `fma`
// rounds once where the machine can and twice in the plain set: all that differs between the sets.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace canvaslm {

struct Whole {};  // in place of a count: all sixteen are there

#if defined(__AVX512F__)

struct Vec {
    __m512 v;
};
using Mask = __mmask16;

inline __mmask16 first(int64_t n) { return n >= 16 ? 0xffff : (1u << (n < 0 ? 0 : n)) - 1; }
inline Vec set(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
inline Vec load(const uint16_t* p) {  // bfloat16
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline Vec load(const uint16_t* p, int64_t n) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline void store(float* p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, first(n), a.v); }
inline void store(uint16_t* p, Vec a) {
    _mm256_storeu_si256((__m256i*)p, (__m256i)_mm512_cvtneps_pbh(a.v));
}
inline void store(uint16_t* p, Vec a, int64_t n) {
    _mm256_mask_storeu_epi16(p, first(n), (__m256i)_mm512_cvtneps_pbh(a.v));
}
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, 8)}; }
inline Mask less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
inline Vec select(Mask m, Vec yes, Vec no) { return {_mm512_mask_blend_ps(m, no.v, yes.v)}; }
inline Vec scaled(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }  // a 2^n, n whole
inline Vec power_of_2(Vec n) { return scaled(set(1.0f), n); }  // of whole numbers, -126 to 127

#elif defined(__AVX2__)

struct Vec {
    __m256 low, high;
};
using Mask = Vec;

inline __m256i first8(int64_t n) {
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    int least = n > 8 ? 8 : n < 0 ? 0 : static_cast<int>(n);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(least), lane);
}
inline Vec set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline Vec load(const float* p, int64_t n) {
    if (n >= 16) return load(p);
    return {_mm256_maskload_ps(p, first8(n)), _mm256_maskload_ps(p + 8, first8(n - 8))};
}
inline __m256 widened(__m128i half) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
inline Vec load(const uint16_t* p) {  // bfloat16
    return {widened(_mm_loadu_si128((const __m128i*)p)),
            widened(_mm_loadu_si128((const __m128i*)(p + 8)))};
}
inline Vec load(const uint16_t* p, int64_t n) {
    if (n >= 16) return load(p);
    uint16_t copy[16] = {};
    if (n > 0) std::memcpy(copy, p, static_cast<size_t>(n) * 2);
    return load(copy);
}
inline void store(float* p, Vec a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}
inline void store(float* p, Vec a, int64_t n) {
    if (n >= 16) return store(p, a);
    _mm256_maskstore_ps(p, first8(n), a.low);
    _mm256_maskstore_ps(p + 8, first8(n - 8), a.high);
}
inline __m256i rounded(__m256 a) {  // to bfloat16, half to even
    __m256i bits = _mm256_castps_si256(a), one = _mm256_set1_epi32(1);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), one);
    __m256i half = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), odd);
    return _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
}
inline __m256i bfloat16s(Vec a) {
    __m256i mixed = _mm256_packus_epi32(rounded(a.low), rounded(a.high));
    return _mm256_permute4x64_epi64(mixed, 0xd8);
}
inline void store(uint16_t* p, Vec a) { _mm256_storeu_si256((__m256i*)p, bfloat16s(a)); }
inline void store(uint16_t* p, Vec a, int64_t n) {
    if (n >= 16) return store(p, a);
    uint16_t copy[16];
    store(copy, a);
    if (n > 0) std::memcpy(p, copy, static_cast<size_t>(n) * 2);
}
inline Vec operator+(Vec a, Vec b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
inline Vec operator-(Vec a, Vec b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
inline Vec operator*(Vec a, Vec b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
inline Vec operator/(Vec a, Vec b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
inline Vec fma(Vec a, Vec b, Vec c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline Vec max(Vec a, Vec b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
inline Vec min(Vec a, Vec b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
inline Vec abs(Vec a) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
inline Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high)}; }
inline Vec round(Vec a) { return {_mm256_round_ps(a.low, 8), _mm256_round_ps(a.high, 8)}; }
inline Mask less(Vec a, Vec b) {
    return {_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
}
inline Vec select(Mask m, Vec yes, Vec no) {
    return {_mm256_blendv_ps(no.low, yes.low, m.low), _mm256_blendv_ps(no.high, yes.high, m.high)};
}
inline __m256 power_of_2(__m256 n) {
    __m256i bits = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}
inline Vec power_of_2(Vec n) { return {power_of_2(n.low), power_of_2(n.high)}; }
inline Vec scaled(Vec a, Vec n) {  // a 2^n, n whole; no more than 2^127, no less than 2^-126
    return a * power_of_2(max(min(n, set(127)), set(-126)));
}

#else

struct Vec {
    float v[16];
};
struct Mask {
    bool v[16];
};

template <class F>
inline Vec each(F&& f) {
    Vec out;
    for (int i = 0; i < 16; ++i) out.v[i] = f(i);
    return out;
}
inline float widened(uint16_t x) {
    uint32_t bits = static_cast<uint32_t>(x) << 16;
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}
inline Vec set(float x) {
    return each([&](int) { return x; });
}
inline Vec load(const float* p) {
    return each([&](int i) { return p[i]; });
}
inline Vec load(const float* p, int64_t n) {
    return each([&](int i) { return i < n ? p[i] : 0.0f; });
}
inline Vec load(const uint16_t* p) {  // bfloat16
    return each([&](int i) { return widened(p[i]); });
}
inline Vec load(const uint16_t* p, int64_t n) {
    return each([&](int i) { return i < n ? widened(p[i]) : 0.0f; });
}
inline void store(float* p, Vec a) { std::memcpy(p, a.v, 64); }
inline void store(float* p, Vec a, int64_t n) {
    for (int i = 0; i < 16 && i < n; ++i) p[i] = a.v[i];
}
inline uint16_t rounded(float x) {  // to bfloat16, half to even
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline void store(uint16_t* p, Vec a, int64_t n) {
    for (int i = 0; i < 16 && i < n; ++i) p[i] = rounded(a.v[i]);
}
inline void store(uint16_t* p, Vec a) { store(p, a, 16); }
inline Vec operator+(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec fma(Vec a, Vec b, Vec c) {
    return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Vec max(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec min(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec abs(Vec a) {
    return each([&](int i) { return std::fabs(a.v[i]); });
}
inline Vec sqrt(Vec a) {
    return each([&](int i) { return std::sqrt(a.v[i]); });
}
inline Vec round(Vec a) {
    constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: what is added and taken off is rounded
    return each([&](int i) {
        return std::fabs(a.v[i]) < 4194304.0f ? a.v[i] + kShift - kShift : a.v[i];
    });
}
inline Mask less(Vec a, Vec b) {
    Mask out;
    for (int i = 0; i < 16; ++i) out.v[i] = a.v[i] < b.v[i];
    return out;
}
inline Vec select(Mask m, Vec yes, Vec no) {
    return each([&](int i) { return m.v[i] ? yes.v[i] : no.v[i]; });
}
inline Vec power_of_2(Vec n) {  // of whole numbers from -126 to 127
    return each([&](int i) {
        uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(n.v[i]) + 127) << 23;
        float out;
        std::memcpy(&out, &bits, 4);
        return out;
    });
}
inline Vec scaled(Vec a, Vec n) {  // a 2^n, n whole; no more than 2^127, no less than 2^-126
    return a * power_of_2(max(min(n, set(127)), set(-126)));
}

#endif

template <class T>
inline Vec load(const T* p, Whole) {
    return load(p);
}
template <class T>
inline void store(T* p, Vec a, Whole) {
    store(p, a);
}

// f(at, n) for every sixteenth number up to `width`; n is Whole, or what is left at the end.
template <class F>
inline void sweep(int64_t width, F&& f) {
    int64_t at = 0;
    for (; at + 16 <= width; at += 16) f(at, Whole{});
    if (at < width) f(at, width - at);
}

inline Vec& operator+=(Vec& a, Vec b) { return a = a + b; }
inline Vec& operator*=(Vec& a, Vec b) { return a = a * b; }

template <class Join>
inline float joined(Vec a, Join&& join) {
    alignas(64) float lane[16];
    store(lane, a);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; ++i) lane[i] = join(lane[i], lane[i + half]);
    return lane[0];
}

#if defined(__AVX2__)

inline __m256 low_half([[maybe_unused]] Vec a) {
#if defined(__AVX512F__)
    return _mm512_castps512_ps256(a.v);
#else
    return a.low;
#endif
}
inline __m256 high_half([[maybe_unused]] Vec a) {
#if defined(__AVX512F__)
    return _mm512_extractf32x8_ps(a.v, 1);
#else
    return a.high;
#endif
}
inline float sum(Vec a) {
    __m256 x = _mm256_add_ps(low_half(a), high_half(a));
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_shuffle_ps(y, y, 1)));
}
inline float largest(Vec a) {
    __m256 x = _mm256_max_ps(low_half(a), high_half(a));
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_shuffle_ps(y, y, 1)));
}

#else

inline float sum(Vec a) {
    return joined(a, [](float x, float y) { return x + y; });
}
inline float largest(Vec a) {
    return joined(a, [](float x, float y) { return x > y ? x : y; });
}

#endif

// e^x, within 2 units in the last place; 0 below -87.33, e^88.37 above 88.37. What is not a number
// stays none: of two operands max and min give the second where one is not a number.
inline Vec exp(Vec x) {
    const Vec lowest = set(-87.33654f);
    Vec y = min(set(88.37f), max(lowest, x));
    Vec n = round(y * set(1.44269504f));
    Vec r = fma(n, set(-0.693359375f), y);
    r = fma(n, set(2.12194440e-4f), r);
    Vec p = fma(r, set(1.9875691500e-4f), set(1.3981999507e-3f));
    p = fma(p, r, set(8.3334519073e-3f));
    p = fma(p, r, set(4.1665795894e-2f));
    p = fma(p, r, set(1.6666665459e-1f));
    p = fma(p, r, set(5.0000001201e-1f));
    p = fma(p, r * r, r) + set(1.0f);
    return select(less(x, lowest), set(0.0f), scaled(p, n));
}

// Near 0 a polynomial, so that small numbers keep their digits.
inline Vec tanh(Vec x) {
    Vec z = x * x;
    Vec p = fma(z, set(-5.70498872745e-3f), set(2.06390887954e-2f));
    p = fma(p, z, set(-5.37397155531e-2f));
    p = fma(p, z, set(1.33314422036e-1f));
    p = fma(p, z, set(-3.33332819422e-1f));
    Vec near = fma(p * z, x, x);
    Vec far = set(1.0f) - set(2.0f) / (exp(x + x) + set(1.0f));
    return select(less(abs(x), set(0.625f)), near, far);
}

// 2^x, within 2 units in the last place; beyond float's range it may be anything as large or small.
inline Vec two_to(Vec x) {
    Vec n = round(x), r = x - n;
    Vec p = fma(r, set(1.535336188319500e-4f), set(1.339887440266574e-3f));
    p = fma(p, r, set(9.618437357674640e-3f));
    p = fma(p, r, set(5.550332471162809e-2f));
    p = fma(p, r, set(2.402264791363012e-1f));
    p = fma(p, r, set(6.931472028550421e-1f));
    return scaled(fma(p, r, set(1.0f)), n);
}

// tanh's form: x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), the exponent in powers of 2.
inline Vec gelu(Vec x) {
    Vec slope = fma(x * x, set(-0.1029432400f), set(-2.3022081810f));
    return x / (set(1.0f) + two_to(x * slope));
}

}  // namespace canvaslm
