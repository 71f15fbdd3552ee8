"""Writes compare.json: SciPy's values for paired comparisons, and Holm's adjustment.

    python compare.py > compare.json

SciPy's exact Wilcoxon test has no ties; with ties the exact p-value is that of its
permutation method over all patterns of signs.
"""

import json

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(1)
cases = []
for n, step, shift in [(5, 0, 0.3), (8, 0, 1.0), (12, 0, 0.0), (30, 0, 0.2), (9, 0.25, 0.3), (12, 0.5, -0.4), (6, 0, 9.0)]:
    x, y = rng.normal(shift, 1, n), rng.normal(0, 1, n)
    if step:  # multiples of a power of two: ties and zeros
        x, y = np.round(x / step) * step, np.round(y / step) * step
    d = x - y
    kept = d[d != 0]
    ranks = stats.rankdata(np.abs(kept))
    plus, minus = ranks[kept > 0].sum(), ranks[kept < 0].sum()
    method = stats.PermutationMethod(n_resamples=np.inf) if step else "exact"
    cases.append(
        {
            "x": x.tolist(),
            "y": y.tolist(),
            "mean": d.mean(),
            "median": np.median(d),
            "p": stats.wilcoxon(kept, method=method).pvalue,
            "rank_biserial": (plus - minus) / (plus + minus),
            "tertiles": np.quantile(d, [1 / 3, 2 / 3]).tolist(),
        }
    )
# The adjustment by its definition: the smallest level at which Holm's procedure, run
# from the smallest p-value up, still rejects.
p = [c["p"] for c in cases]
adjusted = []
for value in p:
    ahead = sorted(q for q in p if q <= value)
    adjusted.append(min(1.0, max((len(p) - j) * q for j, q in enumerate(ahead))))
print(json.dumps({"scipy": scipy.__version__, "cases": cases, "holm": adjusted}, indent=1))
