// Activations as products read them: blocks of 16 tokens, so that one register holds a number (or
// the 2 or 4 neighbours that a dot instruction takes) of each token.
//
//   float32   [C][K][16]           K padded to nothing
//   bfloat16  [C][Kp/2][16][2]     Kp = K up to a multiple of 32
//   int8      [C][Kp/4][16][4]     Kp = K up to a multiple of 64
//             scale [C*16] float   x = q * scale
//             sums  [C][Kp/32][16] int32: of each 32 neighbours; what unsigned weights are off by
//
// C = ceil(T / 16). Padding is zero, tokens beyond T too. Weights are the other operand, row by row
// as they lie in the file: an AMX tile of 16 weight rows by 64 bytes is A, 64 bytes of depth by 16
// tokens are B, so C comes out as [16 outputs][16 tokens]. With AVX-512, 4 bytes of a weight row
// are broadcast against one register of tokens.
#pragma once
#include <cstdint>

namespace canvaslm {

constexpr int kLanes = 16;

enum class Kind : int32_t { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2 };

constexpr int64_t blocks_of(int64_t tokens) { return (tokens + kLanes - 1) / kLanes; }
constexpr int64_t padded(int64_t width, int64_t multiple) {
    return (width + multiple - 1) / multiple * multiple;
}

struct Panel {
    Kind kind;
    int64_t tokens;  // T
    int64_t width;   // K
    void* data;
    float* scale;   // int8 only
    int32_t* sums;  // int8 only

    int64_t depth() const {  // Kp
        return kind == Kind::kInt8 ? padded(width, 64)
               : kind == Kind::kBfloat16 ? padded(width, 32)
                                         : width;
    }
    int64_t element() const {
        return kind == Kind::kInt8 ? 1 : kind == Kind::kBfloat16 ? 2 : 4;
    }
    // bytes of one block of 16 tokens
    int64_t block_bytes() const { return depth() * kLanes * element(); }
};

enum class Format : int32_t { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2, kInt4 = 3, kMxfp4 = 4 };

// A weight [N, K], see kernels/weight.py. `scale` is float [N] for int8, bfloat16 [N, K/group] for
// int4, uint8 exponents [N, K/32] for mxfp4.
struct Matrix {
    Format format;
    int64_t outputs;  // N
    int64_t width;    // K
    int64_t group;    // 32 or 64; 0 where there is none
    const void* data;
    const void* scale;
};

}  // namespace canvaslm
