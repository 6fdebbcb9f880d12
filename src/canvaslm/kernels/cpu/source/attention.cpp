// softmax(q k^T) v in one pass over the keys; attention.h tells how the work is divided.
#include "attention.h"

#include <algorithm>

#include "api.h"
#include "attention_stream.h"
#include "pool.h"

namespace canvaslm::attention {
namespace {

// How many rows go together, and whether the parts of the keys are shared out, too
struct Plan {
    int64_t rows, chunks;
    bool split;

    Plan(const Attention& x, int threads) {
        int64_t most = std::max(kSums / (padded(x.size, 16) * 4) / kRows * kRows, kRows);
        chunks = (x.rows() + most - 1) / most;
        if (threads > 1) {
            int64_t wanted = (4 * threads + x.kv_heads - 1) / x.kv_heads;
            chunks = std::max(chunks, std::min(wanted, x.rows() / (2 * kRows)));
        }
        rows = padded((x.rows() + chunks - 1) / chunks, kRows);
        chunks = (x.rows() + rows - 1) / rows;
        split = x.parts() > 1 && x.kv_heads * chunks < 2 * threads;
    }

    // the later rows first: where the pass is causal they see more
    Item item(const Attention& x, int64_t i, int64_t first_part, int64_t parts) const {
        int64_t row = (chunks - 1 - i / x.kv_heads) * rows;
        return {i % x.kv_heads, row, std::min(rows, x.rows() - row), first_part, parts};
    }
};

template <class E, class In>
void attend_whole(int threads, const Attention& x, const Plan& plan) {
    parallel(threads, x.kv_heads * plan.chunks, [&](int64_t i, int) {
        Item item = plan.item(x, i, 0, x.parts());
        Stream<E, In>(x, item).answer();
    });
}

// Few rows and many keys: each part is an item; what they come to is merged afterwards.
template <class E, class In>
void attend_split(int threads, const Attention& x, const Plan& plan) {
    int64_t width = padded(x.size, 16), line = width + 16, parts = x.parts(), rows = x.rows();
    float* shares = static_cast<float*>(scratch(3, x.kv_heads * rows * parts * line * 4));
    auto place = [=](int64_t group, int64_t row, int64_t part) {
        return shares + ((group * rows + row) * parts + part) * line;
    };
    parallel(threads, x.kv_heads * plan.chunks * parts, [&](int64_t i, int) {
        Item item = plan.item(x, i / parts, i % parts, 1);
        Stream<E, In> stream(x, item);
        const Sums& sums = stream.share();
        for (int64_t r = 0; r < item.rows; ++r) {
            float* to = place(item.group, item.row + r, item.first_part);
            std::copy_n(sums.mixed + r * width, width, to);
            to[width] = sums.top[r];
            to[width + 1] = sums.total[r];
        }
    });
    parallel(threads, x.kv_heads * rows, [&](int64_t i, int) {
        int64_t group = i / rows, row = i % rows;
        float *out = x.out_row(group, row), top = kNothing, total = 0;
        for (int64_t part = 0; part < parts; ++part) {
            const float* from = place(group, row, part);
            merge(out, x.size, top, total, from, from[width], from[width + 1]);
        }
        finish(out, x.size, total, out);
    });
}

template <class E, class In>
void attend(int threads, const Attention& x) {
    Plan plan(x, threads);
    plan.split ? attend_split<E, In>(threads, x, plan) : attend_whole<E, In>(threads, x, plan);
}

}  // namespace
}  // namespace canvaslm::attention

// `segments` are `pieces` of struct Segment, each eleven numbers of 64 bits.
CANVASLM_API void canvaslm_attend(int threads, int kind, int kv_kind, const void* q, int64_t q_head,
                                  int64_t q_token, int64_t heads, int64_t kv_heads, int64_t count,
                                  int64_t size, const void* segments, int64_t pieces,
                                  int64_t before, int64_t window, float* out) {
    using namespace canvaslm::attention;
    using Kind = canvaslm::Kind;
    Attention x{Kind(kind), Kind(kv_kind), static_cast<const char*>(q), q_head, q_token, heads,
                kv_heads, count, size, static_cast<const Segment*>(segments), pieces, 0, before,
                window, out};
    for (int64_t i = 0; i < pieces; ++i) x.seen += x.segments[i].count;
#if defined(__AVX512BF16__)
    using Half = Bfloat;
#else
    using Half = float;
#endif
    bool whole = x.kind == Kind::kFloat32;
    if (x.kv_kind == Kind::kFloat32)
        attend<float, float>(threads, x);
    else if (x.kv_kind == Kind::kBfloat16)
        attend<Half, Bfloat>(threads, x);
    else
        whole ? attend<float, int8_t>(threads, x) : attend<Half, int8_t>(threads, x);
}
