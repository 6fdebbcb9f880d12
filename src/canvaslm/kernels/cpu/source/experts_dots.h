// Products of 4 bytes of a weight row with 4 bytes of each token: the innermost steps of a product
// whose lanes are tokens. 4 bytes are 4 int8, 2 bfloat16 or 1 float32, so a step is the same for
// all three. With AVX-512 a register has 16 lanes, and one of 8 for what is left; elsewhere 8.
//
// Bytes: weights are unsigned (offset by what Unpack says), tokens signed, sums exact in int32.
#pragma once
#include <cstdint>
#include <cstring>

#include "vector.h"

namespace canvaslm {

#if defined(__AVX2__)

struct Eight {
    static constexpr int kLanes = 8;
    using Int = __m256i;
    using Real = __m256;
    static Int fetch(const void* p) { return _mm256_loadu_si256((const __m256i*)p); }
    static Real real(const void* p) { return _mm256_loadu_ps((const float*)p); }
    static Int spread(const void* p) {
        int32_t bits;
        std::memcpy(&bits, p, 4);
        return _mm256_set1_epi32(bits);
    }
    static Real spread(float x) { return _mm256_set1_ps(x); }
    static void store(void* p, Int a) { _mm256_storeu_si256((__m256i*)p, a); }
    static void store(void* p, Real a) { _mm256_storeu_ps((float*)p, a); }
    static Real converted(Int a) { return _mm256_cvtepi32_ps(a); }
    static Real converted(Real a) { return a; }
    static Real fma(Real a, Real b, Real c) { return _mm256_fmadd_ps(a, b, c); }
    static Real bits(Int a) { return _mm256_castsi256_ps(a); }
};

#else

struct Eight {
    static constexpr int kLanes = 8;
    struct Int {
        int32_t v[8];
    };
    struct Real {
        float v[8];
    };
    static Int fetch(const void* p) {
        Int a;
        std::memcpy(&a, p, 32);
        return a;
    }
    static Real real(const void* p) {
        Real a;
        std::memcpy(&a, p, 32);
        return a;
    }
    static Int spread(const void* p) {
        int32_t bits;
        std::memcpy(&bits, p, 4);
        Int a;
        for (int i = 0; i < 8; ++i) a.v[i] = bits;
        return a;
    }
    static Real spread(float x) {
        Real a;
        for (int i = 0; i < 8; ++i) a.v[i] = x;
        return a;
    }
    static void store(void* p, const Int& a) { std::memcpy(p, &a, 32); }
    static void store(void* p, const Real& a) { std::memcpy(p, &a, 32); }
    static Real converted(const Int& a) {
        Real b;
        for (int i = 0; i < 8; ++i) b.v[i] = static_cast<float>(a.v[i]);
        return b;
    }
    static Real converted(const Real& a) { return a; }
    static Real fma(const Real& a, const Real& b, const Real& c) {
        Real d;
        for (int i = 0; i < 8; ++i) d.v[i] = a.v[i] * b.v[i] + c.v[i];
        return d;
    }
    static Real bits(const Int& a) {
        Real b;
        std::memcpy(&b, &a, 32);
        return b;
    }
};

#endif

#if defined(__AVX512VNNI__)

struct Sixteen {
    static constexpr int kLanes = 16;
    using Int = __m512i;
    using Real = __m512;
    static Int fetch(const void* p) { return _mm512_loadu_si512(p); }
    static Real real(const void* p) { return _mm512_loadu_ps(p); }
    static Int spread(const void* p) {
        int32_t bits;
        std::memcpy(&bits, p, 4);
        return _mm512_set1_epi32(bits);
    }
    static Real spread(float x) { return _mm512_set1_ps(x); }
    static void store(void* p, Int a) { _mm512_storeu_si512(p, a); }
    static void store(void* p, Real a) { _mm512_storeu_ps(p, a); }
    static Real converted(Int a) { return _mm512_cvtepi32_ps(a); }
    static Real converted(Real a) { return a; }
    static Real fma(Real a, Real b, Real c) { return _mm512_fmadd_ps(a, b, c); }
    static Real bits(Int a) { return _mm512_castsi512_ps(a); }
};
using Widest = Sixteen;
inline __m256i lower(__m512i a) { return _mm512_castsi512_si256(a); }

#else

using Widest = Eight;
inline Eight::Int lower(const Eight::Int& a) { return a; }

#endif

struct ByteDot {
    static constexpr int kElement = 1;
    static constexpr bool kExact = true;  // sums are integers
    static constexpr bool kTiles = true;  // AMX has it
    using Number = int32_t;
    template <class L>
    using Sum = typename L::Int;
    template <class L>
    static Sum<L> begin(const void* p) {
        return L::fetch(p);
    }
#if defined(__AVX512VNNI__)
    // in assembly, for with the intrinsic GCC 12 copies every sum to another register and back
    template <class Sum>
    static Sum step(Sum sum, Sum w, Sum x) {
        asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
        return sum;
    }
#elif defined(__AVX2__)
    // 4-bit weights: a pair's sum is at most 2 * 24 * 127, far from saturation
    static __m256i step(__m256i sum, __m256i w, __m256i x) {
        __m256i pairs = _mm256_maddubs_epi16(w, x);
        return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
#else
    static Eight::Int step(Eight::Int sum, const Eight::Int& w, const Eight::Int& x) {
        uint8_t a[4];
        int8_t b[32];
        std::memcpy(a, &w, 4);
        std::memcpy(b, &x, 32);
        for (int i = 0; i < 8; ++i)
            sum.v[i] += a[0] * b[4 * i] + a[1] * b[4 * i + 1] + a[2] * b[4 * i + 2] +
                        a[3] * b[4 * i + 3];
        return sum;
    }
#endif
};

// Weights signed, too: what AVX2 needs for int8, whose unsigned pairs would saturate, and what
// tiles take, for then a sum starts from zero.
struct SignedDot : ByteDot {
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
    static __m256i step(__m256i sum, __m256i w, __m256i x) {
        return ByteDot::step(sum, _mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    }
#endif
};

struct Bf16Dot {
    static constexpr int kElement = 2;
    static constexpr bool kExact = false;
    static constexpr bool kTiles = true;
    using Number = float;
    template <class L>
    using Sum = typename L::Real;
    template <class L>
    static Sum<L> begin(const void* p) {
        return L::real(p);
    }
#if defined(__AVX512BF16__)
    template <class Sum, class Pairs>
    static Sum step(Sum sum, Pairs w, Pairs x) {
        asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
        return sum;
    }
#elif defined(__AVX2__)
    static __m256 low(__m256i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16)); }
    static __m256 high(__m256i x) {
        return _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(~0xffff)));
    }
    static __m256 step(__m256 sum, __m256i w, __m256i x) {
        return _mm256_fmadd_ps(low(w), low(x), _mm256_fmadd_ps(high(w), high(x), sum));
    }
