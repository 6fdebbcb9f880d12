// The outputs of attention, and the log of the sums of its weights.
#pragma once
#include "train_attention_room.h"
#include "train_attention_weight.h"

namespace canvaslm::train {

template <class E, class In>
class Forward {
public:
    Forward(Dealer& dealer, const Attention& x)
        : x_(x),
          width_(sixteens(x.most_keys())),
          found_(dealer.take<const In*>(width_)),
          keys_(dealer.take<E>(width_ * whole<E>(x.size))),
          values_(dealer.take<E>(width_ * sixteens(x.size))),
          q_(dealer.take<E>(kTile * x.size)),
          scores_(dealer.take<float>(kTile * width_)),
          mixed_(dealer.take<float>(kTile * sixteens(x.size))) {}

    // The queries of one row that share a kv head; `next` comes after it.
    void row(Place place, Place next) {
        const auto [r, group] = place;
        count_ = find(x_, x_.prefix_k, x_.k, r, group, found_);
        attention::pack_keys(found_, count_, x_.size, whole<E>(x_.size), keys_);
        find(x_, x_.prefix_v, x_.v, r, group, found_);
        attention::pack_values(found_, count_, x_.size, whole<E>(count_), values_);
        for (int64_t i = 0; i < x_.shared(); ++i)
            for (int64_t query = 0; query < x_.length; query += tile_) {
                fetch_of(next, i, query);
                tile(r, group * x_.shared() + i, query);
            }
    }

private:
    static constexpr int64_t kTile = 28;  // queries at a time, at most

    [[gnu::always_inline]] void fetch_of(Place next, int64_t i, int64_t query) {
        if (next.row < 0) return;
        const int64_t count = std::min(tile_, x_.length - query);
        fetch<In>(x_, x_.q, next.row, next.group * x_.shared() + i, query, count);
        if (i > 0) return;
        fetch<In>(x_, x_.k, next.row, next.group, query, count);
        fetch<In>(x_, x_.v, next.row, next.group, query, count);
    }

    void tile(int64_t r, int64_t head, int64_t query) {
        const int64_t queries = std::min(tile_, x_.length - query), depth = whole<E>(x_.size);
        const Span span(x_, query, queries, count_);
        const Rows<E> q = rows_of<E>(x_.q.at<In>(r, head, query), x_.q.token, queries, x_.size, q_);
        multiply(Product<E>{q.at, q.stride, kPair<E>, keys_ + span.first * depth, depth * 16,
                            depth / kPair<E>, scores_, width_, false},
                 queries, span.width() / 16);
        weigh(r, head, query, queries, span);
        const int64_t steps = (span.end - span.first + kPair<E> - 1) / kPair<E>;
        multiply(Product<E>{reinterpret_cast<const E*>(scores_), width_ * kIn, kPair<E>,
                            values_ + span.first * 16, whole<E>(count_) * 16, steps, mixed_,
                            sixteens(x_.size), false},
                 queries, sixteens(x_.size) / 16);
        for (int64_t i = 0; i < queries; ++i)
            finish(mixed_ + i * sixteens(x_.size), share_[i], x_.out.at<In>(r, head, query + i));
    }

    // Scores become weights, in their place. Row by row each step would wait for the last one.
    void weigh(int64_t r, int64_t head, int64_t query, int64_t queries, const Span& span) {
        float *sums = x_.sum(r, head) + query, base[kTile];
        for (int64_t i = 0; i < queries; ++i) {
            float* scores = scores_ + i * width_;
            hide(scores, sight(x_, query + i, count_), span);
            Vec top = load(scores);
            for (int64_t at = 16; at < span.width(); at += 16) top = max(top, load(scores + at));
            base[i] = largest(top) * kLog2E;
        }
        for (int64_t i = 0; i < queries; ++i) {
            const float* scores = scores_ + i * width_;
            E* weights = reinterpret_cast<E*>(scores_ + i * width_);
            Vec total = set(0);
            for (int64_t at = 0; at < span.width(); at += 16) {
                Vec weight = weight_of<E>(load(scores + at), base[i]);
                total += weight;
                attention::put(weights + at, weight);
            }
            share_[i] = canvaslm::sum(total);
        }
        for (int64_t i = 0; i < queries; ++i) {
            sums[i] = base[i] + log_2(share_[i]);
            share_[i] = 1 / share_[i];
        }
    }

    void finish(const float* mixed, float share, In* out) {
        sweep(x_.size, [&](int64_t at, auto left) {
            store(out + at, load(mixed + at) * set(share), left);
        });
    }

    static constexpr int64_t kIn = sizeof(float) / sizeof(E);  // numbers in the place of a score
    const Attention& x_;
    const int64_t tile_ = tile_of(x_, kTile);
    int64_t width_, count_ = 0;
    const In** found_;
    E *keys_, *values_, *q_;
    float *scores_, *mixed_, share_[kTile];
};

}  // namespace canvaslm::train
