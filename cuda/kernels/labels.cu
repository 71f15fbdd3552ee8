// What every loss needs: the label's classes and statistics, and constants.
#include "classes.h"
#include "constants.h"
#include "stats.h"
