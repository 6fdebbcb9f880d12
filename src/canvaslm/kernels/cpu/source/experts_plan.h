// Which tokens go to which expert, and the memory that lies between the two halves of the work.
#pragma once
#include <cstdint>
#include <vector>

#include "panel.h"

namespace canvaslm {

constexpr int64_t kChunk = 4;  // blocks of 16 tokens that one pass over an expert's weights serves

struct Call {
    const Panel& x;
    const Matrix *gate, *up, *down;  // [E]
    int64_t experts, slots;
    const float* weights;
    float* out;

    int64_t inner() const { return gate->outputs; }
    int64_t hidden() const { return down->outputs; }
};

// x row by row: [T][token_bytes], numbers first, then the sums of 32.
struct TokenRows {
    char* data;
    int64_t bytes, number_bytes;
    char* row(int64_t token) const { return data + token * bytes; }
    const int32_t* sums(int64_t token) const {
        return reinterpret_cast<const int32_t*>(row(token) + number_bytes);
    }
};

// What a thread holds in memory of its own; 7 is experts_tile.h's.
enum Slot { kTokenSlot, kHiddenSlot, kPanelSlot, kGatedSlot, kSumSlot };

struct Item {
    int64_t expert;
    int64_t first;   // block within the expert
    int64_t blocks;
};

// (token, slot) pairs sorted by expert, in the order of the tokens.
struct Plan {
    std::vector<int64_t> begin;  // [E + 1] of pairs
    std::vector<int64_t> block;  // [E + 1] of blocks of 16 pairs
    std::vector<int32_t> pair;   // token * X + slot
    std::vector<Item> items;
    int64_t beyond = 0;  // indices that name no expert

    Plan(const int32_t* index, int64_t pairs, int64_t experts)
        : begin(experts + 1), block(experts + 1), pair(pairs) {
        for (int64_t i = 0; i < pairs; ++i) {
            if (index[i] < 0 || index[i] >= experts)
                ++beyond;
            else
                ++begin[index[i] + 1];
        }
        if (beyond) return;
        for (int64_t e = 0; e < experts; ++e) {
            int64_t blocks = blocks_of(begin[e + 1]);
            begin[e + 1] += begin[e];
            block[e + 1] = block[e] + blocks;
            for (int64_t first = 0; first < blocks; first += kChunk)
                items.push_back({e, first, blocks - first < kChunk ? blocks - first : kChunk});
        }
        std::vector<int64_t> next(begin.begin(), begin.end() - 1);
        for (int64_t i = 0; i < pairs; ++i) pair[next[index[i]]++] = static_cast<int32_t>(i);
    }

    int64_t rows(const Item& item) const {
        int64_t left = begin[item.expert + 1] - begin[item.expert] - item.first * kLanes;
        return left < item.blocks * kLanes ? left : item.blocks * kLanes;
    }
    const int32_t* pairs(const Item& item) const {
        return pair.data() + begin[item.expert] + item.first * kLanes;
    }
};

// The rounded results of gate and up, as panels.
struct Hidden {
    int64_t block_bytes, starts;
    char* data;
    float* scale;
    int32_t* start;
};

}  // namespace canvaslm
