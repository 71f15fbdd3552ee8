package outcome

// Reported names the cases whose measures the tables of a run report.
type Reported string

// The values of Reported. The best weights are selected on the validation cases in every one.
const (
	// OnValidation reports the validation cases themselves.
	OnValidation Reported = "validation"
	// OnNextFold reports the fold after that of the validation cases.
	OnNextFold Reported = "next_fold"
	// OnTestDir reports the cases of another data set.
	OnTestDir Reported = "test_dir"
)

// Held reports whether the reported cases are neither trained on nor selected on.
func (r Reported) Held() bool { return r == OnNextFold || r == OnTestDir }
