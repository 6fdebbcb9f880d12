// What norms share: 1 / rms of a row, and its weight where there is one.
#pragma once
#include "vector.h"

namespace canvaslm {

inline float inverse_rms(float squares, int64_t width, float eps) {
    return 1 / std::sqrt(squares / static_cast<float>(width) + eps);
}

// `weight` may be null.
template <class N>
inline Vec weighted(Vec x, const float* weight, int64_t at, N left) {
    return weight ? x * load(weight + at, left) : x;
}

}  // namespace canvaslm
