// The gradients of attention. With P the weights, made anew from the scores and the logs of their
// sums, O the outputs and dO their gradient:
//
//   dV = P^T dO    dP = dO V^T    dS = P (dP - sum(dO O))    dQ = dS K    dK = dS^T Q
//
// What is summed over queries, dV and dK, wants two queries of a key side by side; P and dS are
// written so ("pairs"), each pair of rows in the place of the first row of scores.
#pragma once
#include <cstring>

#include "train_attention_room.h"
#include "train_attention_weight.h"

namespace canvaslm::train {

template <class E, class In>
class Backward {
public:
    Backward(Dealer& dealer, const Attention& x)
        : x_(x),
          width_(sixteens(x.most_keys())),
          columns_(sixteens(x.size)),
          found_(dealer.take<const In*>(width_)),
          keys_(dealer.take<E>(width_ * whole<E>(x.size))),
          values_(dealer.take<E>(width_ * whole<E>(x.size))),
          key_pairs_(dealer.take<E>(width_ * columns_)),
          q_(dealer.take<E>(kTile * x.size)),
          out_grad_(dealer.take<E>(kTile * x.size)),
          q_pairs_(dealer.take<E>(kTile * columns_)),
          out_grad_pairs_(dealer.take<E>(kTile * columns_)),
          score_grad_(dealer.take<E>(kTile * width_)),
          p_(dealer.take<float>(kTile * width_)),
          ds_(dealer.take<float>(kTile * width_)),
          q_grad_(dealer.take<float>(kTile * columns_)),
          k_grad_(dealer.take<float>(width_ * columns_)),
          v_grad_(dealer.take<float>(width_ * columns_)),
          prefix_k_grad_(dealer.take<float>(x.causal ? 0 : x.longest * columns_)),
          prefix_v_grad_(dealer.take<float>(x.causal ? 0 : x.longest * columns_)) {}

    // One kv head of one document, and of the rows that see it.
    void document(int64_t document, int64_t group, const int64_t* rows, int64_t count) {
        const int64_t numbers = x_.longest * columns_;
        std::memset(prefix_k_grad_, 0, static_cast<size_t>(numbers) * 4);
        std::memset(prefix_v_grad_, 0, static_cast<size_t>(numbers) * 4);
        for (int64_t i = 0; i < count; ++i) {
            const Place after{rows[0], group + 1 < x_.kv_heads ? group + 1 : 0};  // most often
            row({rows[i], group}, i + 1 < count ? Place{rows[i + 1], group} : after);
            const int64_t low = x_.low(rows[i]) * columns_;
            const int64_t seen = x_.before(rows[i]) * columns_;
            add(k_grad_, seen, prefix_k_grad_ + low);
            add(v_grad_, seen, prefix_v_grad_ + low);
        }
        for (int64_t p = 0; p < x_.longest; ++p) {
            write(prefix_k_grad_ + p * columns_, x_.prefix_k_grad.at<In>(document, group, p));
            write(prefix_v_grad_ + p * columns_, x_.prefix_v_grad.at<In>(document, group, p));
        }
    }

    void row(Place place, Place next) {
        const auto [r, group] = place;
        count_ = find(x_, x_.prefix_k, x_.k, r, group, found_);
        attention::pack_keys(found_, count_, x_.size, whole<E>(x_.size), keys_);
        attention::pack_values(found_, count_, x_.size, whole<E>(count_), key_pairs_);
        find(x_, x_.prefix_v, x_.v, r, group, found_);
        attention::pack_keys(found_, count_, x_.size, whole<E>(x_.size), values_);
        std::memset(k_grad_, 0, static_cast<size_t>(count_ * columns_) * 4);
        std::memset(v_grad_, 0, static_cast<size_t>(count_ * columns_) * 4);
        for (int64_t i = 0; i < x_.shared(); ++i)
            for (int64_t query = 0; query < x_.length; query += tile_) {
                fetch_of(next, i, query);
                tile(r, group * x_.shared() + i, query);
            }
        const int64_t own = x_.before(r) * columns_;
        for (int64_t t = 0; t < x_.length; ++t) {
            write(k_grad_ + own + t * columns_, x_.k_grad.at<In>(r, group, t));
            write(v_grad_ + own + t * columns_, x_.v_grad.at<In>(r, group, t));
        }
    }

private:
    static constexpr int64_t kTile = 48;  // queries at a time, at most

    [[gnu::always_inline]] void fetch_of(Place next, int64_t i, int64_t query) {
        if (next.row < 0) return;
        const int64_t count = std::min(tile_, x_.length - query);
        const int64_t head = next.group * x_.shared() + i;
        for (const Tensor* each : {&x_.q, &x_.out, &x_.out_grad})
            fetch<In>(x_, *each, next.row, head, query, count);
        if (i > 0) return;
        fetch<In>(x_, x_.k, next.row, next.group, query, count);
        fetch<In>(x_, x_.v, next.row, next.group, query, count);
    }

