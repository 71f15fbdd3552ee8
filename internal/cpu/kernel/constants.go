package kernel

// Constants of the exponential and the logarithm. The polynomials minimize the
// largest relative error of the result; package cpu tests them over every float32.
const (
	Log2E = 1.442695 // 1/ln 2
	// ln 2 = Ln2Hi + Ln2Lo; a whole number of up to 14 bits times Ln2Hi is exact.
	Ln2Hi = 0.693359375
	Ln2Lo = -2.12194440e-4
	Ln2   = 0.6931472 // as float32 within 2e-9 of ln 2
	// ExpBias = log₂1½ − ½ moves the range of exp's remainder from ±ln(2)/2 to
	// [log ¾, log 1½]. Below 0 eʳ is less than 1, where floats lie closer together, so
	// the sums are rounded more finely.
	ExpBias = 0.0849625
	ExpLow  = -104 // exp is 0 from just above it
	ExpHigh = 88   // exp is finite up to it
	// Log1pSplit is where log(1+e) halves its argument; from ½ on e−1 is exact.
	Log1pSplit = 0.5
	// Log1mSplit is above where −log(1−s) doubles 1−s; from there 2s−1 is exact.
	Log1mSplit = 0.25
	// Smallest is the smallest normal float32, a lower bound of divisors and of the
	// arguments of the logarithm.
	Smallest = 0x1p-126
)

// The coefficients of (eʳ−1−r)/r² on [log ¾, log 1½], constant first. Constants of the
// compiler, unlike elements of a list, need no conversion to float64 where it is
// computed in.
const (
	ExpPoly0 = 0.5000002
	ExpPoly1 = 0.16666572
	ExpPoly2 = 0.041658193
	ExpPoly3 = 0.0083601065
	ExpPoly4 = 0.0014652617
)

// The coefficients of (log(1+f)−f+f²/2)/f³ on [−¼, ½], constant first.
const (
	LogPoly0 = 0.3333345
	LogPoly1 = -0.25000098
	LogPoly2 = 0.19990826
	LogPoly3 = -0.16647206
	LogPoly4 = 0.14478762
	LogPoly5 = -0.13162799
	LogPoly6 = 0.10464271
	LogPoly7 = -0.04507033
)
