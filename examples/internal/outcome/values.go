package outcome

// Values holds one Number per Measure.
type Values [MeasureCount]Number

// NoValues returns Values in which every measure is undefined.
func NoValues() Values {
	var v Values
	for i := range v {
		v[i] = Undefined
	}
	return v
}
