// The sum of some rows of the table, each times its probability.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "panel.h"
#include "vector.h"

namespace canvaslm::head {

inline Vec load(const int8_t* p) {
#if defined(__AVX512F__)
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)))};
#elif defined(__AVX2__)
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p))),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)(p + 8))))};
#else
    return each([&](int i) { return float(p[i]); });
#endif
}
inline Vec load(const int8_t* p, int64_t n) {
    int8_t copy[16] = {};
    std::memcpy(copy, p, static_cast<size_t>(std::clamp<int64_t>(n, 0, 16)));
    return load(copy);
}
using canvaslm::load;

constexpr int64_t kTogether = 4;  // rows added in one go: the sum is loaded and stored once

// out += sum of p[j] * row j, in the order of j; the next rows are asked for meanwhile.
template <class Number>
inline void add_rows(const Number* const* row, const Number* const* next, const float* p,
                     int64_t width, float* out) {
    int64_t i = 0;
    for (; i + 16 <= width; i += 16) {
        Vec sum = load(out + i);
        for (int64_t j = 0; j < kTogether; ++j) {
            __builtin_prefetch(next[j] + i);
            sum = fma(set(p[j]), load(row[j] + i), sum);
        }
        store(out + i, sum);
    }
    if (i == width) return;
    Vec sum = load(out + i, width - i);
    for (int64_t j = 0; j < kTogether; ++j)
        sum = fma(set(p[j]), load(row[j] + i, width - i), sum);
    store(out + i, sum, width - i);
}

// Where there are not four left, the last is added again 0 times.
template <class Number>
inline void gather_rows(const Number* table, int64_t width, const int32_t* token, const float* p,
                        int64_t count, float* out) {
    std::fill(out, out + width, 0.0f);
    for (int64_t i = 0; i < count; i += kTogether) {
        const Number *row[kTogether], *next[kTogether];
        float times[kTogether];
        for (int64_t j = 0; j < kTogether; ++j) {
            row[j] = table + int64_t(token[std::min(i + j, count - 1)]) * width;
            next[j] = table + int64_t(token[std::min(i + kTogether + j, count - 1)]) * width;
            times[j] = i + j < count ? p[i + j] : 0.0f;
        }
        add_rows(row, next, times, width, out);
    }
}

inline void gather(const Matrix& table, const int32_t* token, float* p, int64_t count, float* out) {
    if (table.format == Format::kFloat32)
        return gather_rows(static_cast<const float*>(table.data), table.width, token, p, count, out);
    if (table.format == Format::kBfloat16)
        return gather_rows(static_cast<const uint16_t*>(table.data), table.width, token, p, count,
                           out);
    auto scale = static_cast<const float*>(table.scale);
    for (int64_t i = 0; i < count; ++i) p[i] *= scale[token[i]];
    gather_rows(static_cast<const int8_t*>(table.data), table.width, token, p, count, out);
}

}  // namespace canvaslm::head
