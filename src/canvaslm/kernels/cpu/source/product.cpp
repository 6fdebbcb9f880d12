#include "product.h"

#include <algorithm>

#include "pool.h"
#include "product_amx.h"
#include "product_few.h"
#include "product_slab.h"

namespace canvaslm {
namespace {

using namespace dense;

Arena memory(int64_t bytes) {
    return Arena(static_cast<uint8_t*>(scratch(kProductScratch, size_t(bytes))));
}

template <class Dot, class Swapped, bool kGrouped>
void run(const Task& task) {
#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)
    if (few_tokens(task) <= kFew) return by_few<Swapped, kGrouped>(task, memory(few_room(task)));
#endif
    by_slabs<Dot, kGrouped>(task, memory(slab_room(task)));
}

}  // namespace

void product(const Panel& x, int64_t b0, int64_t blocks, const Matrix& w, int64_t n0, int64_t count,
             float* out, int64_t stride, int64_t next) {
    if (!blocks || !count) return;
    Task task{x, b0, blocks, w, n0, count, out, stride, next};
#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
    // packed weights need no tiles where tokens are few, and the sums are exact either way
    if (is_packed(task) && few_tokens(task) <= kFew)
        return by_few<Int8Dot<true, false>, true>(task, memory(few_room(task)));
    if (x.kind == Kind::kInt8) return amx::by_tiles<true>(task, memory(amx::room(task)));
    if (x.kind == Kind::kBfloat16) return amx::by_tiles<false>(task, memory(amx::room(task)));
#endif
    if (x.kind == Kind::kFloat32)
        run<Float32Dot, Float32Dot, false>(task);
    else if (x.kind == Kind::kBfloat16 && w.group)
        run<Bfloat16Dot, Bfloat16Dot, true>(task);
    else if (x.kind == Kind::kBfloat16)
        run<Bfloat16Dot, Bfloat16Dot, false>(task);
    else if (w.format == Format::kInt8)
        run<Int8Dot<false, true>, Int8Dot<true, true>, false>(task);
    else
        run<Int8Dot<false, false>, Int8Dot<true, false>, true>(task);
}

}  // namespace canvaslm
