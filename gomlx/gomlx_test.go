package gomlx

import (
	"testing"

	"github.com/gomlx/gomlx/pkg/core/tensors/images"

	"github.com/x/afl/internal/losstest"
)

func TestGolden(t *testing.T) {
	t.Chdir("..") // the reference numbers are those of the module above
	losstest.Golden(t, runner{channels: images.ChannelsFirst})
}

func TestCompare(t *testing.T) {
	for _, channels := range []images.ChannelsAxisConfig{images.ChannelsFirst, images.ChannelsLast} {
		t.Run(channels.String(), func(t *testing.T) { losstest.Compare(t, losstest.CPU{}, runner{channels: channels}) })
	}
}
