// See patches.h. A few rows are gathered at a time, into a space of the first cache, and packed from there.
#include "kernels/conv/patches.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

namespace hearth {

namespace {

/** Rows and words that every form packs in whole squares. */
constexpr int64_t kSquare = 16;
/** Columns that are gathered at a time, in panels. */
constexpr int64_t kColumnPanels = 4;

int64_t roundedUp(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

/** A stretch of the patch matrix. */
struct Stretch {
  int64_t row, rows, column, columns;
};

/** Copies a stretch to rows `rowBytes` apart; what lies between the end of a row and the next becomes zero. */
void gather(const Patches& from, const Stretch& stretch, char* to, int64_t rowBytes) {
  const int64_t size = from.elementSize, area = from.gridHeight * from.gridWidth;
  int64_t x = stretch.row % from.gridWidth, y = stretch.row / from.gridWidth % from.gridHeight, b = stretch.row / area;
  for (int64_t r = 0; r < stretch.rows; ++r, to += rowBytes) {
    int64_t tap = stretch.column / from.channels, channel = stretch.column % from.channels, done = 0;
    for (; done < stretch.columns; ++tap, channel = 0) {
      const int64_t count = std::min(stretch.columns - done, from.channels - channel);
      const int64_t atY = y * from.stepY + from.taps[tap].y, atX = x * from.stepX + from.taps[tap].x;
      const bool inside = atY >= 0 && atY < from.height && atX >= 0 && atX < from.width;
      const int64_t pixel = (b * from.height + atY) * from.width + atX;
      if (inside) std::memcpy(to + done * size, static_cast<const char*>(from.data) + (pixel * from.channels + channel) * size, count * size);
      else std::memset(to + done * size, 0, count * size);
      done += count;
    }
    std::memset(to + done * size, 0, rowBytes - done * size);
    if (++x < from.gridWidth) continue;
    x = 0;
    if (++y < from.gridHeight) continue;
    y = 0;
    ++b;
  }
}

char* bytesOf(const at::Tensor& space) { return static_cast<char*>(space.data_ptr()); }
at::Tensor spaceOf(int64_t bytes) { return at::empty({bytes}, at::kByte); }

}  // namespace

Side patchRows(const GemmKernel& kernel, const Patches& patches) {
  return {patches.rows(), patches.depth(), [&](int64_t row, const PackTask& task) {
            const int64_t rows = std::max<int64_t>(kSquare, kernel.leftRows), panels = rows / kernel.leftRows;
            const int64_t column = task.word * kernel.wordDepth, columns = std::min(task.words * kernel.wordDepth, patches.depth() - column);
            const int64_t width = roundedUp(columns, kSquare * kernel.wordDepth), rowBytes = width * patches.elementSize;
            const at::Tensor space = spaceOf(rows * rowBytes);
            for (int64_t panel = task.firstPanel; panel < task.lastPanel; panel += panels) {
              const int64_t first = row + panel * kernel.leftRows, there = std::min(rows, patches.rows() - first);
              gather(patches, {first, there, column, columns}, bytesOf(space), rowBytes);
              std::memset(bytesOf(space) + there * rowBytes, 0, (rows - there) * rowBytes);
              kernel.packLeft({bytesOf(space), patches.elementSize, rows, width, width, 1},
                              {0, std::min(panels, task.lastPanel - panel), 0, task.words, task.to + panel * task.words * kernel.leftRows});
            }
          }};
}

Side patchColumns(const GemmKernel& kernel, const Patches& patches, int64_t first, int64_t count) {
  return {patches.depth(), count, [&kernel, &patches, first, count](int64_t row, const PackTask& task) {
            const int64_t pixel = task.word * kernel.wordDepth, pixels = std::min(task.words * kernel.wordDepth, count - pixel);
            const int64_t deep = roundedUp(pixels, kSquare * kernel.wordDepth), width = roundedUp(kColumnPanels * kernel.rightRows, kSquare);
            const int64_t rowBytes = width * patches.elementSize;
            const at::Tensor space = spaceOf(deep * rowBytes);
            std::memset(bytesOf(space) + pixels * rowBytes, 0, (deep - pixels) * rowBytes);
            for (int64_t panel = task.firstPanel; panel < task.lastPanel; panel += kColumnPanels) {
              const int64_t column = row + panel * kernel.rightRows, columns = std::min(kColumnPanels * kernel.rightRows, patches.depth() - column);
              gather(patches, {first + pixel, pixels, column, columns}, bytesOf(space), rowBytes);
              kernel.packRight({bytesOf(space), patches.elementSize, width, deep, 1, width},
                               {0, std::min(kColumnPanels, task.lastPanel - panel), 0, task.words, task.to + panel * task.words * kernel.rightRows});
            }
          }};
}

}  // namespace hearth
