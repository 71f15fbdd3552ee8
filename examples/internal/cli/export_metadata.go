package cli

import (
	"encoding/json"
	"fmt"

	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/train"
)

// Values of the metadata that are the same in every model.
const (
	// exportOrientation is the direction of the axes X, Y and Z.
	exportOrientation = "RAS"
	// exportNormalization shifts and scales every channel so that its nonzero voxels have mean
	// 0 and population standard deviation 1, and leaves the others 0.
	exportNormalization = "nonzero_zscore"
)

// exportMetadata returns what a program needs besides the model to make the masks that predict
// makes, as documented in docs/export.md: the steps of the preprocessing of [dataset.Protocol]
// that are those of prediction, how windows are placed, what the channels mean and how masks
// are made of them, and which training the weights are from. A key whose fact does not apply,
// or is not known, is absent.
func exportMetadata(u *use, weights map[string]string, sha256 string) (map[string]string, error) {
	p, scheme := u.Protocol, u.Protocol.Scheme
	metadata := train.Origin(weights)
	metadata["orientation"] = exportOrientation
	metadata["normalization"] = exportNormalization
	metadata["prediction_rule"] = u.rule.String()
	metadata["weights_sha256"] = sha256
	values := map[string]any{
		"network":       u.Config,
		"size_multiple": u.Config.Multiple(),
		"overlap":       infer.DefaultOverlap,
		"labels":        scheme.Compose(),
	}
	if u.Channels != nil {
		values["channels"] = u.Channels
	}
	if p.Spacing != [3]float64{} {
		values["spacing"] = p.Spacing
	}
	if p.Size != [3]int{} {
		values["size"] = p.Size
	}
	if u.window != [3]int{} {
		values["window"] = models.RoundUp(u.window, u.Config.Multiple())
	}
	if scheme.Kind != segment.Binary {
		values[string(scheme.Kind)] = scheme.Segments
	}
	for key, value := range values {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		metadata[key] = string(raw)
	}
	return metadata, nil
}
