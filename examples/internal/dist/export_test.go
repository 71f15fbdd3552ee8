package dist

// NewReducerOfBuckets is newReducer, for tests with small buckets.
var NewReducerOfBuckets = newReducer

// Buckets returns the number of buckets.
func (r *Reducer) Buckets() int { return len(r.buckets) }
