// The dot instructions behind a product. Each step of one takes 4 bytes of depth: a register of
// `Lanes` holds them for 16 tokens (or 16 outputs), a `Word` the same 4 bytes of the other operand.
//
// Whole numbers go in pairs of unsigned and signed bytes where the instructions want that. Weights
// are the unsigned ones: they are stored with kOffset added, and sums start at -kOffset times the
// sum of the activations. kSwapped tells that the weights are the lanes.
#pragma once
#include <cstdint>
#include <cstring>

#include "panel.h"
#include "vector.h"

namespace canvaslm::dense {

inline int32_t four(const uint8_t* p) {
    int32_t bytes;
    std::memcpy(&bytes, p, 4);
    return bytes;
}

#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)

constexpr int32_t offset_of(Format format) {
    return format == Format::kInt8 ? 128 : format == Format::kInt4 ? 8 : 12;
}

struct Wide {
    using Lanes = __m512i;
    using Word = __m512i;
    static Lanes lanes(const uint8_t* p) { return _mm512_loadu_si512(p); }
    static Word word(const uint8_t* p) { return _mm512_set1_epi32(four(p)); }
};

template <bool kSwapped, bool kSigned>
struct Int8Dot : Wide {
    // The type the instruction is defined for: from __m512i GCC copies every sum at every step.
    using Sum = int __attribute__((vector_size(64)));
    static Sum start(const int32_t* bias) { return (Sum)_mm512_loadu_si512(bias); }
    static Sum start(int32_t bias) { return (Sum)_mm512_set1_epi32(bias); }
    static Vec value(Sum sum) { return {_mm512_cvtepi32_ps((__m512i)sum)}; }
    static Sum add(Sum sum, Lanes lanes, Word word) {
        return (Sum)(kSwapped ? _mm512_dpbusd_epi32((__m512i)sum, lanes, word)
                              : _mm512_dpbusd_epi32((__m512i)sum, word, lanes));
    }
};

struct FloatSum {
    using Sum = Vec;
    static Sum start(const int32_t*) { return set(0.0f); }
    static Sum start(int32_t) { return set(0.0f); }
    static Vec value(Sum sum) { return sum; }
};

struct Bfloat16Dot : Wide, FloatSum {
    static Sum add(Sum sum, Lanes lanes, Word word) {
        return {_mm512_dpbf16_ps(sum.v, (__m512bh)lanes, (__m512bh)word)};
    }
};

struct Float32Dot : Wide, FloatSum {
    static Sum add(Sum sum, Lanes lanes, Word word) {
        return fma({_mm512_castsi512_ps(lanes)}, {_mm512_castsi512_ps(word)}, sum);
    }
};

#elif defined(__AVX2__)

constexpr int32_t offset_of(Format format) {
    return format == Format::kInt8 ? 0 : format == Format::kInt4 ? 8 : 12;
}

struct Pair {
    __m256i low, high;
};

struct Wide {
    using Lanes = Pair;
    using Word = __m256i;
    static Lanes lanes(const uint8_t* p) {
        return {_mm256_loadu_si256((const __m256i*)p),
                _mm256_loadu_si256((const __m256i*)(p + 32))};
    }
    static Word word(const uint8_t* p) { return _mm256_set1_epi32(four(p)); }
};

// The products of two pairs are added up in 16 bits. That is enough for 4-bit weights as they are,
// and for |w| <= 128 with the sign of w given to the activation, which is never -128.
template <bool kSwapped, bool kSigned>
struct Int8Dot : Wide {
    using Sum = Pair;
    static Sum start(const int32_t* bias) {
        return Wide::lanes(reinterpret_cast<const uint8_t*>(bias));
    }
    static Sum start(int32_t bias) { return {_mm256_set1_epi32(bias), _mm256_set1_epi32(bias)}; }
    static Vec value(Sum sum) {
        return {_mm256_cvtepi32_ps(sum.low), _mm256_cvtepi32_ps(sum.high)};
    }
    static __m256i add(__m256i sum, __m256i weight, __m256i x) {
        __m256i pairs = kSigned ? _mm256_maddubs_epi16(_mm256_abs_epi8(weight),
                                                       _mm256_sign_epi8(x, weight))
                                : _mm256_maddubs_epi16(weight, x);
        return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    static Sum add(Sum sum, Lanes lanes, Word word) {
        return kSwapped ? Sum{add(sum.low, lanes.low, word), add(sum.high, lanes.high, word)}
                        : Sum{add(sum.low, word, lanes.low), add(sum.high, word, lanes.high)};
    }
};

struct FloatSum {
    using Sum = Vec;
    static Sum start(const int32_t*) { return set(0.0f); }
    static Sum start(int32_t) { return set(0.0f); }
    static Vec value(Sum sum) { return sum; }
};

struct Bfloat16Dot : Wide, FloatSum {
    static __m256 earlier(__m256i pair) { return _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16)); }
    static __m256 later(__m256i pair) {
        return _mm256_castsi256_ps(_mm256_and_si256(pair, _mm256_set1_epi32(-65536)));
    }
    static __m256 add(__m256 sum, __m256i lanes, __m256i word) {
        sum = _mm256_fmadd_ps(earlier(lanes), earlier(word), sum);
        return _mm256_fmadd_ps(later(lanes), later(word), sum);
    }
    static Sum add(Sum sum, Lanes lanes, Word word) {
        return {add(sum.low, lanes.low, word), add(sum.high, lanes.high, word)};
    }
};

