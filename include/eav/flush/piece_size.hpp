// How much a flush works on at a time, so that it stays within eav.flush_memory.
#pragma once

#include "eav/core/piece_plan.hpp"
#include "eav/pg/postgres.hpp"
#include "eav/settings.hpp"

namespace eav::flush {

// What values take until they are written: the bytes in which they arrived and what is made of
// them, and for each the row, its keys and its share of what is written at a time. Measured:
// decision 0019.
constexpr Size memory_for(uint64 values, Size bytes) {
  constexpr Size row_bytes = 320;
  return values * row_bytes + 2 * bytes;
}

inline Size piece_memory() { return static_cast<Size>(settings.flush_memory) * 1024; }

inline core::PieceSize largest_piece() {
  return {static_cast<uint64>(settings.flush_batch_values), piece_memory()};
}

// Whether values with that much memory together are not too many for a piece.
inline bool fits_piece(uint64 values, Size memory) {
  return values <= largest_piece().values && memory <= largest_piece().memory;
}

}  // namespace eav::flush
