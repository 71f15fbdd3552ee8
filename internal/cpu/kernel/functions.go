package kernel

// Functions are the constants of the exponential and the logarithm for one element
// type. The polynomials minimize the largest relative error of the result; package
// cpu tests the functions.
type Functions struct {
	Log2E float64 // 1/ln 2
	// ln 2 = Ln2Hi + Ln2Lo; an exponent times Ln2Hi is exact.
	Ln2Hi, Ln2Lo float64
	// ExpBias = log₂1½ − ½ moves the range of exp's remainder from ±ln(2)/2 to
	// [log ¾, log 1½]. Below 0 eʳ is less than 1, where floats lie closer together, so
	// the sums are rounded more finely.
	ExpBias float64
	ExpLow  float64 // exp is 0 from just above it
	ExpHigh float64 // exp is finite up to it
	// Smallest is the smallest normal number, a lower bound of divisors and of the
	// arguments of the logarithm.
	Smallest float64
	Exp      []float64 // the coefficients of (eʳ−1−r)/r² on [log ¾, log 1½], constant first
	Log      []float64 // the coefficients of (log(1+f)−f+f²/2)/f³ on [−¼, ½], constant first
}

// Float32 is for float32: its numbers are rounded to that type.
var Float32 = Functions{
	Log2E: Log2E, Ln2Hi: Ln2Hi, Ln2Lo: Ln2Lo, ExpBias: ExpBias, ExpLow: ExpLow, ExpHigh: ExpHigh, Smallest: Smallest,
	Exp: widened(ExpPoly0, ExpPoly1, ExpPoly2, ExpPoly3, ExpPoly4),
	Log: widened(LogPoly0, LogPoly1, LogPoly2, LogPoly3, LogPoly4, LogPoly5, LogPoly6, LogPoly7),
}

func widened(s ...float32) []float64 {
	w := make([]float64, len(s))
	for i, v := range s {
		w[i] = float64(v)
	}
	return w
}

// Float64 is for float64.
var Float64 = Functions{
	Log2E:    1.4426950408889634,
	Ln2Hi:    0x1.62e42fefa38p-1,
	Ln2Lo:    0x1.ef35793c7673p-45,
	ExpBias:  0.08496250072115618,
	ExpLow:   -746,
	ExpHigh:  709,
	Smallest: 0x1p-1022,
	Exp: []float64{
		0.4999999999999999, 0.16666666666667737, 0.04166666666668723, 0.008333333332422444,
		0.0013888888884562103, 0.00019841272480735739, 2.4801577322112566e-05, 2.755410982798866e-06,
		2.758966183869612e-07, 2.6472140454466222e-08,
	},
	Log: []float64{
		0.3333333333333327, -0.2500000000000191, 0.20000000000032073, -0.16666666666195193,
		0.14285714280092882, -0.12500000038493017, 0.11111111582549027, -0.09999998827386768,
		0.09090887931331534, -0.08333329753641708, 0.07692821693974028, -0.07143926284123005,
		0.06660701961608731, -0.06224722311028098, 0.05891925785707291, -0.05778326619017104,
		0.056593763376025036, -0.047213053346030806, 0.02659296895612301, -0.007087704076738913,
	},
}