#else
    static float low(int32_t x) { return widened(static_cast<uint16_t>(x)); }
    static float high(int32_t x) { return widened(static_cast<uint16_t>(uint32_t(x) >> 16)); }
    static Eight::Real step(Eight::Real sum, const Eight::Int& w, const Eight::Int& x) {
        for (int i = 0; i < 8; ++i)
            sum.v[i] += low(w.v[i]) * low(x.v[i]) + high(w.v[i]) * high(x.v[i]);
        return sum;
    }
#endif
};

struct FloatDot {
    static constexpr int kElement = 4;
    static constexpr bool kExact = false;
    static constexpr bool kTiles = false;
    using Number = float;
    template <class L>
    using Sum = typename L::Real;
    template <class L>
    static Sum<L> begin(const void* p) {
        return L::real(p);
    }
    static Eight::Real step(Eight::Real sum, const Eight::Int& w, const Eight::Int& x) {
        return Eight::fma(Eight::bits(w), Eight::bits(x), sum);
    }
#if defined(__AVX512VNNI__)
    static __m512 step(__m512 sum, __m512i w, __m512i x) {
        return _mm512_fmadd_ps(_mm512_castsi512_ps(w), _mm512_castsi512_ps(x), sum);
    }
#endif
};

}  // namespace canvaslm
