// What every loss needs: the label's classes and statistics, and channel constants.
#include "channels.h"
#include "classes.h"
#include "stats.h"
