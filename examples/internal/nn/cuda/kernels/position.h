// Voxels of a volume by axis.
#ifndef AFL_NN_POSITION_H
#define AFL_NN_POSITION_H

#include "device.h"

namespace afl {

struct Position {
	int32_t at[3];
};

// The position of voxel v of a volume.
AFL_DEVICE Position position_of(int64_t v, const int32_t (&size)[3]) {
	return Position{{(int32_t)(v / size[2] / size[1]), (int32_t)(v / size[2] % size[1]), (int32_t)(v % size[2])}};
}

AFL_DEVICE int64_t voxels_of(const int32_t (&size)[3]) { return (int64_t)size[0] * size[1] * size[2]; }

AFL_DEVICE int64_t index_of(const Position &p, const int32_t (&size)[3]) {
	return ((int64_t)p.at[0] * size[1] + p.at[1]) * size[2] + p.at[2];
}

} // namespace afl

#endif