    void tile(int64_t r, int64_t head, int64_t query) {
        const int64_t queries = std::min(tile_, x_.length - query), depth = whole<E>(x_.size);
        const Span span(x_, query, queries, count_);
        const In *q_at = x_.q.at<In>(r, head, query), *grad_at = x_.out_grad.at<In>(r, head, query);
        const Rows<E> q = rows_of<E>(q_at, x_.q.token, queries, x_.size, q_);
        const Rows<E> grad = rows_of<E>(grad_at, x_.out_grad.token, queries, x_.size, out_grad_);
        multiply(Product<E>{q.at, q.stride, kPair<E>, keys_ + span.first * depth, depth * 16,
                            depth / kPair<E>, p_, width_, false},
                 queries, span.width() / 16);
        multiply(Product<E>{grad.at, grad.stride, kPair<E>, values_ + span.first * depth,
                            depth * 16, depth / kPair<E>, ds_, width_, false},
                 queries, span.width() / 16);
        soften(r, head, query, queries, span);
        sum_queries(p_, grad_at, x_.out_grad.token, queries, out_grad_pairs_, span, v_grad_);
        sum_queries(ds_, q_at, x_.q.token, queries, q_pairs_, span, k_grad_);
        sum_keys(r, head, query, queries, span);
    }

    // From scores and dP of some queries to P and dS.
    void soften(int64_t r, int64_t head, int64_t query, int64_t queries, const Span& span) {
        for (int64_t i = 0; i < queries; i += kPair<E>) {
            const Line line = line_of(r, head, query, i, span);
            if constexpr (kPair<E> == 1) {
                soften_line(line, span.width());
            } else {
                Line other{line.p, line.ds, -kHidden, 0};  // weights of 0 beside a lone query
                if (i + 1 < queries) other = line_of(r, head, query, i + 1, span);
                soften_pair(line, other, span.width(), score_grad_ + i * width_, width_);
            }
        }
    }

    Line line_of(int64_t r, int64_t head, int64_t query, int64_t i, const Span& span) {
        const int64_t place = query + i;
        float* p = p_ + i * width_;
        hide(p, sight(x_, place, count_), span);
        return {p, ds_ + i * width_, x_.sum(r, head)[place], delta(r, head, place)};
    }

    // sum(dO O) of a query
    float delta(int64_t r, int64_t head, int64_t query) {
        const In *out = x_.out.at<In>(r, head, query), *grad = x_.out_grad.at<In>(r, head, query);
        Vec total = set(0);
        sweep(x_.size, [&](int64_t at, auto left) {
            total = fma(load(out + at, left), load(grad + at, left), total);
        });
        return sum(total);
    }

    // to [keys][d] += table [queries][keys]^T rows [queries][d]
    void sum_queries(const float* table, const In* rows, int64_t stride, int64_t queries, E* packed,
                     const Span& span, float* to) {
        for (int64_t i = 0; i < queries; ++i) found_[i] = rows + i * stride;
        attention::pack_values(found_, queries, x_.size, whole<E>(queries), packed);
        multiply(Product<E>{reinterpret_cast<const E*>(table), kPair<E>, kPair<E> * width_ * kIn,
                            packed, whole<E>(queries) * 16, whole<E>(queries) / kPair<E>,
                            to + span.first * columns_, columns_, true},
                 span.end - span.first, columns_ / 16);
    }

    // dQ = dS K
    void sum_keys(int64_t r, int64_t head, int64_t query, int64_t queries, const Span& span) {
        const E* rows = kPair<E> == 1 ? reinterpret_cast<const E*>(ds_) : score_grad_;
        const int64_t steps = (span.end - span.first + kPair<E> - 1) / kPair<E>;
        multiply(Product<E>{rows, width_, kPair<E>, key_pairs_ + span.first * 16,
                            whole<E>(count_) * 16, steps, q_grad_, columns_, false},
                 queries, columns_ / 16);
        for (int64_t i = 0; i < queries; ++i)
            write(q_grad_ + i * columns_, x_.q_grad.at<In>(r, head, query + i));
    }

    void write(const float* from, In* to) {
        sweep(x_.size, [&](int64_t at, auto left) { store(to + at, load(from + at), left); });
    }

    static void add(const float* from, int64_t count, float* to) {
        for (int64_t i = 0; i < count; i += 16) store(to + i, load(to + i) + load(from + i));
    }

    static constexpr int64_t kIn = sizeof(float) / sizeof(E);  // numbers in the place of a score
    const Attention& x_;
    const int64_t tile_ = tile_of(x_, kTile);
    int64_t width_, columns_, count_ = 0;
    const In** found_;
    E *keys_, *values_, *key_pairs_, *q_, *out_grad_, *q_pairs_, *out_grad_pairs_, *score_grad_;
    float *p_, *ds_, *q_grad_, *k_grad_, *v_grad_, *prefix_k_grad_, *prefix_v_grad_;
};

}  // namespace canvaslm::train
