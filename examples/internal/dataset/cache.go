package dataset

import "sync"

// Cache is a Source that keeps in memory what its protocol does before anything
// random happens: reading, resampling, orientation and resizing, steps 1 to 4
// of Protocol. Its samples have the same bits as the protocol's.
//
// Cases are kept until the budget is spent and never given up after: an epoch
// visits every case once, so an eviction of the oldest would lose each case
// just before it is needed again.
type Cache struct {
	protocol Protocol
	budget   int64

	mu   sync.Mutex
	used int64
	kept map[string]*prepared
}

// NewCache returns a cache around p that keeps at most budget bytes of images
// (float32) and labels (one byte per voxel). A budget of 0 keeps nothing.
func NewCache(p Protocol, budget int64) *Cache {
	return &Cache{protocol: p, budget: budget, kept: map[string]*prepared{}}
}

// Train returns what the protocol's Train does.
func (c *Cache) Train(k Case, seed uint64) (*Sample, error) {
	prep, err := c.get(k)
	if err != nil {
		return nil, err
	}
	return c.protocol.train(k.ID, prep, seed), nil
}

// Valid returns what the protocol's Valid does.
func (c *Cache) Valid(k Case) (*Sample, error) {
	prep, err := c.get(k)
	if err != nil {
		return nil, err
	}
	return c.protocol.valid(k.ID, prep), nil
}

// WithMultiple returns a Source of the same cases whose samples are padded to
// another multiple (Protocol.Multiple). It shares what c keeps.
func (c *Cache) WithMultiple(multiple [3]int) Source {
	p := c.protocol
	p.Multiple = multiple
	return padded{c, p}
}

// padded is a Cache's Source with a protocol of its own for what follows the
// prepared steps.
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

// Used returns how many bytes are kept and of how many cases.
func (c *Cache) Used() (bytes int64, cases int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used, len(c.kept)
}

// get returns the prepared case, which nobody may change. Two goroutines that
// ask for the same new case both prepare it; one of the equal results is kept.
func (c *Cache) get(k Case) (*prepared, error) {
	key := k.key()
	c.mu.Lock()
	prep, ok := c.kept[key]
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
	if kept, ok := c.kept[key]; ok {
		return kept, nil
	}
	if size := prep.bytes(); c.used+size <= c.budget {
		c.kept[key] = prep
		c.used += size
	}
	return prep, nil
}
