package dataset

import "sync"

// Cache is a [Source] that caches the deterministic part of a protocol in memory:
// reading, resampling, orientation and resizing, steps 1 to 4 of [Protocol]. Its
// samples are bit-identical to the protocol's.
//
// Cases are added until the budget is used up and are never evicted: an epoch visits
// every case once, so evicting the oldest would drop each case just before it is
// needed again.
type Cache struct {
	protocol Protocol
	budget   int64

	mu    sync.Mutex
	used  int64
	cases map[string]*prepared
}

// NewCache returns a cache for p that holds at most budget bytes of images (float32)
// and labels (one byte per voxel). With a budget of 0 it caches nothing.
func NewCache(p Protocol, budget int64) *Cache {
	return &Cache{protocol: p, budget: budget, cases: map[string]*prepared{}}
}

// Train returns the same sample as the protocol's Train.
func (c *Cache) Train(k Case, seed uint64) (*Sample, error) {
	prep, err := c.get(k)
	if err != nil {
		return nil, err
	}
	return c.protocol.train(k.ID, prep, seed), nil
}

// Valid returns the same sample as the protocol's Valid.
func (c *Cache) Valid(k Case) (*Sample, error) {
	prep, err := c.get(k)
	if err != nil {
		return nil, err
	}
	return c.protocol.valid(k.ID, prep), nil
}

// WithMultiple returns a Source whose samples are padded to another multiple
// (Protocol.Multiple). It shares the cases cached by c.
func (c *Cache) WithMultiple(multiple [3]int) Source {
	p := c.protocol
	p.Multiple = multiple
	return padded{c, p}
}

// padded is a Source that takes prepared cases from a Cache and applies the remaining
// steps of its own protocol.
type padded struct {
	cache    *Cache
	protocol Protocol
}

func (s padded) Train(k Case, seed uint64) (*Sample, error) {
	prep, err := s.cache.get(k)
	if err != nil {
		return nil, err
	}
	return s.protocol.train(k.ID, prep, seed), nil
}

func (s padded) Valid(k Case) (*Sample, error) {
	prep, err := s.cache.get(k)
	if err != nil {
		return nil, err
	}
	return s.protocol.valid(k.ID, prep), nil
}

// Used returns the number of cached bytes and cases.
func (c *Cache) Used() (bytes int64, cases int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used, len(c.cases)
}

// get returns the prepared case, which callers must not modify. Two goroutines that
// request the same new case both prepare it; only one of the equal results is cached.
func (c *Cache) get(k Case) (*prepared, error) {
	key := k.key()
	c.mu.Lock()
	prep, ok := c.cases[key]
	c.mu.Unlock()
	if ok {
		return prep, nil
	}
	prep, err := c.protocol.prepare(k)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cached, ok := c.cases[key]; ok {
		return cached, nil
	}
	if size := prep.bytes(); c.used+size <= c.budget {
		c.cases[key] = prep
		c.used += size
	}
	return prep, nil
}
