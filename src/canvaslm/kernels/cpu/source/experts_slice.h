// The operands of a tile: the tokens of a panel, and a slice of unpacked weights.
#pragma once
#include <algorithm>
#include <cstdint>

#include "panel.h"

namespace canvaslm {

constexpr int kTile = kLanes * kLanes;  // numbers
constexpr int64_t kSliceBytes = 4096;

// Tokens, in blocks as panel.h draws them.
struct Lanes {
    Kind kind;
    int eighths;           // of 8 tokens, those in use
    const char* data;      // of the first block
    int64_t block_bytes;
    const int32_t* start;  // [blocks][groups][16]: -offset * the sum of a group; int8 only
    int64_t starts;        // int32 of a block

    int blocks() const { return (eighths + 1) / 2; }
    int64_t steps() const { return block_bytes / 64; }  // of 4 bytes
};

struct Slice {
    const uint8_t* weights;  // [groups][16][row_bytes]
    int row_bytes;
    int groups;
    int64_t first;
    int64_t steps;  // of all slices
    const float* scales;
    int64_t scale_stride;
    const char* ahead;  // the same slice of the tile to come, or null
    int64_t share;      // of it, bytes for each group

    // Some rows' part of it, a little at a time: many lines at once would have to wait.
    void fetch(int group, int row, int rows) const {
        if (!ahead) return;
        const char* from = ahead + group * share + row * share / kLanes;
        for (int64_t at = 0; at < share * rows / kLanes; at += 64)
            __builtin_prefetch(from + at, 0, 2);
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
