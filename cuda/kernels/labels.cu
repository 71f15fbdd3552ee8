// Kernels that all losses use: classes and statistics of the label, and constants.
#include "classes.h"
#include "constants.h"
#include "stats.h"
