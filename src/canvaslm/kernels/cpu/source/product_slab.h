// A product a slab of 16 weight rows at a time: tokens are the lanes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "panel.h"
#include "product_prepare.h"
#include "product_tile.h"

namespace canvaslm::dense {

// One call of `product`.
struct Task {
    Panel x;
    int64_t b0, blocks;
    Matrix w;
    int64_t n0, count;
    float* out;
    int64_t stride;
    int64_t next;  // the output that the next call starts with, or -1

    int64_t element() const { return x.element(); }
    int64_t groups() const { return w.group ? w.width / w.group : 1; }
    int64_t steps() const {  // of a group
        return w.group ? w.group * element() / 4 : (w.width * element() + 3) / 4;
    }
    int64_t row_room() const { return padded(w.width * element(), 64) + 64; }
};

// Pieces of one allocation, each aligned to a register.
class Arena {
  public:
    explicit Arena(uint8_t* at) : at_(at) {}
    template <class T>
    T* take(int64_t count) {
        T* piece = reinterpret_cast<T*>(at_);
        at_ += padded(count * int64_t(sizeof(T)), 64);
        return piece;
    }

  private:
    uint8_t* at_;
};

constexpr int64_t kSlab = 16;

inline int32_t offset_of(const Task& task) {
    return task.x.kind == Kind::kInt8 ? offset_of(task.w.format) : 0;
}

// bias [blocks][groups][16]: what sums over weights with an offset start at.
inline void token_bias(const Task& task, int32_t* bias) {
    int64_t groups = task.groups(), parts = task.x.depth() / 32, each = parts / groups;
    int32_t offset = offset_of(task);
    if (!offset) {
        std::memset(bias, 0, size_t(task.blocks * groups * kLanes) * sizeof *bias);
        return;
    }
    if (task.w.group) each = task.w.group / 32;
    for (int64_t b = 0; b < task.blocks; ++b) {
        const int32_t* sums = task.x.sums + (task.b0 + b) * parts * kLanes;
        for (int64_t g = 0; g < groups; ++g, bias += kLanes)
            for (int t = 0; t < kLanes; ++t) {
                int32_t sum = 0;
                for (int64_t i = 0; i < each; ++i) sum += sums[(g * each + i) * kLanes + t];
                bias[t] = -offset * sum;
            }
    }
}

// What a token's products are multiplied by last [blocks][16].
inline void token_scale(const Task& task, float* last) {
    int64_t count = task.blocks * kLanes;
    if (task.x.scale)
        std::memcpy(last, task.x.scale + task.b0 * kLanes, size_t(count) * sizeof *last);
    else
        std::fill(last, last + count, 1.0f);
}

// The rows of a slab in the operand's type, and the scales of their groups.
struct Slab {
    const uint8_t* rows;
    int64_t stride;
    const float* scale;  // [16][groups]
};

// How a slab is made: what is added to whole numbers, the bytes that rows are filled up to with
// zeros, and how many rows it has.
struct Recipe {
    int32_t offset;
    int64_t multiple;
    int64_t rows;
};

class SlabMaker {
  public:
    SlabMaker(const Task& task, const Recipe& recipe, Arena& arena)
        : task_(task),
          recipe_(recipe),
          rows_(arena.take<uint8_t>(recipe.rows * task.row_room())),
          bytes_(arena.take<uint8_t>(task.row_room())),
          scale_(arena.take<float>(recipe.rows * task.groups())) {}

    static int64_t room(const Task& task, int64_t rows) {
        return (rows + 1) * task.row_room() + rows * task.groups() * 4;
    }

    Slab make(int64_t n, int64_t rows) {
        int64_t groups = task_.groups(), missing = recipe_.rows - rows, room = task_.row_room();
        for (int64_t i = 0; i < rows; ++i) scales_of(task_.w, n + i, scale_ + i * groups);
        std::fill_n(scale_ + rows * groups, missing * groups, 0.0f);
        if (!missing && straight()) return {row_of(task_.w, n), row_bytes(task_.w), scale_};
        for (int64_t i = 0; i < rows; ++i) fill(n + i, rows_ + i * room);
        std::memset(rows_ + rows * room, 0, size_t(missing * room));
        return {rows_, room, scale_};
    }

