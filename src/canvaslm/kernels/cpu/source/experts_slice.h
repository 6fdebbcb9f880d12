// The operands of a tile: the tokens of a panel, and a slice of unpacked weights.
#pragma once
#include <algorithm>
#include <cstdint>

#include "panel.h"

namespace canvaslm {

#if defined(__AMX_INT8__)
constexpr int kTall = 2;  // tiles of outputs that share a loaded tile of tokens
#else
constexpr int kTall = 1;
#endif
constexpr int kTile = kLanes * kLanes;    // numbers
constexpr int kOutputs = kTall * kLanes;  // taken at once
constexpr int kSums = kOutputs * kLanes;  // of a block of tokens
constexpr int64_t kSliceBytes = 4096;     // of 16 rows

// Tokens, in blocks as panel.h draws them.
struct Lanes {
    Kind kind;
    int eighths;           // of 8 tokens, those in use
    const char* data;      // of the first block
    int64_t block_bytes;
    const int32_t* start;  // [blocks][groups][16]: -offset * the sum of a group; null without one
    int64_t starts;        // int32 of a block

    int blocks() const { return (eighths + 1) / 2; }
    int64_t steps() const { return block_bytes / 64; }  // of 4 bytes
};

struct Slice {
    const uint8_t* weights;  // of each tile kSliceBytes: [groups][16][row_bytes]
    int tall;                // tiles of outputs, up to kTall
    int row_bytes;
    int groups;
    int64_t first;
    int64_t steps;  // of all slices
    const float* scales;
    int64_t scale_stride;
    const char* ahead;  // the same slice of the outputs to come, or null
    int64_t share;      // of it, bytes for each group

    // Some rows' part of it, a little at a time: many lines at once would have to wait.
    void fetch(int group, int row, int rows) const {
        if (!ahead) return;
        const char* from = ahead + group * share + row * share / kOutputs;
        for (int64_t at = 0; at < share * rows / kOutputs; at += 64)
            __builtin_prefetch(from + at, 0, 2);
    }

    Slice tile(int t) const {  // one of them alone
        Slice one = *this;
        one.tall = 1;
        one.weights += t * kSliceBytes;
        if (scales) one.scales += t * kLanes * scale_stride;
        if (ahead) one.ahead += t * share / kTall;
        return one;
    }

    int steps_of(int group) const {
        int64_t left = steps - (first + group) * row_bytes / 4;
        return static_cast<int>(std::min<int64_t>(row_bytes / 4, left));
    }
};

inline int64_t row_bytes_of(const Matrix& m) {
    switch (m.format) {
        case Format::kFloat32: return m.width * 4;
        case Format::kBfloat16: return m.width * 2;
        case Format::kInt8: return m.width;
        default: return m.width / 2;
    }
}

}  // namespace canvaslm