struct Float32Dot : Wide, FloatSum {
    static Sum add(Sum sum, Lanes lanes, Word word) {
        Vec x = {_mm256_castsi256_ps(lanes.low), _mm256_castsi256_ps(lanes.high)};
        return fma(x, {_mm256_castsi256_ps(word), _mm256_castsi256_ps(word)}, sum);
    }
};

#else

constexpr int32_t offset_of(Format) { return 0; }

struct Wide {
    struct Lanes {
        const uint8_t* p;
    };
    struct Word {
        const uint8_t* p;
    };
    static Lanes lanes(const uint8_t* p) { return {p}; }
    static Word word(const uint8_t* p) { return {p}; }
};

template <bool kSwapped, bool kSigned>
struct Int8Dot : Wide {
    struct Sum {
        int32_t v[kLanes];
    };
    static Sum start(const int32_t* bias) {
        Sum sum;
        std::memcpy(sum.v, bias, sizeof sum.v);
        return sum;
    }
    static Sum start(int32_t bias) {
        Sum sum;
        for (int32_t& lane : sum.v) lane = bias;
        return sum;
    }
    static Vec value(const Sum& sum) {
        return each([&](int i) { return float(sum.v[i]); });
    }
    static Sum add(Sum sum, Lanes lanes, Word word) {
        auto a = reinterpret_cast<const int8_t*>(lanes.p);
        auto b = reinterpret_cast<const int8_t*>(word.p);
        for (int i = 0; i < kLanes; ++i)
            for (int j = 0; j < 4; ++j) sum.v[i] += a[i * 4 + j] * b[j];
        return sum;
    }
};

struct FloatSum {
    using Sum = Vec;
    static Sum start(const int32_t*) { return set(0.0f); }
    static Sum start(int32_t) { return set(0.0f); }
    static Vec value(const Sum& sum) { return sum; }
};

struct Bfloat16Dot : Wide, FloatSum {
    static Sum add(Sum sum, Lanes lanes, Word word) {
        uint16_t x[2 * kLanes], w[2];
        std::memcpy(x, lanes.p, sizeof x);
        std::memcpy(w, word.p, sizeof w);
        for (int i = 0; i < kLanes; ++i)
            sum.v[i] += widened(x[2 * i]) * widened(w[0]) + widened(x[2 * i + 1]) * widened(w[1]);
        return sum;
    }
};

struct Float32Dot : Wide, FloatSum {
    static Sum add(Sum sum, Lanes lanes, Word word) {
        float x[kLanes], w;
        std::memcpy(x, lanes.p, sizeof x);
        std::memcpy(&w, word.p, sizeof w);
        for (int i = 0; i < kLanes; ++i) sum.v[i] += x[i] * w;
        return sum;
    }
};

#endif

}  // namespace canvaslm::dense