    // Read from the file's own bytes: they are what the dot takes, to the end of a row.
    bool straight() const {
        const Matrix& w = task_.w;
        bool same = task_.x.kind == Kind::kFloat32    ? w.format == Format::kFloat32
                    : task_.x.kind == Kind::kBfloat16 ? w.format == Format::kBfloat16
                                                      : w.format == Format::kInt8;
        return same && !recipe_.offset && row_bytes(w) % recipe_.multiple == 0;
    }

  private:
    void fill(int64_t n, uint8_t* row) {
        if (task_.x.kind == Kind::kFloat32)
            to_float32(task_.w, n, reinterpret_cast<float*>(row));
        else if (task_.x.kind == Kind::kBfloat16)
            to_bfloat16(task_.w, n, bytes_, reinterpret_cast<uint16_t*>(row));
        else
            to_bytes(task_.w, n, recipe_.offset, row);
        int64_t used = task_.w.width * task_.element();
        std::memset(row + used, 0, size_t(padded(used, recipe_.multiple) - used));
    }

    const Task& task_;
    Recipe recipe_;
    uint8_t* rows_;
    uint8_t* bytes_;
    float* scale_;
};

// Blocks to take at once, so that no tile of one register is left where that can be helped.
constexpr int64_t next_blocks(int64_t left, int64_t most) {
    return left <= most ? left : left == most + 1 && most > 2 ? most - 1 : most;
}

template <class Dot, bool kGrouped>
void words_by_all(const Task& task, const Slab& slab, int64_t row, const int32_t* bias,
                  const float* last, float* out, int64_t stride) {
    using Form = Shape<kGrouped>;
    int64_t groups = task.groups();
    for (int64_t b = 0, take; b < task.blocks; b += take) {
        take = next_blocks(task.blocks - b, Form::kRegisters);
        auto panel = static_cast<const uint8_t*>(task.x.data);
        auto lanes = panel + (task.b0 + b) * task.x.block_bytes();
        Operands o{lanes,  task.x.block_bytes(), slab.rows + row * slab.stride, slab.stride, groups,
                   task.steps()};
        TokensAsLanes side{bias + b * groups * kLanes, slab.scale + row * groups,
                           last + b * kLanes, groups};
        float* at = out + b * kLanes;
        if (take == 1) tile<Dot, kGrouped, Form::kWords, 1>(o, side, at, stride);
        if constexpr (Form::kRegisters > 1) {
            if (take == 2) tile<Dot, kGrouped, Form::kWords, 2>(o, side, at, stride);
            if (take == 3) tile<Dot, kGrouped, Form::kWords, 3>(o, side, at, stride);
        }
    }
}

inline int64_t slab_room(const Task& task) {
    int64_t lanes = task.blocks * kLanes;
    int64_t arrays = task.groups() + 1 + Shape<false>::kWords;
    return SlabMaker::room(task, kSlab) + lanes * 4 * arrays + 1024;
}

template <class Dot, bool kGrouped>
void by_slabs(const Task& task, Arena arena) {
    constexpr int64_t kWords = Shape<kGrouped>::kWords;
    int64_t lanes = task.blocks * kLanes;
    SlabMaker maker(task, {offset_of(task), 4, kSlab}, arena);
    auto bias = arena.take<int32_t>(lanes * task.groups());
    auto last = arena.take<float>(lanes);
    auto spare = arena.take<float>(lanes * kWords);
    token_bias(task, bias);
    token_scale(task, last);
    for (int64_t n = 0; n < task.count; n += kSlab) {
        int64_t rows = std::min(kSlab, task.count - n);
        Slab slab = maker.make(task.n0 + n, rows);
        for (int64_t r = 0; r < rows; r += kWords) {
            float* at = task.out + (n + r) * task.stride;
            if (rows - r >= kWords) {
                words_by_all<Dot, kGrouped>(task, slab, r, bias, last, at, task.stride);
                continue;
            }
            words_by_all<Dot, kGrouped>(task, slab, r, bias, last, spare, lanes);
            for (int64_t i = 0; i < rows - r; ++i)
                std::memcpy(at + i * task.stride, spare + i * lanes, size_t(lanes) * 4);
        }
    }
}

}  // namespace canvaslm::dense
