// The soft embedding: the table's rows, weighted by a distribution. A narrow distribution gathers
// the rows it needs, a broad one takes the whole table; which it is depends on nothing but itself.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "api.h"
#include "head_dense.h"
#include "head_gather.h"
#include "head_kept.h"
#include "head_select.h"
#include "panel.h"
#include "pool.h"

namespace canvaslm::head {
namespace {

// A row of the table costs this many times less as one of all than gathered.
#if defined(__AMX_BF16__)
constexpr int64_t kGatherCost = 64;
#elif defined(__AVX512BF16__)
constexpr int64_t kGatherCost = 16;
#else
constexpr int64_t kGatherCost = 4;
#endif

constexpr int kTokens = 4, kTimes = 5;  // scratch

void soften(int threads, const Matrix& table, const Kept& kept, const int64_t* rows, int64_t count,
            float* out) {
    int64_t tiles = tiles_of(table.outputs), most = table.outputs / kGatherCost + 16;
    std::vector<Chosen> chosen(count);
    parallel(threads, count, [&](int64_t r, int) {
        auto token = static_cast<int32_t*>(scratch(kTokens, most * sizeof(int32_t)));
        auto p = static_cast<float*>(scratch(kTimes, most * sizeof(float)));
        Row row{kept, rows ? rows[r] : r, tiles};
        chosen[r] = kept.wide ? choose<float>(row, most, token, p)
                              : choose<uint16_t>(row, most, token, p);
        if (!chosen[r].all) gather(table, token, p, chosen[r].count, out + r * table.width);
    });
    std::vector<int64_t> position, place;
    std::vector<int> cut;
    for (int64_t r = 0; r < count; ++r) {
        if (!chosen[r].all) continue;
        position.push_back(rows ? rows[r] : r);
        place.push_back(r);
        cut.push_back(chosen[r].tile_cut);
    }
    int64_t broad = static_cast<int64_t>(place.size());
    if (broad)
        dense(threads, {kept, table, position.data(), place.data(), cut.data(), broad, out});
}

}  // namespace
}  // namespace canvaslm::head

CANVASLM_API void canvaslm_soften(int threads, const canvaslm::Matrix* table,
                                  const canvaslm::head::Kept* kept, const int64_t* rows,
                                  int64_t count, float* out) {
    canvaslm::head::soften(threads, *table, *kept, rows, count, out);
}
